-- K19: every day on which an email was sent, its business hours as instants, and the business seconds before it.
{% set hours = var('business_hours') %}
{% set zone = var('reporting_timezone') %}
with span as (
    select
        coalesce(min(occurred_date), {{ as_of_date() }}) as first_date,
        {{ as_of_date() }} as last_date
    from {{ ref('int_activity') }}
    where status = 'completed' and activity_type = 'email'
),

calendar as (
    {{ date_series('first_date', 'last_date', 'span') }}
),

opened as (
    select
        date_day,
        {{ is_business_day('date_day') }} as is_business_day,
        {{ instant_of_wall_clock(wall_clock_of('date_day', hours.start), zone) }} as opens_at,
        {{ instant_of_wall_clock(wall_clock_of('date_day', hours.end), zone) }} as closes_at
    from calendar
),

-- hours in a gap of the clocks may end before they start
measured as (
    select
        date_day,
        is_business_day,
        opens_at,
        greatest(opens_at, closes_at) as closes_at,
        case
            when is_business_day and closes_at > opens_at then cast({{ seconds_between('opens_at', 'closes_at') }} as bigint)
            else 0
        end as open_seconds
    from opened
)

select
    date_day,
    is_business_day,
    opens_at,
    closes_at,
    cast(coalesce(
        sum(open_seconds) over (order by date_day asc nulls last rows between unbounded preceding and 1 preceding), 0
    ) as bigint) as seconds_before
from measured
