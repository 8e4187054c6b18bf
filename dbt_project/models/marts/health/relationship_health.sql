select
    record_type,
    record_id,
    score,
    grade,
    state,
    trend,
    previous_score,
    activity_term,
    recency_term,
    engagement_term,
    cast(activities_count as bigint) as activities_count,
    last_activity_at,
    cast({{ expected_interval_days() }} as bigint) as expected_interval_days,
    {{ as_of() }} as as_of
from {{ ref('int_health_state') }}
