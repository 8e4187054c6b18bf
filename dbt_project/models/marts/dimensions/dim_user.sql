select
    systemuser.systemuserid as user_id,
    nullif(systemuser.fullname, '') as name,
    nullif(systemuser.internalemailaddress, '') as email,
    systemuser.businessunitid as business_unit_id,
    coalesce(unit.name, systemuser.businessunitid) as business_unit,
    not coalesce(systemuser.isdisabled, false) as is_enabled
from {{ ref('stg_dataverse__systemuser') }} as systemuser
left join {{ ref('stg_dataverse__businessunit') }} as unit on systemuser.businessunitid = unit.businessunitid
