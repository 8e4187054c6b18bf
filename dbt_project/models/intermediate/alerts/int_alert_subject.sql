-- A1: every record that may raise an alert, with the figures that the conditions read.
select
    record.record_type,
    record.record_id,
    record.created_at,
    record.record_type in ('contact', 'account') and record.is_active
    or record.record_type in ('lead', 'opportunity') and record.is_open as is_watched,
    record.record_type = 'opportunity' and record.is_open as is_open_opportunity,
    record.estimated_close_date,
    {{ days_between(as_of_date(), 'record.estimated_close_date') }} as days_to_close,
    kpi.next_interaction_at,
    kpi.customer_people_90d,
    signal.last_interaction_at,
    signal.last_customer_signal_at,
    coalesce(recent.interactions_90d, 0) as interactions_90d,
    recent.first_interaction_90d_at,
    signal.signals_90d_before,
    signal.unanswered_emails,
    signal.first_unanswered_at,
    signal.last_unanswered_at
from {{ ref('int_record') }} as record
inner join {{ ref('int_record_kpi') }} as kpi
    on record.record_type = kpi.record_type and record.record_id = kpi.record_id
left join {{ ref('int_record_signal') }} as signal
    on record.record_type = signal.record_type and record.record_id = signal.record_id
left join {{ ref('int_record_recent') }} as recent
    on record.record_type = recent.record_type and record.record_id = recent.record_id
