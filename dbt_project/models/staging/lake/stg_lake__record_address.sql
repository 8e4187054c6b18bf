select
    record_type,
    record_id,
    address,
    position
from {{ source('lake', 'record_address') }}
