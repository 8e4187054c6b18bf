select
    teamid,
    name,
    businessunitid,
    businessunitid_type
from {{ source('lake', 'crm_team') }}
