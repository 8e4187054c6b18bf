select
    address,
    domain,
    side,
    user_id,
    contact_id,
    lead_id,
    account_id,
    rule
from {{ source('lake', 'person_address') }}
