-- H1: the records that have a health row.
select
    record_type,
    record_id,
    created_at
from {{ ref('int_record') }}
where
    record_type in ('contact' {{- ", 'account'" if var('health_for_accounts') }})
    or (record_type in ('lead', 'opportunity') and is_open)
