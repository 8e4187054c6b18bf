{{ config(materialized='view') }}
-- What every figure of a record is made of: its counted, completed activities.
select
    record_type,
    record_id,
    activity_id,
    activity_type,
    occurred_at,
    ended_at,
    occurred_date,
    initiated_by,
    thread_id,
    is_machine,
    is_private,
    team_minutes,
    customer_minutes,
    team_on_count,
    customer_on_count,
    customer_took_part_count,
    is_followed,
    open_count,
    link_click_count,
    attachment_count,
    attachment_open_count,
    reply_count
from {{ ref('int_record_link') }}
where is_counted and status = 'completed'
