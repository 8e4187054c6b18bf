-- S7: each similar deal of an open one twice, over its life and at the age that the open deal has, with the instant it is looked at.
with pair as (
    select
        pair.*,
        similar_deal.created_at as similar_created_at,
        similar_deal.close_date,
        similar_deal.value,
        {{ as_of() }} - open_deal.created_at as deal_age,
        {{ days_elapsed('open_deal.created_at', as_of()) }} as deal_age_days
    from {{ source('similar', 'pair') }} as pair
    inner join {{ ref('int_similar_attribute') }} as open_deal on pair.opportunity_id = open_deal.opportunity_id
    inner join {{ ref('int_similar_attribute') }} as similar_deal
        on pair.similar_opportunity_id = similar_deal.opportunity_id
),

looked_at as (
    select
        pair.*,
        'whole_life' as basis,
        {{ as_of() }} as cut_at
    from pair

    union all

    select
        pair.*,
        'same_age' as basis,
        least(similar_created_at + deal_age, {{ as_of() }}) as cut_at
    from pair
)

select
    opportunity_id,
    basis,
    rank,
    similar_opportunity_id,
    match,
    distance,
    reason,
    deal_age_days,
    similar_created_at,
    close_date,
    value,
    cut_at,
    similar_opportunity_id || ' ' || {{ instant_text('cut_at') }} as subject_id
from looked_at
