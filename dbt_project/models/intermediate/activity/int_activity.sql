{{ config(**kept('int_touched_activity', ['activity_id'])) }}
{% do reads_before_update('int_touched_thread') -%}
-- N43, N45 to N48, K7, K8: status at as-of, who initiated an activity, and what it took each side.
{% set closed_if_asked = "(activity.source_state = 'completed' or not activity.in_dataverse)"
    if var('meeting_held_rule') == 'closed' else 'true' -%}
with activity as (
    select
        activity.*,
        coalesce(activity.ended_at, activity.occurred_at) as finished_at,
        coalesce(master.master_id, activity.regarding_id) as regarding_master_id,
        case when activity.activity_type = 'email' then coalesce(thread.thread_id, activity.activity_id) end as thread_id,
        not coalesce(side.has_customer, false) as is_internal,
        case activity.activity_type
            when 'email' then side.sender_side
            when 'meeting' then coalesce(side.organizer_side, case when not activity.in_exchange then 'us' end)
            when 'phone_call' then case when activity.direction = 'incoming' then 'them' else 'us' end
            when 'task' then 'us'
        end as initiated_by,
        coalesce(side.team_on_count, 0) as team_on_count,
        coalesce(side.customer_on_count, 0) as customer_on_count,
        coalesce(side.team_took_part_count, 0) as team_took_part_count,
        coalesce(side.customer_took_part_count, 0) as customer_took_part_count
    from {{ ref('stg_lake__activity') }} as activity
    left join {{ ref('int_activity_side') }} as side on activity.activity_id = side.activity_id
    left join {{ ref('stg_lake__activity_thread') }} as thread on activity.activity_id = thread.activity_id
    left join {{ ref('int_master') }} as master
        on activity.regarding_type = master.record_type and activity.regarding_id = master.id
    where {{ is_touched('int_touched_activity', ['activity_id'], 'activity') }}
)

select
    activity_id,
    activity_type,
    case
        when source_state = 'cancelled' then 'cancelled'
        when
            occurred_at < {{ as_of() }}
            and case
                when activity_type = 'email' then true
                when activity_type = 'meeting' then finished_at <= {{ as_of() }} and {{ closed_if_asked }}
                else source_state = 'completed'
            end
            then 'completed'
        when activity_type <> 'email' and source_state = 'open' and occurred_at >= {{ as_of() }} then 'scheduled'
        else 'open'
    end as status,
    occurred_at,
    finished_at as ended_at,
    {{ reporting_day('occurred_at') }} as occurred_date,
    case when activity_type <> 'email' then duration_minutes end as duration_minutes,
    initiated_by,
    is_internal,
    thread_id,
    regarding_type,
    regarding_master_id as regarding_id,
    coalesce(is_automated, false) as is_automated,
    coalesce(is_bulk, false) as is_bulk,
    coalesce(is_automated, false) or coalesce(is_bulk, false) as is_machine,
    coalesce(is_all_day, false) as is_all_day,
    coalesce(is_private, false) as is_private,
    coalesce(is_followed, false) as is_followed,
    open_count,
    link_click_count,
    attachment_count,
    attachment_open_count,
    reply_count,
    in_dataverse,
    in_exchange,
    machine_rule,
    team_on_count,
    customer_on_count,
    team_took_part_count,
    customer_took_part_count,
    {{ team_minutes() }} as team_minutes,
    {{ customer_minutes() }} as customer_minutes
from activity
