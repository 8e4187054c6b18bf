-- L15: the time in which people on an activity make it count for an opportunity; open-ended where nothing ends it.
select
    record_id as opportunity_id,
    {{ days_before('created_at', var('opportunity_window_days')) }} as window_start,
    {{ day_start('(close_date + ' ~ (var('opportunity_window_days') + 1) ~ ')') }} as window_end
from {{ ref('int_record') }}
where record_type = 'opportunity'
