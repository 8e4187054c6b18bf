{{ config(**kept('int_touched_activity', ['activity_id'])) }}
-- W1, W2: what ties a user and a contact who are on the same activity, whatever it counts for.
with contact as (
    select
        activity_id,
        person_id as contact_id,
        took_part,
        is_on,
        is_sender,
        is_to_cc
    from {{ ref('int_activity_person') }}
    where
        side = 'them'
        and person_type = 'contact'
        and {{ is_touched('int_touched_activity', ['activity_id']) }}
),

colleague as (
    select
        activity_id,
        person_id as user_id,
        took_part,
        is_on,
        is_sender,
        is_recipient
    from {{ ref('int_activity_person') }}
    where
        side = 'us'
        and person_type = 'user'
        and {{ is_touched('int_touched_activity', ['activity_id']) }}
),

together as (
    select
        activity.activity_id,
        contact.contact_id,
        colleague.user_id,
        activity.occurred_at,
        case
            when activity.activity_type = 'meeting' and contact.took_part and colleague.took_part then 'meeting'
            when activity.activity_type = 'phone_call' and contact.is_on and colleague.is_on then 'phone_call'
            when activity.activity_type <> 'email' then null
            when contact.is_sender and colleague.is_recipient then 'email_by_contact'
            when colleague.is_sender and contact.is_to_cc then 'email_by_colleague'
        end as tie,
        case activity.initiated_by
            when 'us' then activity.customer_took_part_count
            when 'them' then activity.team_took_part_count
            else greatest(activity.customer_took_part_count, activity.team_took_part_count)
        end as group_count
    from {{ ref('int_activity') }} as activity
    inner join contact on activity.activity_id = contact.activity_id
    inner join colleague on activity.activity_id = colleague.activity_id
    where
        activity.status = 'completed'
        and activity.activity_type in ('email', 'meeting', 'phone_call')
        and not activity.is_automated
        and not activity.is_bulk
        and not activity.is_private
)

select *
from together
where tie is not null
