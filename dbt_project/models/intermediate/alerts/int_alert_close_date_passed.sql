select
    record_type,
    record_id,
    'close_date_passed' as alert,
    case when -days_to_close > {{ var('close_date_high_days') }} then 'high' else 'medium' end as severity,
    {{ day_start('estimated_close_date + 1') }} as since,
    {{ json_object([
        ['estimated_close_date', json_date('estimated_close_date')],
        ['days_late', json_number('-days_to_close')],
    ]) }} as evidence
from {{ ref('int_alert_subject') }}
where is_open_opportunity and days_to_close < 0
