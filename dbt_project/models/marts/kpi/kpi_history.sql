{% set measures = kpi_measure_names() -%}
select
    measure.record_type,
    measure.record_id,
    {{ as_of_date() }} as as_of_date,
    measure.kpi_set,
    {% for name in measures -%}
    measure.{{ name }},
    {% endfor -%}
    health.score,
    health.state,
    health.trend,
    {{ as_of() }} as as_of
from {{ ref('int_kpi_measure') }} as measure
left join {{ ref('relationship_health') }} as health
    on
        measure.record_type = health.record_type
        and case when measure.kpi_set = 'lifetime' then measure.record_id end = health.record_id

union all

select
    record_type,
    record_id,
    as_of_date,
    kpi_set,
    {% for name in measures -%}
    {{ name }},
    {% endfor -%}
    score,
    state,
    trend,
    as_of
from {{ ref('stg_history__kpi_history') }}
where
    as_of_date <> {{ as_of_date() }}
    and as_of_date > {{ as_of_date() }} - {{ var('history_days') }}
