-- L13, N12: the accounts, contacts and leads that an active connection ties to a lead or an opportunity, with their own roles.
with connection_end as (
    {% for record, party in [(1, 2), (2, 1)] -%}
    select
        record{{ record }}id_type as record_type,
        record{{ record }}id as record_id,
        record{{ party }}id_type as party_type,
        record{{ party }}id as party_id,
        record{{ party }}roleid as role_id
    from {{ ref('stg_dataverse__connection') }}
    where
        coalesce(statecode, 0) = 0
        and record{{ record }}id_type in ('lead', 'opportunity')
        and record{{ party }}id_type in ('account', 'contact', 'lead')
    {% if not loop.last %}
    union all

    {% endif %}
    {%- endfor %}
)

select distinct
    connection_end.record_type,
    coalesce(record_master.master_id, connection_end.record_id) as record_id,
    connection_end.party_type,
    coalesce(party_master.master_id, connection_end.party_id) as party_id,
    nullif(trim(role.name), '') as role
from connection_end
left join {{ ref('int_master') }} as record_master
    on connection_end.record_type = record_master.record_type and connection_end.record_id = record_master.id
left join {{ ref('int_master') }} as party_master
    on connection_end.party_type = party_master.record_type and connection_end.party_id = party_master.id
left join {{ ref('stg_dataverse__connectionrole') }} as role on connection_end.role_id = role.connectionroleid
where
    connection_end.record_id is not null
    and connection_end.party_id is not null
    and (
        connection_end.record_type <> connection_end.party_type
        or coalesce(record_master.master_id, connection_end.record_id) <> coalesce(party_master.master_id, connection_end.party_id)
    )
