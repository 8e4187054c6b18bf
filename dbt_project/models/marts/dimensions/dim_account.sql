select
    account.accountid as account_id,
    nullif(account.name, '') as name,
    account.ownerid as owner_id,
    nullif(owner.owner_name, '') as owner_name,
    coalesce(account.owningbusinessunit, owner.business_unit_id) as business_unit_id,
    coalesce(account.industrycode_label, cast(account.industrycode as string)) as industry,
    nullif(account.address1_country, '') as country,
    cast(coalesce(account.revenue_base, account.revenue) as double) as revenue,
    cast(account.numberofemployees as bigint) as employees,
    case when record.is_active then 'active' else 'inactive' end as state,
    account.createdon as created_at
from {{ ref('stg_dataverse__account') }} as account
inner join {{ ref('int_record') }} as record on record.record_type = 'account' and account.accountid = record.record_id
left join {{ ref('int_owner') }} as owner on account.ownerid = owner.owner_id
