-- S9: the weeks that are kept, each as it was computed.
select
    week_of,
    opportunity_id,
    rank,
    similar_opportunity_id,
    match,
    distance,
    activities,
    time_spent_by_team_hours,
    response_time_by_us_hours,
    response_rate_by_them,
    close_date,
    value,
    reason
from {{ source('history', 'similar_won_deal') }}
where week_of > {{ as_of_date() }} - {{ var('history_days') }}
