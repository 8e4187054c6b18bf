-- L6, N8: the contacts, leads and accounts that the customer-side participants of an activity are, by party id or by any of their
-- addresses.
with customer as (
    select
        participant.activity_id,
        participant.address,
        coalesce(participant.address, participant.party_id) as participant_key
    from {{ ref('int_activity_participant') }} as participant
    where participant.side = 'them' and participant.is_on
)

select
    customer.activity_id,
    record_address.record_type as party_type,
    record_address.record_id as party_id
from customer
inner join {{ ref('stg_lake__record_address') }} as record_address on customer.address = record_address.address
where record_address.record_type in ('account', 'contact', 'lead')

union all

select
    customer.activity_id,
    party.party_type,
    coalesce(master.master_id, party.party_id) as party_id
from customer
inner join {{ ref('stg_lake__activity_party') }} as party
    on
        customer.activity_id = party.activity_id
        and customer.participant_key = coalesce(party.address, party.party_id)
left join {{ ref('int_master') }} as master
    on party.party_type = master.record_type and party.party_id = master.id
where party.party_type in ('account', 'contact', 'lead')
