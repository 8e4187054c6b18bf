-- H1: the records that have a health row.
select
    record_type,
    record_id,
    created_at
from {{ ref('int_record') }}
where
    record_type = 'contact'
    or (record_type in ('lead', 'opportunity') and is_open)
    {% if var('health_for_accounts') -%}
    or record_type = 'account'
    {%- endif %}
