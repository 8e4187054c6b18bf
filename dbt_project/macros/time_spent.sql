{# Minutes that an activity takes our people (K7, K8); its type, initiator, length and people are columns at hand. #}
{% macro team_minutes() -%}
    cast(coalesce(case
        when activity_type = 'email' and initiated_by = 'us' then {{ var('email_write_minutes') }}
        when activity_type = 'email' and initiated_by = 'them' and team_on_count > 0 then {{ var('email_read_minutes') }}
        when activity_type = 'meeting' and {{ costs_time() }} then duration_minutes * team_took_part_count
        when activity_type in ('phone_call', 'task') and team_on_count > 0 then duration_minutes
    end, 0) as double)
{%- endmacro %}

{# Minutes that an activity takes the customer. #}
{% macro customer_minutes() -%}
    cast(coalesce(case
        when activity_type = 'email' and initiated_by = 'them' then {{ var('email_write_minutes') }}
        when activity_type = 'email' and initiated_by = 'us' and customer_on_count > 0 then {{ var('email_read_minutes') }}
        when activity_type = 'meeting' and {{ costs_time() }} and customer_took_part_count > 0 then duration_minutes
        when activity_type = 'phone_call' and customer_on_count > 0 then duration_minutes
    end, 0) as double)
{%- endmacro %}

{# Whether a meeting takes time: not when it is all day or as long as a day. #}
{% macro costs_time() -%}
    not coalesce(is_all_day, false) and duration_minutes < {{ var('meeting_max_minutes') }}
{%- endmacro %}
