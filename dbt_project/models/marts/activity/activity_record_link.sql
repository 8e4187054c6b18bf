{{ config(**kept('int_touched_activity', ['activity_id'], stamped=true)) }}
select
    link.activity_id,
    link.record_type,
    link.record_id,
    link.link_reason,
    link.is_counted,
    {{ as_of() }} as as_of
from {{ ref('int_record_link') }} as link
where {{ is_touched('int_touched_activity', ['activity_id'], 'link') }}
