{# Ten times a figure, rounded half up after rounding to 9 decimals: what one shown decimal is made of (K23). #}
{% macro tenths(expression) -%}
    cast(floor(round(10 * ({{ expression }}), 9) + 0.5) as bigint)
{%- endmacro %}

{# Text of a figure given in tenths, always with its decimal. #}
{% macro tenths_text(tenths) -%}
    cast(cast(floor(({{ tenths }}) / cast(10 as double)) as bigint) as string) || '.' || cast(mod({{ tenths }}, 10) as string)
{%- endmacro %}

{# A whole number as text. #}
{% macro whole_text(expression) -%}
    cast(cast({{ expression }} as bigint) as string)
{%- endmacro %}

{# The plural ending of a noun that follows a number. #}
{% macro plural(number) -%}
    case when {{ number }} = 1 then '' else 's' end
{%- endmacro %}
