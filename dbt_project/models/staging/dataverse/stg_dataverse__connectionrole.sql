select
    connectionroleid,
    name
from {{ source('lake', 'crm_connectionrole') }}
