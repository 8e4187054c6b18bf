{# Whether the run brings a copy of the last build up to date; otherwise it builds from nothing. #}
{% macro is_update() -%}
    {{ return(var('base_snapshot') is not none) }}
{%- endmacro %}

{# dbt asks this of every incremental model: whether to build it from nothing. #}
{% macro should_full_refresh() -%}
    {{ return(not is_update()) }}
{%- endmacro %}

{# Config of a model whose rows stay from build to build: an update deletes those whose `columns` a row of `touched` names, and adds what
   the model gives for these. `stamped`: every row carries the as-of, which is moved on. #}
{% macro kept(touched, columns, stamped=false) -%}
    {{ return(adapter.dispatch('kept', 'rapport')(touched, columns, stamped)) }}
{%- endmacro %}

{% macro duckdb__kept(touched, columns, stamped) -%}
    {% set hooks = ["{{ forget_touched('" ~ touched ~ "', '" ~ columns | join(', ') ~ "') }}"] %}
    {% do hooks.append("{{ stamp_as_of() }}") if stamped %}
    {{ return({'materialized': 'incremental', 'incremental_strategy': 'append', 'on_schema_change': 'fail', 'pre_hook': hooks}) }}
{%- endmacro %}

{# Parquet tables of Spark know no delete: built from nothing each time. #}
{% macro spark__kept(touched, columns, stamped) -%}
    {{ return({'materialized': 'table'}) }}
{%- endmacro %}

{% macro forget_touched(touched, columns) -%}
    {% if is_incremental() -%}
        delete from {{ this }} where ({{ columns }}) in (select {{ columns }} from {{ ref(touched) }})
    {%- endif %}
{%- endmacro %}

{% macro stamp_as_of() -%}
    {% if is_incremental() -%}
        update {{ this }} set as_of = {{ as_of() }}
    {%- endif %}
{%- endmacro %}

{# Condition of the rows that a run works out: those whose `columns` a row of `touched` names, all when it builds from nothing. `relation`
   has the columns where a query joins several. #}
{% macro is_touched(touched, columns, relation=none) -%}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    {%- if execute and not is_update() -%}
        true
    {%- else -%}
        ({{ prefix }}{{ columns | join(', ' ~ prefix) }}) in (select {{ columns | join(', ') }} from {{ ref(touched) }})
    {%- endif -%}
{%- endmacro %}

{# What the `touched` models hold when a run builds from nothing: no row. #}
{% macro nothing_touched(columns) -%}
select
    {% for column in columns -%}
    cast(null as {{ 'date' if column.endswith('_date') else 'string' }}) as {{ column }}{{ ',' if not loop.last }}
    {% endfor -%}
where false
{%- endmacro %}

{# Rows of a model that came, went or changed since the build before, as they were and as they are, in some of its columns. #}
{% macro changed_rows(model, columns) -%}
    {%- set now, before = ref(model), source('previous', model) -%}
    {%- for one, other in [(now, before), (before, now)] %}
    select {{ columns | join(', ') }}
    from (
        select {{ columns | join(', ') }} from {{ one }}
        except
        select {{ columns | join(', ') }} from {{ other }}
    ) as changed
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}

{# Names a model that reads what the calling model holds before an update changes it, and so has to run first. #}
{% macro reads_before_update(model) -%}
    {% do ref(model) if not execute or is_update() %}
{%- endmacro %}
