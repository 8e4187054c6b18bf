-- W1, W2: every contact and enabled user with a tie, and how close they are.
{% set weights = var('knows_weights') %}
with weighted as (
    select
        tie.contact_id,
        tie.user_id,
        tie.tie,
        tie.occurred_at,
        case tie.tie
            {% for name, weight in weights.items() -%}
            when '{{ name }}' then {{ weight }}
            {% endfor -%}
        end as weight,
        greatest(cast(1 as double), tie.group_count / cast({{ var('knows_group_size') }} as double)) as crowding,
        {{ days_elapsed('tie.occurred_at', as_of()) }} as age_days
    from {{ ref('int_contact_tie') }} as tie
    inner join {{ ref('stg_dataverse__systemuser') }} as systemuser on tie.user_id = systemuser.systemuserid
    where not coalesce(systemuser.isdisabled, false)
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
