-- Ids and addresses that stand for somebody else than in the build before, or for the people of a touched record.
{% if execute and not is_update() -%}
{{ nothing_touched(['name']) }}
{%- else -%}
with master as (
    select * from {{ ref('int_master') }}
    union all
    select * from {{ source('previous', 'int_master') }}
),

owner_change as (
    {{ changed_rows('int_owner', ['owner_type', 'owner_id']) | indent(4) }}
),

touched_domain as (
    select key as domain
    from {{ source('lake', 'change') }}
    where table_name = 'account_domain' and column_name = 'domain'

    union all

    select account_domain.domain
    from {{ ref('stg_lake__account_domain') }} as account_domain
    inner join {{ ref('int_touched_record') }} as touched
        on touched.record_type = 'account' and account_domain.account_id = touched.record_id
),

named as (
    -- whom an address or an id stands for
    select key as name
    from {{ source('lake', 'change') }}
    where
        (table_name in ('person_address', 'record_address') and column_name = 'address')
        or (table_name = 'crm_teammembership' and column_name = 'teamid')

    union all

    select id as name
    from ({{ changed_rows('int_master', ['record_type', 'id', 'master_id']) }}) as master_change

    union all

    select owner_id as name
    from owner_change

    union all

    -- a team stands for its members
    select member.teamid as name
    from {{ ref('stg_dataverse__teammembership') }} as member
    inner join owner_change on member.systemuserid = owner_change.owner_id

    union all

    -- what touched records are called
    select record_id as name
    from {{ ref('int_touched_record') }}

    union all

    select master.id as name
    from master
    inner join {{ ref('int_touched_record') }} as touched
        on master.record_type = touched.record_type and master.master_id = touched.record_id

    union all

    -- what their people are called
    select master.id as name
    from master
    inner join {{ ref('int_touched_party') }} as party
        on master.record_type = party.party_type and master.master_id = party.party_id

    union all

    select party_id as name
    from {{ ref('int_touched_party') }}

    union all

    select record_address.address as name
    from {{ ref('stg_lake__record_address') }} as record_address
    inner join {{ ref('int_touched_party') }} as party
        on record_address.record_type = party.party_type and record_address.record_id = party.party_id

    union all

    select person.address as name
    from {{ ref('stg_lake__person_address') }} as person
    inner join touched_domain on person.domain = touched_domain.domain
)

select distinct name
from named
where name is not null
{%- endif %}
