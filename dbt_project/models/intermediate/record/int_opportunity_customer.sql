-- L11: the contacts and accounts of an opportunity; two of a kind where parent and customer differ.
with named as (
    select
        opportunityid as opportunity_id,
        'contact' as party_type,
        parentcontactid as party_id,
        1 as preference
    from {{ ref('stg_dataverse__opportunity') }}

    union all

    select
        opportunityid as opportunity_id,
        'account' as party_type,
        parentaccountid as party_id,
        1 as preference
    from {{ ref('stg_dataverse__opportunity') }}

    union all

    select
        opportunityid as opportunity_id,
        customerid_type as party_type,
        customerid as party_id,
        2 as preference
    from {{ ref('stg_dataverse__opportunity') }}
    where customerid_type in ('contact', 'account')
)

select
    named.opportunity_id,
    named.party_type,
    coalesce(master.master_id, named.party_id) as party_id,
    min(named.preference) as preference
from named
left join {{ ref('int_master') }} as master
    on named.party_type = master.record_type and named.party_id = master.id
where named.party_id is not null
group by named.opportunity_id, named.party_type, coalesce(master.master_id, named.party_id)
