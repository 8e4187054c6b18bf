select
    activity_id,
    subject
from {{ ref('stg_lake__activity_subject') }}
where subject <> ''
