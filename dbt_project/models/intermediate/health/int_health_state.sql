-- H3, H4: state, grade and trend of every record with a health row.
{% set max_age_days = var('health_max_age_days') %}
with joined as (
    select
        subject.record_type,
        subject.record_id,
        coalesce(latest.activities_count, 0) as activities_count,
        latest.last_activity_at,
        latest.activity_term,
        latest.recency_term,
        latest.engagement_term,
        latest.score,
        case when previous.activities_count >= 3 then previous.score end as previous_score,
        case
            {% if max_age_days is not none -%}
            when subject.created_at < {{ as_of() }} - interval '{{ max_age_days }}' day then 'older_than_2_years'
            {% endif -%}
            when coalesce(latest.activities_count, 0) = 0 then 'no_closed_activities'
            when latest.activities_count < 3 then 'not_enough_info'
            when latest.score >= {{ var('health_good_min') }} then 'good'
            when latest.score >= {{ var('health_fair_min') }} then 'fair'
            else 'poor'
        end as state
    from {{ ref('int_health_subject') }} as subject
    left join {{ ref('int_health_score') }} as latest
        on
            subject.record_type = latest.record_type
            and subject.record_id = latest.record_id
            and latest.point = 'now'
    left join {{ ref('int_health_score') }} as previous
        on
            subject.record_type = previous.record_type
            and subject.record_id = previous.record_id
            and previous.point = 'previous'
),

graded as (
    select
        joined.*,
        state in ('good', 'fair', 'poor') as has_score
    from joined
)

select
    record_type,
    record_id,
    case when has_score then score end as score,
    case when has_score then state end as grade,
    state,
    case
        when not has_score or previous_score is null then 'not_enough_info'
        when score - previous_score >= {{ var('health_trend_points') }} then 'improving'
        when score - previous_score <= -{{ var('health_trend_points') }} then 'declining'
        else 'steady'
    end as trend,
    case when has_score then previous_score end as previous_score,
    case when has_score then activity_term end as activity_term,
    case when has_score then recency_term end as recency_term,
    case when has_score then engagement_term end as engagement_term,
    activities_count,
    last_activity_at
from graded
