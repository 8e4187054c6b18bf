select
    record_type,
    record_id,
    cast(case kpi_set when '30d' then 30 else 90 end as bigint) as window_days,
    {% for name in kpi_measure_names() -%}
    {{ name }},
    {% endfor -%}
    {{ as_of() }} as as_of
from {{ ref('int_kpi_measure') }}
where kpi_set in ('30d', '90d')
