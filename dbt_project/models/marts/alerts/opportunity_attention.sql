with alert_count as (
    select
        record_id as opportunity_id,
        count(*) as alert_count,
        count(*) filter (where severity = 'high') as high_alert_count
    from {{ ref('relationship_alert') }}
    where record_type = 'opportunity'
    group by record_id
),

deal as (
    select
        record.record_id as opportunity_id,
        coalesce(alert_count.alert_count, 0) as alert_count,
        coalesce(alert_count.high_alert_count, 0) as high_alert_count,
        record.estimated_value,
        kpi.last_interaction_at
    from {{ ref('int_record') }} as record
    inner join {{ ref('kpi_opportunity') }} as kpi on record.record_id = kpi.opportunity_id
    left join alert_count on record.record_id = alert_count.opportunity_id
    where record.record_type = 'opportunity' and record.is_open
),

ranked as (
    select
        deal.*,
        row_number() over (
            order by
                case when high_alert_count > 0 then 1 when alert_count > 0 then 2 else 3 end asc nulls last,
                alert_count desc nulls last,
                estimated_value desc nulls last,
                last_interaction_at asc nulls first,
                opportunity_id asc nulls last
        ) as attention_rank
    from deal
)

select
    opportunity_id,
    cast(attention_rank as bigint) as rank,
    cast(alert_count as bigint) as alert_count,
    cast(high_alert_count as bigint) as high_alert_count,
    case when high_alert_count > 0 then 'high' when alert_count > 0 then 'medium' end as worst_severity,
    estimated_value,
    last_interaction_at,
    {{ as_of() }} as as_of
from ranked
