with bound as (
    select
        least(coalesce(min(occurred_date), {{ as_of_date() }}), {{ as_of_date() }} - {{ var('history_days') }}) as first_date,
        {{ as_of_date() }} as last_date
    from {{ ref('int_activity') }}
    where status = 'completed'
),

calendar as (
    {{ date_series('first_date', 'last_date', 'bound') }}
),

-- days of records may lie far outside
date_day as (
    select date_day from calendar
    union
    select estimated_close_date as date_day
    from {{ ref('int_record') }}
    where estimated_close_date is not null
    union
    select close_date as date_day from {{ ref('int_opportunity_close') }}
    union
    select close_date as date_day from {{ ref('similar_won_deal') }}
    union
    select week_of as date_day from {{ ref('similar_deal_attribute') }}
    union
    -- a backfill sees the history of later days
    select as_of_date as date_day
    from {{ source('history', 'kpi_history') }}
    where as_of_date > {{ as_of_date() }}
)

select
    date_day as date,
    cast(extract(year from date_day) as bigint) as year,
    cast(extract(quarter from date_day) as bigint) as quarter,
    cast(extract(month from date_day) as bigint) as month,
    cast(extract(week from date_day) as bigint) as iso_week,
    {{ iso_weekday('date_day') }} as iso_weekday,
    {{ is_business_day('date_day') }} as is_business_day
from date_day
