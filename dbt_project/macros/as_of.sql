{# The instant that the run computes for, as a literal. #}
{% macro as_of() -%}
    {{ instant_literal(var('as_of')) }}
{%- endmacro %}

{# The as-of of the build that an update brings up to date, as a literal. #}
{% macro base_as_of() -%}
    {{ instant_literal(var('base_as_of')) if execute else as_of() }}
{%- endmacro %}

{# The reporting day that holds the last instant before as-of, as a literal. #}
{% macro as_of_date() -%}
    date '{{ local_time(parse_instant(var("as_of")) - modules.datetime.timedelta(microseconds=1)).strftime("%Y-%m-%d") }}'
{%- endmacro %}

{# The reporting day of an instant. #}
{% macro reporting_day(instant) -%}
    cast({{ wall_clock(instant, var('reporting_timezone')) }} as date)
{%- endmacro %}

{# The first instant of a reporting day. #}
{% macro day_start(day) -%}
    {{ instant_of_wall_clock('cast(' ~ day ~ ' as timestamp)', var('reporting_timezone')) }}
{%- endmacro %}

{# An ISO 8601 text with a zone as a datetime in UTC. #}
{% macro parse_instant(text) -%}
    {% set parsed = modules.datetime.datetime.fromisoformat((text | string).replace('Z', '+00:00')) %}
    {% if parsed.tzinfo is none %}
        {{ exceptions.raise_compiler_error("'" ~ text ~ "' is no instant: give a time with a zone, such as 2026-07-06T00:00:00Z") }}
    {% endif %}
    {{ return(parsed.astimezone(modules.pytz.utc)) }}
{%- endmacro %}

{# A datetime in the reporting time zone. #}
{% macro local_time(moment) -%}
    {{ return(moment.astimezone(modules.pytz.timezone(var('reporting_timezone')))) }}
{%- endmacro %}

{# An ISO 8601 text with a zone as an instant literal. #}
{% macro instant_literal(text) -%}
    {{ instant("'" ~ parse_instant(text).strftime('%Y-%m-%d %H:%M:%S.%f+00:00') ~ "'") }}
{%- endmacro %}
