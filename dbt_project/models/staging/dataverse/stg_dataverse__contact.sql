select
    contactid,
    fullname,
    jobtitle,
    emailaddress1,
    emailaddress2,
    emailaddress3,
    parentcustomerid,
    parentcustomerid_type,
    {{ instant('createdon') }} as createdon,
    {{ instant('modifiedon') }} as modifiedon,
    statecode,
    ownerid,
    ownerid_type,
    merged,
    masterid,
    masterid_type,
    master_id
from {{ source('lake', 'crm_contact') }}
