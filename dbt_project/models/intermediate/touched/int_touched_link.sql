-- Records that touched activities linked to in the build before, and on which reporting days.
{% if execute and not is_update() -%}
{{ nothing_touched(['record_type', 'record_id', 'activity_date']) }}
{%- else -%}
select distinct
    link.record_type,
    link.record_id,
    link.occurred_date as activity_date
from {{ source('kept', 'int_record_link') }} as link
inner join {{ ref('int_touched_activity') }} as touched on link.activity_id = touched.activity_id
{%- endif %}
