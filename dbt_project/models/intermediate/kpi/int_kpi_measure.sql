-- The MEASURES of every record and KPI set at as-of.
with measured as (
    {{ kpi_measures(ref('int_kpi_subject')) | indent(4) }}
)

select
    subject.record_type,
    subject.record_id,
    subject.kpi_set,
    measured.*
from measured
inner join {{ ref('int_kpi_subject') }} as subject on measured.subject_id = subject.subject_id
