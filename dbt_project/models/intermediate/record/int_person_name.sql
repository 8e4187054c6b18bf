-- K9: the name that the CRM has for a person.
{% for person_type, table, name in [('user', 'systemuser', 'fullname'), ('contact', 'contact', 'fullname'), ('lead', 'lead', 'fullname'),
                                    ('account', 'account', 'name')] -%}
select
    '{{ person_type }}' as person_type,
    {{ table }}id as person_id,
    {{ name }} as display_name
from {{ ref('stg_dataverse__' ~ table) }}
where trim({{ name }}) <> ''
{% if not loop.last %}
union all

{% endif %}
{%- endfor %}
