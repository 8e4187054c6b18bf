select
    activity_id,
    subject
from {{ source('lake', 'activity_subject') }}
