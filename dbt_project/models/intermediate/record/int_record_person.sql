-- L5, L7, L13: owner and sales team of a lead or an opportunity; a team stands for its members.
with assigned as (
    select
        record_type,
        record_id,
        owner_type as assignee_type,
        owner_id as assignee_id
    from {{ ref('int_record') }}
    where record_type in ('lead', 'opportunity')

    {% for record, party in [(1, 2), (2, 1)] -%}
    union all

    select
        connection.record{{ record }}id_type as record_type,
        coalesce(master.master_id, connection.record{{ record }}id) as record_id,
        connection.record{{ party }}id_type as assignee_type,
        connection.record{{ party }}id as assignee_id
    from {{ ref('stg_dataverse__connection') }} as connection
    left join {{ ref('int_master') }} as master
        on connection.record{{ record }}id_type = master.record_type and connection.record{{ record }}id = master.id
    where
        coalesce(connection.statecode, 0) = 0
        and connection.record{{ record }}id_type in ('lead', 'opportunity')
        and connection.record{{ party }}id_type in ('systemuser', 'team')

    {% endfor -%}
)

select distinct
    assigned.record_type,
    assigned.record_id,
    case when assigned.assignee_type = 'team' then member.systemuserid else assigned.assignee_id end as user_id
from assigned
left join {{ ref('stg_dataverse__teammembership') }} as member
    on case when assigned.assignee_type = 'team' then assigned.assignee_id end = member.teamid
where
    assigned.assignee_type = 'systemuser'
    or (assigned.assignee_type = 'team' and member.systemuserid is not null)
