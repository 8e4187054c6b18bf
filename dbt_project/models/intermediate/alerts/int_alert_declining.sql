select
    record_type,
    record_id,
    'declining' as alert,
    case when grade = 'poor' then 'high' else 'medium' end as severity,
    {{ days_before(as_of(), 2 * expected_interval_days()) }} as since,
    {{ json_object([
        ['score', json_number('score')],
        ['previous_score', json_number('previous_score')],
        ['change', json_number('score - previous_score')],
    ]) }} as evidence
from {{ ref('int_health_state') }}
where trend = 'declining'
