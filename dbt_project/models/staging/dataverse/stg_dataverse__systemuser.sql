select
    systemuserid,
    fullname,
    internalemailaddress,
    isdisabled,
    businessunitid,
    businessunitid_type,
    {{ instant('modifiedon') }} as modifiedon,
    businessunitid_label
from {{ source('lake', 'crm_systemuser') }}
