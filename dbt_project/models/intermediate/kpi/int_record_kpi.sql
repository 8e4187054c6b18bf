-- The lifetime KPIs of every record, whatever its type.
select
    measure.record_type,
    measure.record_id,
    {% for name in kpi_measure_names() -%}
    measure.{{ name }},
    {% endfor -%}
    latest.first_at as first_interaction_at,
    latest.occurred_at as last_interaction_at,
    latest.activity_type as last_interaction_type,
    latest.initiated_by as last_interaction_by,
    latest.activity_id as last_interaction_activity_id,
    upcoming.occurred_at as next_interaction_at,
    upcoming.activity_type as next_interaction_type,
    upcoming.initiated_by as next_interaction_by,
    upcoming.activity_id as next_interaction_activity_id,
    coalesce(people.team_people, 0) as team_people_90d,
    coalesce(people.customer_people, 0) as customer_people_90d
from {{ ref('int_kpi_measure') }} as measure
left join {{ ref('int_record_interaction') }} as latest
    on measure.record_type = latest.record_type and measure.record_id = latest.record_id and latest.kind = 'last'
left join {{ ref('int_record_interaction') }} as upcoming
    on measure.record_type = upcoming.record_type and measure.record_id = upcoming.record_id and upcoming.kind = 'next'
left join {{ ref('int_record_people') }} as people
    on measure.record_type = people.record_type and measure.record_id = people.record_id
where measure.kpi_set = 'lifetime'
