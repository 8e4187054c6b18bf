-- L3, L5, L15, L16: links by people: a person of ours and a person of theirs are both on the activity.
with candidate as (
    select
        matched.activity_id,
        customer.record_type,
        customer.record_id,
        min(customer.link_reason) as link_reason
    from {{ ref('int_activity_match') }} as matched
    inner join {{ ref('int_record_customer') }} as customer
        on matched.party_type = customer.party_type and matched.party_id = customer.party_id
    group by matched.activity_id, customer.record_type, customer.record_id
),

our_activity as (
    select distinct activity_id
    from {{ ref('int_activity_person') }}
    where side = 'us' and is_on
),

-- any person of ours for a contact or an account
open_link as (
    select candidate.*
    from candidate
    inner join our_activity on candidate.activity_id = our_activity.activity_id
    where candidate.record_type in ('account', 'contact')
),

-- owner or sales team for a lead or an opportunity
team_link as (
    select distinct
        candidate.activity_id,
        candidate.record_type,
        candidate.record_id,
        candidate.link_reason
    from candidate
    inner join {{ ref('int_record_person') }} as assigned
        on candidate.record_type = assigned.record_type and candidate.record_id = assigned.record_id
    inner join {{ ref('int_activity_person') }} as person
        on candidate.activity_id = person.activity_id and assigned.user_id = person.person_id
    where person.person_type = 'user' and person.is_on
),

windowed as (
    select team_link.*
    from team_link
    inner join {{ ref('int_activity') }} as activity on team_link.activity_id = activity.activity_id
    inner join {{ ref('int_opportunity_window') }} as deal on team_link.record_id = deal.opportunity_id
    left join {{ ref('int_opportunity_customer') }} as customer
        on
            team_link.record_id = customer.opportunity_id
            and activity.regarding_type = customer.party_type
            and activity.regarding_id = customer.party_id
    where
        team_link.record_type = 'opportunity'
        and (activity.regarding_id is null or customer.party_id is not null)
        and activity.occurred_at >= coalesce(deal.window_start, activity.occurred_at)
        and (deal.window_end is null or activity.occurred_at < deal.window_end)
)

select
    activity_id,
    record_type,
    record_id,
    link_reason
from open_link

union all

select
    activity_id,
    record_type,
    record_id,
    link_reason
from team_link
where record_type = 'lead'

union all

select
    activity_id,
    record_type,
    record_id,
    link_reason
from windowed
