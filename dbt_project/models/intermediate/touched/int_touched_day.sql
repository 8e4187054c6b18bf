-- Records that a touched activity links to, or did, with the reporting days on which it happened.
{% if execute and not is_update() -%}
{{ nothing_touched(['record_type', 'record_id', 'activity_date']) }}
{%- else -%}
select
    record_type,
    record_id,
    activity_date
from {{ ref('int_touched_link') }}

union

select
    link.record_type,
    link.record_id,
    link.occurred_date as activity_date
from {{ ref('int_record_link') }} as link
inner join {{ ref('int_touched_activity') }} as touched on link.activity_id = touched.activity_id
{%- endif %}
