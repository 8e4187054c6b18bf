{{ config(**kept('int_touched_subject', ['record_type', 'record_id'])) }}
-- K20: who is contacted, and who contacts, per record; both lists are ranked alike.
with outreach as (
    select
        record_type,
        record_id,
        activity_id,
        activity_type,
        occurred_at,
        customer_on_count
    from {{ ref('int_record_activity') }}
    where
        record_type in ('account', 'lead', 'opportunity')
        and activity_type in ('email', 'meeting', 'phone_call')
        and initiated_by = 'us'
        and not is_private
        and {{ is_touched('int_touched_subject', ['record_type', 'record_id']) }}
),

listed as (
    select
        case person.side when 'them' then 'most_contacted' else 'most_contacted_by' end as list_name,
        outreach.*,
        person.person_type,
        person.person_id
    from outreach
    inner join {{ ref('int_activity_person') }} as person on outreach.activity_id = person.activity_id
    where
        (person.side = 'them' or outreach.customer_on_count > 0)
        and case
            when person.side = 'them' and outreach.activity_type = 'email' then person.is_to_cc
            when person.side = 'them' then person.took_part
            when outreach.activity_type = 'email' then person.is_sender
            when outreach.activity_type = 'meeting' then person.is_organizer
            else person.is_from
        end
),

counted as (
    select
        list_name,
        record_type,
        record_id,
        person_type,
        person_id,
        count(*) filter (where activity_type = 'email') as email_count,
        count(*) filter (where activity_type = 'meeting') as meeting_count,
        count(*) filter (where activity_type = 'phone_call') as phone_call_count,
        count(*) as total_count,
        max(occurred_at) as last_interaction_at
    from listed
    group by list_name, record_type, record_id, person_type, person_id
),

ranked as (
    select
        counted.*,
        row_number() over (
            partition by list_name, record_type, record_id
            order by
                total_count desc nulls last,
                last_interaction_at desc nulls last,
                person_id asc nulls last,
                person_type asc nulls last
        ) as contact_rank
    from counted
)

select
    list_name,
    record_type,
    record_id,
    contact_rank,
    person_type,
    person_id,
    email_count,
    meeting_count,
    phone_call_count,
    total_count,
    last_interaction_at
from ranked
where contact_rank <= {{ var('most_contacted_top') }}
