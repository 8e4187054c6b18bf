-- K11: distinct people of each side who took part in the last days.
select
    activity.record_type,
    activity.record_id,
    count(distinct case when person.side = 'us' then person.person_type || ':' || person.person_id end) as team_people,
    count(distinct case when person.side = 'them' then person.person_type || ':' || person.person_id end) as customer_people
from {{ ref('int_record_activity') }} as activity
inner join {{ ref('int_activity_person') }} as person on activity.activity_id = person.activity_id
where
    person.took_part
    and activity.occurred_at >= {{ days_before(as_of(), var('people_days')) }}
group by activity.record_type, activity.record_id
