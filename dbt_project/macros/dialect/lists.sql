{# Whether a list holds a text. #}
{% macro list_has(list, text) -%}
    {{ adapter.dispatch('list_has', 'rapport')(list, text) }}
{%- endmacro %}

{% macro duckdb__list_has(list, text) -%}
    coalesce(list_contains({{ list }}, '{{ text }}'), false)
{%- endmacro %}

{% macro spark__list_has(list, text) -%}
    coalesce(array_contains({{ list }}, '{{ text }}'), false)
{%- endmacro %}
