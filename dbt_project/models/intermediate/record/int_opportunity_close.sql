-- S1, L15: the day on which a deal in state won or lost was closed; no row while nobody says when.
with latest as (
    select
        opportunityid,
        max(actualend) as closed_at
    from {{ ref('stg_dataverse__opportunityclose') }}
    group by opportunityid
),

dated as (
    select
        opportunity.opportunityid as opportunity_id,
        coalesce(opportunity.actualclosedate, {{ reporting_day('latest.closed_at') }}) as close_date
    from {{ ref('stg_dataverse__opportunity') }} as opportunity
    left join latest on opportunity.opportunityid = latest.opportunityid
    where opportunity.statecode in (1, 2)
)

select
    opportunity_id,
    close_date
from dated
where close_date is not null
