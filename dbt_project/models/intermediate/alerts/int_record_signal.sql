{{ config(**kept('int_touched_subject', ['record_type', 'record_id'])) }}
-- A1: last interaction, customer signals and unanswered emails of every record with activity.
with activity as (
    select
        record_type,
        record_id,
        activity_type,
        occurred_at,
        activity_type <> 'task' as is_interaction,
        case activity_type
            when 'email' then coalesce(initiated_by = 'them', false)
            when 'task' then false
            else customer_took_part_count > 0
        end as is_customer_signal,
        activity_type = 'email'
        and coalesce(initiated_by = 'us', false)
        and customer_on_count > 0 as is_email_to_customer
    from {{ ref('int_record_activity') }}
    where {{ is_touched('int_touched_subject', ['record_type', 'record_id']) }}
),

latest as (
    select
        record_type,
        record_id,
        last_interaction_at,
        last_customer_signal_at,
        {{ days_before('last_customer_signal_at', 90) }} as signals_from
    from (
        select
            record_type,
            record_id,
            max(occurred_at) filter (where is_interaction) as last_interaction_at,
            max(occurred_at) filter (where is_customer_signal) as last_customer_signal_at
        from activity
        group by record_type, record_id
    ) as last_seen
),

dated as (
    select
        activity.*,
        latest.last_interaction_at,
        latest.last_customer_signal_at,
        is_customer_signal and occurred_at >= latest.signals_from as is_signal_90d_before,
        is_email_to_customer
        and (latest.last_customer_signal_at is null or occurred_at > latest.last_customer_signal_at) as is_unanswered
    from activity
    inner join latest on activity.record_type = latest.record_type and activity.record_id = latest.record_id
)

select
    record_type,
    record_id,
    last_interaction_at,
    last_customer_signal_at,
    count(*) filter (where is_signal_90d_before) as signals_90d_before,
    count(*) filter (where is_unanswered) as unanswered_emails,
    min(occurred_at) filter (where is_unanswered) as first_unanswered_at,
    max(occurred_at) filter (where is_unanswered) as last_unanswered_at
from dated
group by record_type, record_id, last_interaction_at, last_customer_signal_at
