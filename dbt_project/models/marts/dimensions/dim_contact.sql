select
    contact.contactid as contact_id,
    nullif(contact.fullname, '') as name,
    {{ first_address('contact') }} as email,
    nullif(contact.jobtitle, '') as job_title,
    case when contact.parentcustomerid_type = 'account' then coalesce(master.master_id, contact.parentcustomerid) end as account_id,
    nullif(account.name, '') as account_name,
    contact.ownerid as owner_id,
    nullif(owner.owner_name, '') as owner_name,
    case when record.is_active then 'active' else 'inactive' end as state,
    contact.createdon as created_at
from {{ ref('stg_dataverse__contact') }} as contact
inner join {{ ref('int_record') }} as record on record.record_type = 'contact' and contact.contactid = record.record_id
left join {{ ref('int_master') }} as master
    on
        master.record_type = 'account'
        and case when contact.parentcustomerid_type = 'account' then contact.parentcustomerid end = master.id
left join {{ ref('stg_dataverse__account') }} as account on master.master_id = account.accountid
left join {{ ref('int_owner') }} as owner on contact.ownerid = owner.owner_id
