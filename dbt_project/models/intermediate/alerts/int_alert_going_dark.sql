select
    record_type,
    record_id,
    'going_dark' as alert,
    case
        when {{ days_elapsed('last_customer_signal_at', as_of()) }} >= {{ var('going_dark_high_days') }} then 'high'
        else 'medium'
    end as severity,
    last_customer_signal_at as since,
    {{ json_object([
        ['last_customer_signal_at', json_instant('last_customer_signal_at')],
        ['days_since', json_number(whole_days('last_customer_signal_at', as_of()))],
        ['signals_90d_before', json_number('signals_90d_before')],
        ['threshold_days', json_number(var('going_dark_days'))],
    ]) }} as evidence
from {{ ref('int_alert_subject') }}
where
    is_watched
    and {{ days_elapsed('last_customer_signal_at', as_of()) }} >= {{ var('going_dark_days') }}
    and {{ days_elapsed('last_customer_signal_at', as_of()) }} <= {{ var('going_dark_max_days') }}
    and signals_90d_before >= {{ var('going_dark_min_signals') }}
