select
    record_id as contact_id,
    {% for name in kpi_measure_names() -%}
    {{ name }},
    {% endfor -%}
    first_interaction_at,
    last_interaction_at,
    last_interaction_type,
    last_interaction_by,
    last_interaction_activity_id,
    next_interaction_at,
    next_interaction_type,
    next_interaction_by,
    next_interaction_activity_id,
    team_people_90d,
    customer_people_90d,
    {{ as_of() }} as as_of
from {{ ref('int_record_kpi') }}
where record_type = 'contact'
