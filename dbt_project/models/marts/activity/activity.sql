{{ config(**kept('int_touched_activity', ['activity_id'], stamped=true)) }}
select
    activity_id,
    activity_type,
    status,
    occurred_at,
    ended_at,
    duration_minutes,
    initiated_by,
    thread_id,
    regarding_type,
    regarding_id,
    is_automated,
    is_bulk,
    is_internal,
    is_all_day,
    is_private,
    is_followed,
    in_dataverse,
    in_exchange,
    machine_rule,
    {{ as_of() }} as as_of
from {{ ref('int_activity') }}
where
    activity_id in (
        select activity_id
        from {{ ref('int_record_link') }}
        where {{ is_touched('int_touched_activity', ['activity_id']) }}
    )
    and {{ is_touched('int_touched_activity', ['activity_id']) }}
