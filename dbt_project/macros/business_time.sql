{# Whether a date is a working day: a weekday of `business_hours` that is no holiday. Weekday 0, which is none, keeps an empty list SQL. #}
{% macro is_business_day(day) -%}
    {{ iso_weekday(day) }} in ({{ (var('business_hours').days or [0]) | join(', ') }})
    {%- if var('holidays') %}
    and {{ day }} not in (
        {%- for holiday in var('holidays') %}date '{{ holiday }}'{{ ', ' if not loop.last }}{% endfor -%}
    )
    {%- endif %}
{%- endmacro %}

{# The wall-clock time HH:MM on a date; 24:00 is the midnight that ends it. #}
{% macro wall_clock_of(day, time) -%}
    {%- set parts = (time | string).split(':') -%}
    (cast({{ day }} as timestamp) + interval '{{ parts[0] | int * 60 + parts[1] | int }}' minute)
{%- endmacro %}

{# Business seconds from the start of the calendar to an instant, bigint; `day` is the row of int_business_day of its reporting day. #}
{% macro business_clock(instant, day) -%}
    {{ day }}.seconds_before + case
        when not {{ day }}.is_business_day or {{ instant }} <= {{ day }}.opens_at then 0
        else cast({{ seconds_between(day ~ '.opens_at', 'least(' ~ instant ~ ', ' ~ day ~ '.closes_at)') }} as bigint)
    end
{%- endmacro %}
