-- Records that a touched activity links to, or did.
{% if execute and not is_update() -%}
{{ nothing_touched(['record_type', 'record_id']) }}
{%- else -%}
select
    record_type,
    record_id
from {{ ref('int_touched_link') }}

union

select
    link.record_type,
    link.record_id
from {{ ref('int_record_link') }} as link
inner join {{ ref('int_touched_activity') }} as touched on link.activity_id = touched.activity_id
{%- endif %}
