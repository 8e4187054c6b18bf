select
    record_type,
    record_id,
    'ghosted' as alert,
    case when unanswered_emails >= {{ var('ghosted_high_emails') }} then 'high' else 'medium' end as severity,
    first_unanswered_at as since,
    {{ json_object([
        ['first_unanswered_at', json_instant('first_unanswered_at')],
        ['last_unanswered_at', json_instant('last_unanswered_at')],
        ['unanswered_emails', json_number('unanswered_emails')],
        ['last_customer_signal_at', json_instant('last_customer_signal_at')],
        ['threshold_days', json_number(var('ghosted_days'))],
    ]) }} as evidence
from {{ ref('int_alert_subject') }}
where
    is_watched
    and unanswered_emails >= {{ var('ghosted_min_emails') }}
    and {{ days_elapsed('first_unanswered_at', as_of()) }} >= {{ var('ghosted_days') }}
    and {{ days_elapsed('last_unanswered_at', as_of()) }} <= {{ var('ghosted_max_days') }}
