-- What the KPIs of this as-of are computed for: every record over its life, 30 and 90 days.
{% for kpi_set, days in kpi_sets() -%}
select
    record_type || ':' || record_id || ':{{ kpi_set }}' as subject_id,
    record_type,
    record_id,
    '{{ kpi_set }}' as kpi_set,
    {{ days_before(as_of(), days) if days else instant('null') }} as window_start,
    {{ as_of() }} as cut_at
from {{ ref('int_record') }}
{% if not loop.last %}
union all

{% endif %}
{%- endfor %}
