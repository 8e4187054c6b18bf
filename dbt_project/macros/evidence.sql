{# A JSON object as text without blanks. `members` is a list of [key, SQL of the value's JSON text]. #}
{% macro json_object(members) -%}
    '{' || {% for key, value in members -%}
    '"{{ key }}":' || {{ value }} || {% if not loop.last %}',' || {% endif %}
    {%- endfor %}'}'
{%- endmacro %}

{# JSON text of a whole number; null as null. #}
{% macro json_number(expression) -%}
    coalesce(cast(cast({{ expression }} as bigint) as string), 'null')
{%- endmacro %}

{# JSON text of an instant, YYYY-MM-DDTHH:MM:SSZ; null as null. #}
{% macro json_instant(expression) -%}
    coalesce('"' || {{ instant_text(expression) }} || '"', 'null')
{%- endmacro %}

{# JSON text of a date, YYYY-MM-DD; null as null. #}
{% macro json_date(expression) -%}
    coalesce('"' || cast({{ expression }} as string) || '"', 'null')
{%- endmacro %}
