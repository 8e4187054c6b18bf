-- K1, L17, N12: every account, contact, lead and opportunity that the marts know at as-of.
with opportunity_customer as (
    select
        opportunity_id,
        max(case when party_type = 'account' then party_id end) as account_id,
        max(case when party_type = 'contact' then party_id end) as contact_id
    from (
        select
            opportunity_id,
            party_type,
            party_id,
            row_number() over (partition by opportunity_id, party_type order by preference asc nulls last) as place
        from {{ ref('int_opportunity_customer') }}
    ) as ranked
    where place = 1
    group by opportunity_id
),

opportunity as (
    select
        opportunity.*,
        closed.close_date,
        customer.account_id,
        customer.contact_id,
        opportunity.statecode = 0 or coalesce(closed.close_date > {{ as_of_date() }}, false) as is_open
    from {{ ref('stg_dataverse__opportunity') }} as opportunity
    left join {{ ref('int_opportunity_close') }} as closed on opportunity.opportunityid = closed.opportunity_id
    left join opportunity_customer as customer on opportunity.opportunityid = customer.opportunity_id
),

record as (
    {% for record_type, name, is_open in [('account', 'name', 'cast(null as boolean)'), ('contact', 'fullname', 'cast(null as boolean)'),
                                          ('lead', 'fullname', 'coalesce(statecode, 0) = 0')] -%}
    select
        '{{ record_type }}' as record_type,
        {{ record_type }}id as record_id,
        createdon as created_at,
        ownerid as owner_id,
        ownerid_type as owner_type,
        coalesce(statecode, 0) = 0 as is_active,
        {{ is_open }} as is_open,
        cast(null as date) as close_date,
        {{ name }} as display_name,
        cast(null as date) as estimated_close_date,
        cast(null as double) as estimated_value,
        cast(null as string) as account_id,
        cast(null as string) as contact_id
    from {{ ref('stg_dataverse__' ~ record_type) }}
    where coalesce(master_id, {{ record_type }}id) = {{ record_type }}id

    union all

    {% endfor -%}
    select
        'opportunity' as record_type,
        opportunityid as record_id,
        createdon as created_at,
        ownerid as owner_id,
        ownerid_type as owner_type,
        statecode = 0 as is_active,
        is_open,
        case when not is_open then close_date end as close_date,
        name as display_name,
        estimatedclosedate as estimated_close_date,
        cast(coalesce(estimatedvalue_base, estimatedvalue) as double) as estimated_value,
        account_id,
        contact_id
    from opportunity
)

select *
from record
where created_at is null or created_at < {{ as_of() }}
