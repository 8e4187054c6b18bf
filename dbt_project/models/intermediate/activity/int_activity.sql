-- N43, N45, N46: status at as-of, who initiated an activity, and whether the customer side is on it.
{% set closed_if_asked = "(activity.source_state = 'completed' or not activity.in_dataverse)"
    if var('meeting_held_rule') == 'closed' else 'true' -%}
with side as (
    select
        activity_id,
        min(case when role = 'sender' then side end) as sender_side,
        min(case when role = 'organizer' then side end) as organizer_side,
        bool_or(side = 'them') as has_customer
    from {{ ref('int_activity_participant') }}
    group by activity_id
),

activity as (
    select
        activity.*,
        coalesce(activity.ended_at, activity.occurred_at) as finished_at,
        coalesce(master.master_id, activity.regarding_id) as regarding_master_id,
        not coalesce(side.has_customer, false) as is_internal,
        case activity.activity_type
            when 'email' then side.sender_side
            when 'meeting' then coalesce(side.organizer_side, case when not activity.in_exchange then 'us' end)
            when 'phone_call' then case when activity.direction = 'incoming' then 'them' else 'us' end
            when 'task' then 'us'
        end as initiated_by
    from {{ ref('stg_lake__activity') }} as activity
    left join side on activity.activity_id = side.activity_id
    left join {{ ref('int_master') }} as master
        on activity.regarding_type = master.record_type and activity.regarding_id = master.id
)

select
    activity.activity_id,
    activity.activity_type,
    case
        when activity.source_state = 'cancelled' then 'cancelled'
        when
            activity.occurred_at < {{ as_of() }}
            and case
                when activity.activity_type = 'email' then true
                when activity.activity_type = 'meeting'
                    then
                        activity.finished_at <= {{ as_of() }}
                        and {{ closed_if_asked }}
                else activity.source_state = 'completed'
            end
            then 'completed'
        when
            activity.activity_type <> 'email' and activity.source_state = 'open' and activity.occurred_at >= {{ as_of() }}
            then 'scheduled'
        else 'open'
    end as status,
    activity.occurred_at,
    activity.finished_at as ended_at,
    {{ reporting_day('activity.occurred_at') }} as occurred_date,
    case when activity.activity_type <> 'email' then activity.duration_minutes end as duration_minutes,
    activity.initiated_by,
    activity.is_internal,
    case when activity.activity_type = 'email' then coalesce(thread.thread_id, activity.activity_id) end as thread_id,
    activity.regarding_type,
    activity.regarding_master_id as regarding_id,
    coalesce(activity.is_automated, false) as is_automated,
    coalesce(activity.is_bulk, false) as is_bulk,
    coalesce(activity.is_automated, false) or coalesce(activity.is_bulk, false) as is_machine,
    coalesce(activity.is_all_day, false) as is_all_day,
    coalesce(activity.is_private, false) as is_private,
    coalesce(activity.is_followed, false) as is_followed,
    activity.open_count,
    activity.link_click_count,
    activity.attachment_count,
    activity.attachment_open_count,
    activity.reply_count,
    activity.in_dataverse,
    activity.in_exchange,
    activity.machine_rule
from activity
left join {{ ref('stg_lake__activity_thread') }} as thread on activity.activity_id = thread.activity_id
