{{ config(materialized='view') }}
-- L3, N48: the record that an activity is regarding, whoever is on it.
select
    activity.activity_id,
    activity.regarding_type as record_type,
    activity.regarding_id as record_id,
    'regarding' as link_reason
from {{ ref('int_activity') }} as activity
inner join {{ ref('int_record') }} as record
    on activity.regarding_type = record.record_type and activity.regarding_id = record.record_id
where
    {{ 'true' if var('link_regarding_enabled') else 'false' }}
    and {{ is_touched('int_touched_activity', ['activity_id'], 'activity') }}
