{# Days from one date to another, bigint. #}
{% macro days_between(earlier, later) -%}
    {{ adapter.dispatch('days_between', 'rapport')(earlier, later) }}
{%- endmacro %}

{% macro duckdb__days_between(earlier, later) -%}
    cast({{ later }} - {{ earlier }} as bigint)
{%- endmacro %}

{% macro spark__days_between(earlier, later) -%}
    cast(datediff({{ later }}, {{ earlier }}) as bigint)
{%- endmacro %}

{# ISO weekday of a date, 1 (Monday) to 7. #}
{% macro iso_weekday(day) -%}
    {{ adapter.dispatch('iso_weekday', 'rapport')(day) }}
{%- endmacro %}

{% macro duckdb__iso_weekday(day) -%}
    cast(extract(isodow from {{ day }}) as bigint)
{%- endmacro %}

{% macro spark__iso_weekday(day) -%}
    cast(weekday({{ day }}) + 1 as bigint)
{%- endmacro %}

{# A query of every date from one to another, both included, in column `date_day`. #}
{% macro date_series(first, last, relation=none) -%}
    {{ adapter.dispatch('date_series', 'rapport')(first, last, relation) }}
{%- endmacro %}

{% macro duckdb__date_series(first, last, relation) -%}
    select cast(unnest(generate_series(cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval '1' day)) as date) as date_day
    {%- if relation %} from {{ relation }}{% endif %}
{%- endmacro %}

{% macro spark__date_series(first, last, relation) -%}
    select explode(sequence({{ first }}, {{ last }}, interval '1' day)) as date_day
    {%- if relation %} from {{ relation }}{% endif %}
{%- endmacro %}
