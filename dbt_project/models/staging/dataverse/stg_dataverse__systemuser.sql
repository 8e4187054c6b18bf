select
    systemuserid,
    fullname,
    internalemailaddress,
    isdisabled,
    businessunitid,
    businessunitid_type,
    {{ instant('modifiedon') }} as modifiedon
from {{ source('lake', 'crm_systemuser') }}
