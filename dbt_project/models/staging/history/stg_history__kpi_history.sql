select
    record_type,
    record_id,
    as_of_date,
    kpi_set,
    {% for name in kpi_measure_names() -%}
    {{ name }},
    {% endfor -%}
    score,
    state,
    trend,
    {{ instant('as_of') }} as as_of
from {{ source('history', 'kpi_history') }}
