-- N9, N11, N39, N46, L1, L7: who a participant is, on which side, and whether it is on the activity and took part in it.
with resolved as (
    select
        participant.activity_id,
        activity.activity_type,
        activity.direction,
        participant.address,
        participant.party_id,
        participant.role,
        participant.response,
        person.domain as address_domain,
        coalesce(party.is_team, false) as is_team,
        case when party.is_team_side or person.side = 'us' or participant.role = 'owner' then 'us' else 'them' end as side,
        coalesce(party.user_id, person.user_id) as user_id,
        case
            when coalesce(party.contact_id, party.lead_id, party.account_id) is null then person.contact_id
            else party.contact_id
        end as contact_id,
        case
            when coalesce(party.contact_id, party.lead_id, party.account_id) is null then person.lead_id
            when party.contact_id is null then party.lead_id
        end as lead_id,
        case
            when coalesce(party.contact_id, party.lead_id, party.account_id) is null then person.account_id
            when coalesce(party.contact_id, party.lead_id) is null then party.account_id
        end as account_id
    from {{ ref('stg_lake__activity_participant') }} as participant
    inner join {{ ref('stg_lake__activity') }} as activity on participant.activity_id = activity.activity_id
    left join {{ ref('stg_lake__person_address') }} as person on participant.address = person.address
    left join {{ ref('int_activity_party') }} as party
        on
            participant.activity_id = party.activity_id
            and coalesce(participant.address, participant.party_id) = party.participant_key
    where {{ is_touched('int_touched_activity', ['activity_id'], 'participant') }}
),

call_with_team as (
    select distinct participant.activity_id
    from {{ ref('stg_lake__activity_participant') }} as participant
    left join {{ ref('stg_lake__person_address') }} as person on participant.address = person.address
    left join {{ ref('int_activity_party') }} as party
        on
            participant.activity_id = party.activity_id
            and coalesce(participant.address, participant.party_id) = party.participant_key
    where
        participant.role in ('from', 'callee')
        and (party.is_team_side or person.side = 'us')
        and {{ is_touched('int_touched_activity', ['activity_id'], 'participant') }}
),

owned as (
    select
        resolved.activity_id,
        resolved.activity_type,
        case when member.systemuserid is null then resolved.address end as address,
        coalesce(member.systemuserid, resolved.party_id) as party_id,
        case
            when resolved.activity_type = 'phone_call' and resolved.role = 'owner' and call_with_team.activity_id is null
                then case when resolved.direction = 'incoming' then 'callee' else 'from' end
            else resolved.role
        end as role,
        resolved.response,
        resolved.address_domain,
        resolved.side,
        case
            when member.systemuserid is not null then systemuser.systemuserid
            when resolved.side = 'us' then resolved.user_id
        end as user_id,
        case when resolved.side = 'them' then resolved.contact_id end as contact_id,
        case when resolved.side = 'them' then resolved.lead_id end as lead_id,
        case when resolved.side = 'them' then resolved.account_id end as account_id
    from resolved
    left join call_with_team on resolved.activity_id = call_with_team.activity_id
    left join {{ ref('stg_dataverse__teammembership') }} as member
        on
            case
                when resolved.activity_type = 'task' and resolved.role = 'owner' and resolved.is_team then resolved.party_id
            end = member.teamid
    left join {{ ref('stg_dataverse__systemuser') }} as systemuser on member.systemuserid = systemuser.systemuserid
    where not (resolved.activity_type = 'task' and resolved.is_team and member.systemuserid is null)
),

placed as (
    select
        owned.*,
        {{ is_on('activity_type', 'role', 'side') }} as is_on
    from owned
)

select
    activity_id,
    address,
    party_id,
    address_domain,
    side,
    {{ person_type('side', 'user_id', 'contact_id', 'lead_id', 'account_id') }} as person_type,
    coalesce(user_id, contact_id, lead_id, account_id, address, party_id) as person_id,
    role,
    is_on,
    is_on and (activity_type <> 'meeting' or role = 'organizer' or coalesce(response, 'none') <> 'declined') as took_part
from placed
