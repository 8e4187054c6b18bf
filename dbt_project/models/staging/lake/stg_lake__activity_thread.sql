select
    activity_id,
    thread_id
from {{ source('lake', 'activity_thread') }}
