-- The people of touched records, as they were and as they are; the records themselves where they are people.
{% if execute and not is_update() -%}
{{ nothing_touched(['party_type', 'party_id']) }}
{%- else -%}
with customer as (
    select
        record_type,
        record_id,
        party_type,
        party_id
    from {{ ref('int_record_customer') }}

    union all

    select
        record_type,
        record_id,
        party_type,
        party_id
    from {{ source('previous', 'int_record_customer') }}
)

select distinct
    customer.party_type,
    customer.party_id
from customer
inner join {{ ref('int_touched_record') }} as touched
    on customer.record_type = touched.record_type and customer.record_id = touched.record_id
{%- endif %}
