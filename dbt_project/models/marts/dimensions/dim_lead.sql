select
    lead.leadid as lead_id,
    nullif(lead.fullname, '') as name,
    nullif(lead.companyname, '') as company,
    {{ first_address('lead') }} as email,
    coalesce(lead.leadsourcecode_label, cast(lead.leadsourcecode as string)) as lead_source,
    lead.ownerid as owner_id,
    nullif(owner.owner_name, '') as owner_name,
    case coalesce(lead.statecode, 0) when 0 then 'open' when 1 then 'qualified' else 'disqualified' end as state,
    lead.createdon as created_at
from {{ ref('stg_dataverse__lead') }} as lead
inner join {{ ref('int_record') }} as record on record.record_type = 'lead' and lead.leadid = record.record_id
left join {{ ref('int_owner') }} as owner on lead.ownerid = owner.owner_id
