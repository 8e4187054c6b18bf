-- N9, N11: what the parties of an activity say about one participant: its side, and the records that they name.
with party as (
    select
        party.activity_id,
        coalesce(party.address, party.party_id) as participant_key,
        party.party_type,
        case
            when party.party_type = 'systemuser' then systemuser.systemuserid
            else master.master_id
        end as known_id
    from {{ ref('stg_lake__activity_party') }} as party
    left join {{ ref('stg_dataverse__systemuser') }} as systemuser
        on case when party.party_type = 'systemuser' then party.party_id end = systemuser.systemuserid
    left join {{ ref('int_master') }} as master
        on party.party_type = master.record_type and party.party_id = master.id
    where {{ is_touched('int_touched_activity', ['activity_id'], 'party') }}
)

select
    activity_id,
    participant_key,
    coalesce(bool_or(party_type in ('systemuser', 'team', 'queue')), false) as is_team_side,
    coalesce(bool_or(party_type = 'team'), false) as is_team,
    min(case when party_type = 'systemuser' then known_id end) as user_id,
    min(case when party_type = 'contact' then known_id end) as contact_id,
    min(case when party_type = 'lead' then known_id end) as lead_id,
    min(case when party_type = 'account' then known_id end) as account_id
from party
where participant_key is not null
group by activity_id, participant_key
