select
    record_type,
    record_id,
    'single_threaded' as alert,
    case when days_to_close <= {{ var('close_soon_days') }} then 'high' else 'medium' end as severity,
    first_interaction_90d_at as since,
    {{ json_object([
        ['customer_people_90d', json_number('customer_people_90d')],
        ['interactions_90d', json_number('interactions_90d')],
        ['days_to_close', json_number('days_to_close')],
    ]) }} as evidence
from {{ ref('int_alert_subject') }}
where
    is_open_opportunity
    and customer_people_90d = 1
    and interactions_90d >= {{ var('single_threaded_min_interactions') }}
