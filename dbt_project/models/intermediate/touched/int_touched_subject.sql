-- Records that a touched activity links to, or did.
{% if execute and not is_update() -%}
{{ nothing_touched(['record_type', 'record_id']) }}
{%- else -%}
select distinct
    record_type,
    record_id
from {{ ref('int_touched_day') }}
{%- endif %}
