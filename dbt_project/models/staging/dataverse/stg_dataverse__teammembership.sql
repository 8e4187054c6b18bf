select
    teammembershipid,
    teamid,
    systemuserid
from {{ source('lake', 'crm_teammembership') }}
