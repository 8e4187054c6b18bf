{{ config(**kept('int_touched_activity', ['activity_id'])) }}
-- K9, N40: one row a person and side of an activity, whatever number of addresses.
select
    activity_id,
    side,
    person_type,
    person_id,
    bool_or(is_on) as is_on,
    bool_or(took_part) as took_part,
    bool_or(role = 'sender') as is_sender,
    bool_or(role = 'organizer') as is_organizer,
    bool_or(role = 'from') as is_from,
    bool_or(role in ('to', 'cc')) as is_to_cc,
    bool_or(role in ('to', 'cc', 'delivered')) as is_recipient
from {{ ref('int_activity_participant') }}
where {{ is_touched('int_touched_activity', ['activity_id']) }}
group by activity_id, side, person_type, person_id
