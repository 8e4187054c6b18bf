-- L3: completed machine mail that a rule would have linked but for its flags.
select
    link.record_type,
    link.record_id,
    activity.activity_id,
    activity.occurred_at
from {{ ref('activity_record_link') }} as link
inner join {{ ref('int_activity') }} as activity on link.activity_id = activity.activity_id
where not link.is_counted and activity.activity_type = 'email' and activity.status = 'completed'
