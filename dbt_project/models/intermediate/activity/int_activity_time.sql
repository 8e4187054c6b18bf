-- K7, K8: people of each side, and the minutes that the activity takes each side.
with people as (
    select
        activity_id,
        count(*) filter (where side = 'us' and is_on) as team_on_count,
        count(*) filter (where side = 'them' and is_on) as customer_on_count,
        count(*) filter (where side = 'us' and took_part) as team_took_part_count,
        count(*) filter (where side = 'them' and took_part) as customer_took_part_count
    from {{ ref('int_activity_person') }}
    group by activity_id
),

counted as (
    select
        activity.activity_id,
        activity.activity_type,
        activity.initiated_by,
        activity.duration_minutes,
        activity.is_all_day or activity.duration_minutes >= {{ var('meeting_max_minutes') }} as is_timeless,
        coalesce(people.team_on_count, 0) as team_on_count,
        coalesce(people.customer_on_count, 0) as customer_on_count,
        coalesce(people.team_took_part_count, 0) as team_took_part_count,
        coalesce(people.customer_took_part_count, 0) as customer_took_part_count
    from {{ ref('int_activity') }} as activity
    left join people on activity.activity_id = people.activity_id
)

select
    activity_id,
    team_on_count,
    customer_on_count,
    team_took_part_count,
    customer_took_part_count,
    cast(coalesce(case
        when activity_type = 'email' and initiated_by = 'us' then {{ var('email_write_minutes') }}
        when activity_type = 'email' and initiated_by = 'them' and team_on_count > 0 then {{ var('email_read_minutes') }}
        when activity_type = 'meeting' and not is_timeless then duration_minutes * team_took_part_count
        when activity_type in ('phone_call', 'task') and team_on_count > 0 then duration_minutes
    end, 0) as double) as team_minutes,
    cast(coalesce(case
        when activity_type = 'email' and initiated_by = 'them' then {{ var('email_write_minutes') }}
        when activity_type = 'email' and initiated_by = 'us' and customer_on_count > 0 then {{ var('email_read_minutes') }}
        when activity_type = 'meeting' and not is_timeless and customer_took_part_count > 0 then duration_minutes
        when activity_type = 'phone_call' and customer_on_count > 0 then duration_minutes
    end, 0) as double) as customer_minutes
from counted
