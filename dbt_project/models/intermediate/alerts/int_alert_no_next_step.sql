with waiting as (
    select
        record_type,
        record_id,
        last_interaction_at,
        days_to_close,
        coalesce(last_interaction_at, created_at) as since
    from {{ ref('int_alert_subject') }}
    where is_open_opportunity and next_interaction_at is null
)

select
    record_type,
    record_id,
    'no_next_step' as alert,
    case when days_to_close <= {{ var('close_soon_days') }} then 'high' else 'medium' end as severity,
    since,
    {{ json_object([
        ['last_interaction_at', json_instant('last_interaction_at')],
        ['days_since', json_number(whole_days('since', as_of()))],
        ['days_to_close', json_number('days_to_close')],
        ['threshold_days', json_number(var('no_next_step_days'))],
    ]) }} as evidence
from waiting
where {{ days_elapsed('since', as_of()) }} >= {{ var('no_next_step_days') }}
