select
    top_contact.record_type,
    top_contact.record_id,
    cast(top_contact.contact_rank as bigint) as rank,
    top_contact.person_type,
    top_contact.person_id,
    coalesce(person_name.display_name, top_contact.person_id) as display_name,
    cast(top_contact.email_count as bigint) as email_count,
    cast(top_contact.meeting_count as bigint) as meeting_count,
    cast(top_contact.phone_call_count as bigint) as phone_call_count,
    cast(top_contact.total_count as bigint) as total_count,
    top_contact.last_interaction_at,
    {{ as_of() }} as as_of
from {{ ref('int_top_contact') }} as top_contact
left join {{ ref('int_person_name') }} as person_name
    on
        top_contact.person_type = person_name.person_type
        and top_contact.person_id = person_name.person_id
where top_contact.list_name = 'most_contacted_by'
