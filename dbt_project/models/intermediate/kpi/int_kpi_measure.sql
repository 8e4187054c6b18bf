{{ config(**kept('int_touched_figure', ['record_type', 'record_id', 'kpi_set'])) }}
-- The MEASURES of every record and KPI set at as-of.
with figure as (
    select
        record_type,
        record_id,
        kpi_set,
        window_start,
        cut_at,
        subject_id as named_subject_id,
        -- a number costs less to group by
        row_number() over (order by subject_id asc nulls last) as subject_id
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
    figure.named_subject_id as subject_id,
    {% for name in kpi_measure_names() -%}
    measured.{{ name }},
    {% endfor -%}
    measured.activities_count
from measured
inner join figure on measured.subject_id = figure.subject_id
