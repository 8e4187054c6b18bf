{{ config(materialized='view') }}
-- L5, L15, L16: links by the customer people of a record, where the owner or sales team of a lead or opportunity is on the activity.
{% set customer_link -%}
    select
        matched.activity_id,
        customer.record_type,
        customer.record_id,
        customer.link_reason
    from {{ ref('int_activity_match') }} as matched
    inner join {{ ref('int_record_customer') }} as customer
        on matched.party_type = customer.party_type and matched.party_id = customer.party_id
{%- endset -%}
with sold_link as (
    select *
    from ({{ customer_link }}) as lead_link
    where record_type = 'lead'

    union all

    -- in the time of the deal, and regarding nothing else
    select deal_link.*
    from ({{ customer_link }}) as deal_link
    inner join {{ ref('int_opportunity_window') }} as deal on deal_link.record_id = deal.opportunity_id
    inner join {{ ref('int_activity') }} as activity on deal_link.activity_id = activity.activity_id
    left join {{ ref('int_opportunity_customer') }} as regarded
        on
            deal_link.record_id = regarded.opportunity_id
            and activity.regarding_type = regarded.party_type
            and activity.regarding_id = regarded.party_id
    where
        deal_link.record_type = 'opportunity'
        and (activity.regarding_id is null or regarded.party_id is not null)
        and activity.occurred_at >= coalesce(deal.window_start, activity.occurred_at)
        and (deal.window_end is null or activity.occurred_at < deal.window_end)
)

select *
from ({{ customer_link }}) as account_link
where record_type in ('account', 'contact')

union all

select sold_link.*
from sold_link
inner join {{ ref('int_record_person') }} as assigned
    on sold_link.record_type = assigned.record_type and sold_link.record_id = assigned.record_id
inner join {{ ref('int_activity_person') }} as person
    on sold_link.activity_id = person.activity_id and assigned.user_id = person.person_id
where person.person_type = 'user' and person.is_on
