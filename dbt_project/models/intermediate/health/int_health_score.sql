-- H2, H4: terms and score at as-of (now) and 2f days before it (previous), from activities completed by then.
{% set f = expected_interval_days() %}
{% set weights = var('health_weights') %}
with point as (
    select 'now' as point, {{ as_of() }} as point_at
    union all
    select 'previous' as point, {{ as_of() }} - interval '{{ 2 * f }}' day as point_at
),

aged as (
    select
        activity.record_type,
        activity.record_id,
        point.point,
        point.point_at,
        activity.occurred_at,
        {{ days_elapsed('activity.occurred_at', 'point.point_at') }} as age_days,
        case activity.activity_type
            {% for activity_type, weight in weights.items() -%}
            when '{{ activity_type }}' then {{ weight }} / cast(6 as double)
            {% endfor -%}
        end as relative_weight,
        coalesce(activity.initiated_by = 'them', false)
        or activity.activity_type in ('meeting', 'phone_call') as is_engagement
    from {{ ref('int_record_activity') }} as activity
    inner join {{ ref('int_health_subject') }} as subject
        on activity.record_type = subject.record_type and activity.record_id = subject.record_id
    inner join point
        on activity.occurred_at < point.point_at and activity.ended_at <= point.point_at
),

faded as (
    select
        aged.*,
        case
            when age_days <= {{ 24 * f }}
                then {{ exact_term('relative_weight * power(0.5, age_days / ' ~ (2 * f) ~ ')') }}
        end as presence
    from aged
),

summed as (
    select
        record_type,
        record_id,
        point,
        count(*) as activities_count,
        max(occurred_at) as last_activity_at,
        min(age_days) as last_age_days,
        cast(coalesce(sum(presence), 0) as double) as presence,
        cast(coalesce(sum(presence) filter (where is_engagement), 0) as double) as engaged_presence
    from faded
    group by record_type, record_id, point
),

termed as (
    select
        summed.*,
        least(cast(1 as double), presence * (1 - power(0.5, 0.5))) as activity_term,
        power(0.5, greatest(cast(0 as double), last_age_days - {{ f }}) / {{ 2 * f }}) as recency_term,
        case
            when presence > 0 then least(cast(1 as double), 2 * engaged_presence / presence)
            else cast(0 as double)
        end as engagement_term
    from summed
)

select
    record_type,
    record_id,
    point,
    activities_count,
    last_activity_at,
    activity_term,
    recency_term,
    engagement_term,
    cast(
        floor(round(100 * (0.5 * activity_term + 0.3 * recency_term + 0.2 * engagement_term), 9) + 0.5) as bigint
    ) as score
from termed
