{{ config(materialized='view') }}
-- N45, N46, K7: who leads an activity, and how many people of each side are on it and took part.
select
    activity_id,
    min(case when is_sender then side end) as sender_side,
    min(case when is_organizer then side end) as organizer_side,
    bool_or(side = 'them') as has_customer,
    count(*) filter (where side = 'us' and is_on) as team_on_count,
    count(*) filter (where side = 'them' and is_on) as customer_on_count,
    count(*) filter (where side = 'us' and took_part) as team_took_part_count,
    count(*) filter (where side = 'them' and took_part) as customer_took_part_count
from {{ ref('int_activity_person') }}
where {{ is_touched('int_touched_activity', ['activity_id']) }}
group by activity_id
