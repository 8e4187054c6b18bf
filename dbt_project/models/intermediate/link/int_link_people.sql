-- L3, L5, L15, L16: links by people: a person of ours and a person of theirs are both on the activity.
with open_link as (
    select
        matched.activity_id,
        customer.record_type,
        customer.record_id,
        customer.link_reason
    from {{ ref('int_activity_match') }} as matched
    inner join {{ ref('int_record_customer') }} as customer
        on matched.party_type = customer.party_type and matched.party_id = customer.party_id
    where customer.record_type in ('account', 'contact')
),

lead_link as (
    select
        matched.activity_id,
        customer.record_type,
        customer.record_id,
        customer.link_reason
    from {{ ref('int_activity_match') }} as matched
    inner join {{ ref('int_record_customer') }} as customer
        on matched.party_type = customer.party_type and matched.party_id = customer.party_id
    where customer.record_type = 'lead'
),

-- in the time of the deal, and regarding nothing else
opportunity_link as (
    select
        matched.activity_id,
        customer.record_type,
        customer.record_id,
        customer.link_reason
    from {{ ref('int_activity_match') }} as matched
    inner join {{ ref('int_record_customer') }} as customer
        on matched.party_type = customer.party_type and matched.party_id = customer.party_id
    inner join {{ ref('int_opportunity_window') }} as deal on customer.record_id = deal.opportunity_id
    inner join {{ ref('int_activity') }} as activity on matched.activity_id = activity.activity_id
    left join {{ ref('int_opportunity_customer') }} as regarded
        on
            customer.record_id = regarded.opportunity_id
            and activity.regarding_type = regarded.party_type
            and activity.regarding_id = regarded.party_id
    where
        customer.record_type = 'opportunity'
        and (activity.regarding_id is null or regarded.party_id is not null)
        and activity.occurred_at >= coalesce(deal.window_start, activity.occurred_at)
        and (deal.window_end is null or activity.occurred_at < deal.window_end)
),

-- any person of ours for an account or a contact, owner or sales team for the others
team_link as (
    select candidate.*
    from (
        select * from lead_link
        union all
        select * from opportunity_link
    ) as candidate
    inner join {{ ref('int_record_person') }} as assigned
        on candidate.record_type = assigned.record_type and candidate.record_id = assigned.record_id
    inner join {{ ref('int_activity_person') }} as person
        on candidate.activity_id = person.activity_id and assigned.user_id = person.person_id
    where person.person_type = 'user' and person.is_on
)

select * from open_link
union all
select * from team_link
