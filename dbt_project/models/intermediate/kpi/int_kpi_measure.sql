{{ config(**kept('int_touched_figure', ['record_type', 'record_id', 'kpi_set'])) }}
-- The MEASURES of every record and KPI set at as-of.
with figure as (
    select *
    from {{ ref('int_kpi_subject') }}
    where {{ is_touched('int_touched_figure', ['record_type', 'record_id', 'kpi_set']) }}
),

measured as (
    {{ kpi_measures('figure') | indent(4) }}
)

select
    figure.record_type,
    figure.record_id,
    figure.kpi_set,
    measured.*
from measured
inner join figure on measured.subject_id = figure.subject_id
