{{ config(**kept('int_touched_figure', ['record_type', 'record_id'])) }}
-- K11: distinct people of each side who took part in the last days.
with person as (
    select distinct
        activity.record_type,
        activity.record_id,
        person.side,
        person.person_type,
        person.person_id
    from {{ ref('int_record_activity') }} as activity
    inner join {{ ref('int_activity_person') }} as person on activity.activity_id = person.activity_id
    where
        person.took_part
        and activity.occurred_at >= {{ days_before(as_of(), var('people_days')) }}
        and {{ is_touched('int_touched_figure', ['record_type', 'record_id'], 'activity') }}
)

select
    record_type,
    record_id,
    count(*) filter (where side = 'us') as team_people,
    count(*) filter (where side = 'them') as customer_people
from person
group by record_type, record_id
