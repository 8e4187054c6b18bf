{# A fraction as a decimal of 12 places, so that sums of it do not depend on their order (K6). #}
{% macro exact_term(expression) -%}
    cast({{ expression }} as decimal(38, 12))
{%- endmacro %}

{# The sum of fractions, as a double; 0 of nothing. #}
{% macro exact_sum(expression) -%}
    cast(coalesce(sum({{ exact_term(expression) }}), 0) as double)
{%- endmacro %}
