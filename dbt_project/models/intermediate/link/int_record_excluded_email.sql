{{ config(materialized='view') }}
-- L3: completed machine mail that a rule would have linked but for its flags.
select
    record_type,
    record_id,
    activity_id,
    occurred_at
from {{ ref('int_record_link') }}
where not is_counted and activity_type = 'email' and status = 'completed'
