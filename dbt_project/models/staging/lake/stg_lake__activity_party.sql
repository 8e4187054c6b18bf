select
    activity_id,
    address,
    party_type,
    party_id
from {{ source('lake', 'activity_party') }}
