-- S9: the weeks that are kept, each as it was computed.
select
    week_of,
    opportunity_id,
    basis,
    match,
    similar_count,
    deal_age_days,
    emails_sent,
    emails_received,
    meetings_sent,
    meetings_received,
    calls_made,
    calls_received,
    activities,
    time_spent_by_team_hours,
    time_spent_by_customer_hours,
    response_time_by_us_hours,
    response_time_by_them_hours,
    response_rate_by_us,
    response_rate_by_them,
    sent_received_ratio_by_us,
    sent_received_ratio_by_them
from {{ source('history', 'similar_deal_benchmark') }}
where week_of > {{ as_of_date() }} - {{ var('history_days') }}
