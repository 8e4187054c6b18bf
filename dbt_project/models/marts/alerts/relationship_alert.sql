{% set alerts = [
    'going_dark', 'ghosted', 'single_threaded', 'no_next_step',
    'overdue_contact', 'no_decision_maker', 'close_date_passed', 'declining',
] %}
{% for alert in alerts -%}
select
    record_type,
    record_id,
    alert,
    severity,
    since,
    evidence,
    {{ as_of() }} as as_of
from {{ ref('int_alert_' ~ alert) }}
{% if not loop.last %}
union all

{% endif %}
{%- endfor %}
