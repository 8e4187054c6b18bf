{% set f = expected_interval_days() %}
select
    record_type,
    record_id,
    'overdue_contact' as alert,
    case
        when {{ days_elapsed('last_interaction_at', as_of()) }} > {{ var('overdue_high_factor') }} * {{ f }} then 'high'
        else 'medium'
    end as severity,
    last_interaction_at + interval '{{ f }}' day as since,
    {{ json_object([
        ['last_interaction_at', json_instant('last_interaction_at')],
        ['days_since', json_number(whole_days('last_interaction_at', as_of()))],
        ['expected_interval_days', json_number(f)],
    ]) }} as evidence
from {{ ref('int_alert_subject') }}
where
    is_watched
    and next_interaction_at is null
    and {{ days_elapsed('last_interaction_at', as_of()) }} > {{ var('overdue_factor') }} * {{ f }}
    and {{ days_elapsed('last_interaction_at', as_of()) }} <= {{ var('overdue_max_days') }}
