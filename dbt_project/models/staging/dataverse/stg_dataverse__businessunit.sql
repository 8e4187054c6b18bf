select
    businessunitid,
    name
from {{ source('lake', 'crm_businessunit') }}
