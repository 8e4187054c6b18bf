with day as (
    {{ date_series(as_of_date() ~ ' - 59', as_of_date()) }}
)

select
    record.record_type,
    record.record_id,
    day.date_day as activity_date,
    {% for name in ['emails_sent', 'emails_received', 'meetings_sent', 'meetings_received', 'calls_made', 'calls_received'] -%}
    coalesce(daily.{{ name }}, 0) as {{ name }},
    {% endfor -%}
    {{ as_of() }} as as_of
from {{ ref('int_record') }} as record
cross join day
left join {{ ref('relationship_activity_daily') }} as daily
    on
        daily.activity_date >= {{ as_of_date() }} - 59
        and record.record_type = daily.record_type
        and record.record_id = daily.record_id
        and day.date_day = daily.activity_date
