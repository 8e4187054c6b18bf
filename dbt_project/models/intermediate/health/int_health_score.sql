-- H2, H4: terms and score at as-of (now) and 2f days before it (previous), from activities completed by then.
{% set f = expected_interval_days() %}
{% set weights = var('health_weights') %}
{% set points = {'now': as_of(), 'previous': as_of() ~ " - interval '" ~ (2 * f) ~ "' day"} %}
with weighed as (
    select
        activity.record_type,
        activity.record_id,
        activity.occurred_at,
        {% for point, point_at in points.items() -%}
        activity.occurred_at < {{ point_at }} and activity.ended_at <= {{ point_at }} as is_done_{{ point }},
        {{ days_elapsed('activity.occurred_at', '(' ~ point_at ~ ')') }} as age_days_{{ point }},
        {% endfor -%}
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
),

faded as (
    select
        {% for point in points -%}
        case
            when is_done_{{ point }} and age_days_{{ point }} <= {{ 24 * f }}
                then {{ exact_term('relative_weight * power(0.5, age_days_' ~ point ~ ' / ' ~ (2 * f) ~ ')') }}
        end as presence_{{ point }},
        {% endfor -%}
        weighed.*
    from weighed
),

summed as (
    select
        {% for point in points -%}
        count(*) filter (where is_done_{{ point }}) as activities_count_{{ point }},
        max(occurred_at) filter (where is_done_{{ point }}) as last_activity_at_{{ point }},
        min(age_days_{{ point }}) filter (where is_done_{{ point }}) as last_age_days_{{ point }},
        cast(coalesce(sum(presence_{{ point }}), 0) as double) as presence_{{ point }},
        cast(coalesce(sum(presence_{{ point }}) filter (where is_engagement), 0) as double) as engaged_presence_{{ point }},
        {% endfor -%}
        record_type,
        record_id
    from faded
    group by record_type, record_id
),

at_point as (
    {% for point in points -%}
    select
        record_type,
        record_id,
        '{{ point }}' as point,
        activities_count_{{ point }} as activities_count,
        last_activity_at_{{ point }} as last_activity_at,
        last_age_days_{{ point }} as last_age_days,
        presence_{{ point }} as presence,
        engaged_presence_{{ point }} as engaged_presence
    from summed
    where activities_count_{{ point }} > 0
    {% if not loop.last %}
    union all

    {% endif %}
    {%- endfor %}
),

termed as (
    select
        at_point.*,
        least(cast(1 as double), presence * (1 - power(0.5, 0.5))) as activity_term,
        power(0.5, greatest(cast(0 as double), last_age_days - {{ f }}) / {{ 2 * f }}) as recency_term,
        case
            when presence > 0 then least(cast(1 as double), 2 * engaged_presence / presence)
            else cast(0 as double)
        end as engagement_term
    from at_point
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
