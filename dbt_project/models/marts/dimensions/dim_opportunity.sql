select
    opportunity.opportunityid as opportunity_id,
    nullif(opportunity.name, '') as name,
    record.account_id,
    nullif(account.name, '') as account_name,
    record.contact_id,
    opportunity.ownerid as owner_id,
    nullif(owner.owner_name, '') as owner_name,
    coalesce(opportunity.owningbusinessunit, owner.business_unit_id) as business_unit_id,
    nullif(opportunity.stepname, '') as stage,
    coalesce(opportunity.transactioncurrencyid_label, opportunity.transactioncurrencyid) as currency,
    case when record.is_open then 'open' when opportunity.statecode = 1 then 'won' else 'lost' end as state,
    record.estimated_value,
    cast(coalesce(opportunity.actualvalue_base, opportunity.actualvalue) as double) as actual_value,
    record.estimated_close_date,
    record.close_date,
    opportunity.createdon as created_at
from {{ ref('stg_dataverse__opportunity') }} as opportunity
inner join {{ ref('int_record') }} as record
    on record.record_type = 'opportunity' and opportunity.opportunityid = record.record_id
left join {{ ref('stg_dataverse__account') }} as account on record.account_id = account.accountid
left join {{ ref('int_owner') }} as owner on opportunity.ownerid = owner.owner_id
