{# Whether a participant is on an activity by its role (L1). #}
{% macro is_on(activity_type, role, side) -%}
    case {{ activity_type }}
        when 'email' then {{ role }} in ('sender', 'to', 'cc') or ({{ role }} = 'delivered' and {{ side }} = 'us')
        when 'meeting' then {{ role }} in ('organizer', 'required', 'optional', 'delivered')
        when 'phone_call' then {{ role }} in ('from', 'callee')
        when 'task' then {{ role }} = 'owner'
        else false
    end
{%- endmacro %}

{# The kind of person that a participant is (K9). #}
{% macro person_type(side, user_id, contact_id, lead_id, account_id) -%}
    case
        when {{ side }} = 'us' and {{ user_id }} is not null then 'user'
        when {{ side }} = 'us' then 'address'
        when {{ contact_id }} is not null then 'contact'
        when {{ lead_id }} is not null then 'lead'
        when {{ account_id }} is not null then 'account'
        else 'address'
    end
{%- endmacro %}
