-- L2, L8, L10, L11, L13, L14: whom a record takes for its customer people, and for which reason.
with account_contact as (
    select
        accountid as account_id,
        primarycontactid as contact_id
    from {{ ref('stg_dataverse__account') }}
    where primarycontactid is not null

    union all

    select
        coalesce(master.master_id, contact.parentcustomerid) as account_id,
        contact.contactid as contact_id
    from {{ ref('stg_dataverse__contact') }} as contact
    left join {{ ref('int_master') }} as master
        on master.record_type = 'account' and contact.parentcustomerid = master.id
    where contact.parentcustomerid_type = 'account'
),

people as (
    select
        record_type,
        record_id,
        record_type as party_type,
        record_id as party_id,
        'participant' as link_reason
    from {{ ref('int_record') }}
    where record_type in ('account', 'contact', 'lead')

    union all

    select
        'account' as record_type,
        account_contact.account_id as record_id,
        'contact' as party_type,
        coalesce(master.master_id, account_contact.contact_id) as party_id,
        'participant' as link_reason
    from account_contact
    left join {{ ref('int_master') }} as master
        on master.record_type = 'contact' and account_contact.contact_id = master.id

    union all

    select
        'opportunity' as record_type,
        opportunity_id as record_id,
        party_type,
        party_id,
        'participant' as link_reason
    from {{ ref('int_opportunity_customer') }}
    where party_type = 'contact'

    union all

    select
        record_type,
        record_id,
        party_type,
        party_id,
        'stakeholder' as link_reason
    from {{ ref('int_stakeholder') }}
)

select distinct
    people.record_type,
    people.record_id,
    people.party_type,
    people.party_id,
    people.link_reason
from people
inner join {{ ref('int_record') }} as record
    on people.record_type = record.record_type and people.record_id = record.record_id
where
    people.link_reason in (
        {%- for reason in ['participant', 'stakeholder'] if var('link_' ~ reason ~ '_enabled') -%}
        '{{ reason }}', {% endfor -%}
        ''
    )
