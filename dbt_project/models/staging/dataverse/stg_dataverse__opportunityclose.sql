select
    activityid,
    opportunityid,
    opportunityid_type,
    {{ instant('actualend') }} as actualend
from {{ source('lake', 'crm_opportunityclose') }}
