-- What every figure of a record is made of: its counted, completed activities.
select
    link.record_type,
    link.record_id,
    activity.activity_id,
    activity.activity_type,
    activity.occurred_at,
    activity.ended_at,
    activity.occurred_date,
    activity.initiated_by,
    activity.thread_id,
    activity.is_machine,
    activity.is_private,
    activity.team_minutes,
    activity.customer_minutes,
    activity.team_on_count,
    activity.customer_on_count,
    activity.customer_took_part_count,
    activity.is_followed,
    activity.open_count,
    activity.link_click_count,
    activity.attachment_count,
    activity.attachment_open_count,
    activity.reply_count
from {{ ref('activity_record_link') }} as link
inner join {{ ref('int_activity') }} as activity on link.activity_id = activity.activity_id
where link.is_counted and activity.status = 'completed'
