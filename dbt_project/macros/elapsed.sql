{# Elapsed days (24 h each) from one instant to another, a fraction. #}
{% macro days_elapsed(earlier, later) -%}
    ({{ seconds_between(earlier, later) }} / cast(86400 as double))
{%- endmacro %}

{# Whole days that have passed: the floor of days_elapsed, bigint. #}
{% macro whole_days(earlier, later) -%}
    cast(floor({{ days_elapsed(earlier, later) }}) as bigint)
{%- endmacro %}

{# The instant a number of days (24 h each) before another. #}
{% macro days_before(instant, days) -%}
    ({{ instant }} - interval '{{ days }}' day)
{%- endmacro %}

{# f of the health and alert rules: the days within which a contact is expected (communication_frequency). #}
{% macro expected_interval_days() -%}
    {%- set days = {'daily': 1, 'few_days': 3, 'weekly': 7, 'biweekly': 14, 'monthly': 30} -%}
    {%- set frequency = var('communication_frequency') -%}
    {%- if frequency not in days -%}
        {{ exceptions.raise_compiler_error("var communication_frequency is '" ~ frequency ~ "'; use one of " ~ days.keys() | join(', ')) }}
    {%- endif -%}
    {{ return(days[frequency]) }}
{%- endmacro %}
