{# An instant (a point in time, UTC) from a text or a timestamp. #}
{% macro instant(expression) -%}
    {{ adapter.dispatch('instant', 'rapport')(expression) }}
{%- endmacro %}

{% macro duckdb__instant(expression) -%}
    cast({{ expression }} as timestamp with time zone)
{%- endmacro %}

{% macro spark__instant(expression) -%}
    cast({{ expression }} as timestamp)
{%- endmacro %}

{# Seconds from one instant to another, double. #}
{% macro seconds_between(earlier, later) -%}
    {{ adapter.dispatch('seconds_between', 'rapport')(earlier, later) }}
{%- endmacro %}

{% macro duckdb__seconds_between(earlier, later) -%}
    ((epoch_us({{ later }}) - epoch_us({{ earlier }})) / cast(1000000 as double))
{%- endmacro %}

{% macro spark__seconds_between(earlier, later) -%}
    ((unix_micros({{ later }}) - unix_micros({{ earlier }})) / cast(1000000 as double))
{%- endmacro %}

{# The wall-clock time of an instant in a zone. #}
{% macro wall_clock(instant, zone) -%}
    {{ adapter.dispatch('wall_clock', 'rapport')(instant, zone) }}
{%- endmacro %}

{% macro duckdb__wall_clock(instant, zone) -%}
    timezone('{{ zone }}', {{ instant }})
{%- endmacro %}

{% macro spark__wall_clock(instant, zone) -%}
    from_utc_timestamp({{ instant }}, '{{ zone }}')
{%- endmacro %}

{# The instant at which clocks of a zone show a time: the first where they show it twice, forward by the gap where they skip it. #}
{% macro instant_of_wall_clock(wall_clock, zone) -%}
    {{ adapter.dispatch('instant_of_wall_clock', 'rapport')(wall_clock, zone) }}
{%- endmacro %}

{#- The engine may answer with the later of two: the offset of the day before tells the earlier one. -#}
{% macro duckdb__instant_of_wall_clock(wall_clock, zone) -%}
    {%- set answer = "timezone('" ~ zone ~ "', " ~ wall_clock ~ ")" -%}
    {%- set earlier = "(timezone('" ~ zone ~ "', " ~ wall_clock ~ " - interval '1' day) + (" ~ wall_clock ~ " - timezone('" ~ zone
        ~ "', timezone('" ~ zone ~ "', " ~ wall_clock ~ " - interval '1' day))))" -%}
    case
        when timezone('{{ zone }}', {{ earlier }}) = {{ wall_clock }} then least({{ earlier }}, {{ answer }})
        else {{ answer }}
    end
{%- endmacro %}

{% macro spark__instant_of_wall_clock(wall_clock, zone) -%}
    to_utc_timestamp({{ wall_clock }}, '{{ zone }}')
{%- endmacro %}

{# Text of an instant, YYYY-MM-DDTHH:MM:SSZ. #}
{% macro instant_text(instant) -%}
    {{ adapter.dispatch('instant_text', 'rapport')(instant) }}
{%- endmacro %}

{% macro duckdb__instant_text(instant) -%}
    strftime({{ wall_clock(instant, 'UTC') }}, '%Y-%m-%dT%H:%M:%SZ')
{%- endmacro %}

{% macro spark__instant_text(instant) -%}
    date_format({{ instant }}, "yyyy-MM-dd'T'HH:mm:ss'Z'")
{%- endmacro %}
