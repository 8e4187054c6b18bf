-- A1: interactions of the last 90 days of every record that has one.
select
    record_type,
    record_id,
    count(*) as interactions_90d,
    min(occurred_at) as first_interaction_90d_at
from {{ ref('int_record_activity') }}
where activity_type <> 'task' and occurred_at >= {{ days_before(as_of(), var('people_days')) }}
group by record_type, record_id
