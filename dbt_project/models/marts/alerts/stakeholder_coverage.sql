select
    opportunity_id,
    role,
    cast(count(distinct party_key) as bigint) as people_count,
    cast(
        count(distinct case when last_engaged_at >= {{ days_before(as_of(), var('people_days')) }} then party_key end) as bigint
    ) as engaged_people_90d_count,
    max(last_engaged_at) as last_engaged_at,
    {{ as_of() }} as as_of
from {{ ref('int_stakeholder_engagement') }}
group by opportunity_id, role
