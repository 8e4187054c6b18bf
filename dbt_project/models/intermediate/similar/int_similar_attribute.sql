-- S1, S3: the deals of the week, what they are at its as-of, and the attributes that they are compared by.
with deal as (
    select
        opportunity.*,
        record.created_at,
        record.close_date,
        record.account_id,
        case
            when record.is_open and record.created_at is not null then 'open'
            when not record.is_open and record.close_date is not null and opportunity.statecode = 1 then 'won'
            when not record.is_open and record.close_date is not null and opportunity.statecode = 2 then 'lost'
        end as state,
        coalesce(lead_master.master_id, opportunity.originatingleadid) as lead_id,
        coalesce(opportunity.owningbusinessunit, owner.business_unit_id) as business_unit_id
    from {{ ref('stg_dataverse__opportunity') }} as opportunity
    inner join {{ ref('int_record') }} as record
        on opportunity.opportunityid = record.record_id and record.record_type = 'opportunity'
    left join {{ ref('int_owner') }} as owner
        on opportunity.ownerid_type = owner.owner_type and opportunity.ownerid = owner.owner_id
    left join {{ ref('int_master') }} as lead_master
        on lead_master.record_type = 'lead' and opportunity.originatingleadid = lead_master.id
)

select
    deal.opportunityid as opportunity_id,
    {% for attribute in var('similarity_attributes') -%}
    deal.{{ attribute.name }},
    {% endfor -%}
    deal.state,
    deal.created_at,
    deal.close_date,
    cast(
        coalesce(deal.actualvalue_base, deal.actualvalue, deal.estimatedvalue_base, deal.estimatedvalue) as double
    ) as value,
    cast(coalesce(deal.estimatedvalue_base, deal.estimatedvalue) as double) as estimated_value,
    cast(coalesce(account.revenue_base, account.revenue) as double) as account_revenue,
    cast(account.numberofemployees as double) as account_employees,
    cast(account.industrycode as string) as industry,
    account.industrycode_label as industry_label,
    account.address1_country as country,
    cast(lead.leadsourcecode as string) as lead_source,
    lead.leadsourcecode_label as lead_source_label,
    deal.transactioncurrencyid as currency,
    deal.transactioncurrencyid_label as currency_label,
    deal.business_unit_id as owner_business_unit,
    coalesce(business_unit.name, deal.owningbusinessunit_label) as owner_business_unit_label
from deal
left join {{ ref('stg_dataverse__account') }} as account on deal.account_id = account.accountid
left join {{ ref('stg_dataverse__lead') }} as lead on deal.lead_id = lead.leadid
left join {{ ref('stg_dataverse__businessunit') }} as business_unit on deal.business_unit_id = business_unit.businessunitid
where deal.state is not null
