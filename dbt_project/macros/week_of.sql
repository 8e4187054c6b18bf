{# The Monday whose first instant is the as-of of a weekly run: the day after the one that holds the instant before. #}
{% macro week_of() -%}
    cast({{ as_of_date() }} + 1 as date)
{%- endmacro %}
