select
    activity_id,
    subject,
    {{ as_of() }} as as_of
from {{ ref('stg_lake__activity_subject') }}
where subject <> ''
