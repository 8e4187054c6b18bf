with measured as (
    select
        pair.*,
        pair.emails_by_contact_count = 0 and pair.meeting_count = 0 and pair.phone_call_count = 0 as is_one_way,
        100 * (1 - exp(-cast(pair.closeness as double) / {{ var('knows_scale') }})) as uncapped
    from {{ ref('int_contact_colleague') }} as pair
    where round(pair.closeness, 9) > 0
),

capped as (
    select
        measured.*,
        case
            when is_one_way then least(uncapped, cast({{ var('knows_one_way_cap') }} as double))
            else uncapped
        end as strength
    from measured
),

ranked as (
    select
        capped.*,
        row_number() over (
            partition by contact_id
            order by round(strength, 9) desc nulls last, last_interaction_at desc nulls last, user_id asc nulls last
        ) as colleague_rank
    from capped
)

select
    contact_id,
    user_id,
    cast(colleague_rank as bigint) as rank,
    strength,
    case
        when round(strength, 9) >= {{ var('knows_strong_min') }} then 'strong'
        when round(strength, 9) >= {{ var('knows_medium_min') }} then 'medium'
        else 'weak'
    end as band,
    cast(emails_by_contact_count as bigint) as emails_by_contact_count,
    cast(emails_by_colleague_count as bigint) as emails_by_colleague_count,
    cast(meeting_count as bigint) as meeting_count,
    cast(phone_call_count as bigint) as phone_call_count,
    is_one_way,
    last_interaction_at,
    {{ as_of() }} as as_of
from ranked
where colleague_rank <= {{ var('knows_top') }}
