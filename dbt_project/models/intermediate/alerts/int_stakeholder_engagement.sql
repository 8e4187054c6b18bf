-- A2: the people of a deal by role, and when each was last engaged in it.
with named as (
    select
        stakeholder.record_id as opportunity_id,
        coalesce(stakeholder.role, 'Stakeholder') as role,
        stakeholder.party_type,
        stakeholder.party_id,
        true as is_stakeholder,
        {% if var('decision_maker_roles') -%}
        coalesce(
            lower(trim(stakeholder.role)) in (
                {%- for role in var('decision_maker_roles') %}
                '{{ role | trim | lower | replace("'", "''") }}'{{ ',' if not loop.last }}
                {%- endfor %}
            ), false
        )
        {%- else -%}
        false
        {%- endif %} as is_decision_maker
    from {{ ref('int_stakeholder') }} as stakeholder
    inner join {{ ref('int_record') }} as record
        on stakeholder.record_type = record.record_type and stakeholder.record_id = record.record_id
    where stakeholder.record_type = 'opportunity'
),

person as (
    select * from named

    union all

    select
        record.record_id as opportunity_id,
        'Primary Contact' as role,
        'contact' as party_type,
        record.contact_id as party_id,
        false as is_stakeholder,
        false as is_decision_maker
    from {{ ref('int_record') }} as record
    left join named
        on record.record_id = named.opportunity_id and named.party_type = 'contact' and record.contact_id = named.party_id
    where record.record_type = 'opportunity' and record.contact_id is not null and named.party_id is null
),

engaged as (
    select
        activity.record_id as opportunity_id,
        participant.person_type,
        participant.person_id,
        max(activity.occurred_at) as last_engaged_at
    from {{ ref('int_record_activity') }} as activity
    inner join {{ ref('int_activity_person') }} as participant
        on activity.activity_id = participant.activity_id
    where
        activity.record_type = 'opportunity'
        and participant.side = 'them'
        and case activity.activity_type
            when 'email' then participant.is_sender
            when 'task' then false
            else participant.took_part
        end
    group by activity.record_id, participant.person_type, participant.person_id
)

select distinct
    person.opportunity_id,
    person.role,
    person.party_type || ':' || person.party_id as party_key,
    person.is_stakeholder,
    person.is_decision_maker,
    engaged.last_engaged_at
from person
left join engaged
    on
        person.opportunity_id = engaged.opportunity_id
        and person.party_type = engaged.person_type
        and person.party_id = engaged.person_id
