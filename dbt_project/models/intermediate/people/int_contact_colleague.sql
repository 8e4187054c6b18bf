-- W1, W2: every colleague and contact on the same activity, whatever it counts for.
{% set weights = var('knows_weights') %}
with contact as (
    select
        activity_id,
        person_id as contact_id,
        took_part,
        is_on,
        is_sender,
        is_to_cc
    from {{ ref('int_activity_person') }}
    where side = 'them' and person_type = 'contact'
),

colleague as (
    select
        person.activity_id,
        person.person_id as user_id,
        person.took_part,
        person.is_on,
        person.is_sender,
        person.is_recipient
    from {{ ref('int_activity_person') }} as person
    inner join {{ ref('stg_dataverse__systemuser') }} as systemuser
        on person.person_id = systemuser.systemuserid
    where person.side = 'us' and person.person_type = 'user' and not coalesce(systemuser.isdisabled, false)
),

together as (
    select
        contact.contact_id,
        colleague.user_id,
        activity.activity_id,
        activity.occurred_at,
        activity.initiated_by,
        case
            when activity.activity_type = 'meeting' and contact.took_part and colleague.took_part then 'meeting'
            when activity.activity_type = 'phone_call' and contact.is_on and colleague.is_on then 'phone_call'
            when activity.activity_type <> 'email' then null
            when contact.is_sender and colleague.is_recipient then 'email_by_contact'
            when colleague.is_sender and contact.is_to_cc then 'email_by_colleague'
        end as tie
    from {{ ref('int_activity') }} as activity
    inner join contact on activity.activity_id = contact.activity_id
    inner join colleague on activity.activity_id = colleague.activity_id
    where
        activity.status = 'completed'
        and activity.activity_type in ('email', 'meeting', 'phone_call')
        and not activity.is_automated
        and not activity.is_bulk
        and not activity.is_private
),

shared as (
    select *
    from together
    where tie is not null
),

side_count as (
    select
        person.activity_id,
        count(*) filter (where person.side = 'us') as team_count,
        count(*) filter (where person.side = 'them') as customer_count
    from {{ ref('int_activity_person') }} as person
    where person.took_part and person.activity_id in (select activity_id from shared)
    group by person.activity_id
),

weighted as (
    select
        shared.contact_id,
        shared.user_id,
        shared.tie,
        shared.occurred_at,
        case shared.tie
            {% for tie, weight in weights.items() -%}
            when '{{ tie }}' then {{ weight }}
            {% endfor -%}
        end as weight,
        greatest(
            cast(1 as double),
            case shared.initiated_by
                when 'us' then side_count.customer_count
                when 'them' then side_count.team_count
                else greatest(side_count.customer_count, side_count.team_count)
            end / cast({{ var('knows_group_size') }} as double)
        ) as crowding,
        {{ days_elapsed('shared.occurred_at', as_of()) }} as age_days
    from shared
    inner join side_count on shared.activity_id = side_count.activity_id
)

select
    contact_id,
    user_id,
    sum({{ exact_term('weight / crowding * power(0.5, age_days / ' ~ var('knows_half_life_days') ~ ')') }}) as closeness,
    count(*) filter (where tie = 'email_by_contact') as emails_by_contact_count,
    count(*) filter (where tie = 'email_by_colleague') as emails_by_colleague_count,
    count(*) filter (where tie = 'meeting') as meeting_count,
    count(*) filter (where tie = 'phone_call') as phone_call_count,
    max(occurred_at) as last_interaction_at
from weighted
group by contact_id, user_id
