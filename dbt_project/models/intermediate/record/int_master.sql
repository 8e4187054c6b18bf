-- N12: the record that an account, contact or lead id stands for; a merged one stands for its master.
{% for record_type in ['account', 'contact', 'lead'] -%}
select
    '{{ record_type }}' as record_type,
    {{ record_type }}id as id,
    coalesce(master_id, {{ record_type }}id) as master_id
from {{ ref('stg_dataverse__' ~ record_type) }}
{% if not loop.last %}
union all

{% endif %}
{%- endfor %}
