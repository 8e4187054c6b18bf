select
    activity_id,
    address,
    party_id,
    display_name,
    role,
    response
from {{ source('lake', 'activity_participant') }}
