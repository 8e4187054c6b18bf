with deal as (
    select
        subject.record_type,
        subject.record_id,
        subject.created_at,
        count(distinct case when stakeholder.is_decision_maker then stakeholder.party_key end) as decision_makers,
        max(case when stakeholder.is_decision_maker then stakeholder.last_engaged_at end) as last_engaged_at
    from {{ ref('int_alert_subject') }} as subject
    inner join {{ ref('int_stakeholder_engagement') }} as stakeholder
        on subject.record_id = stakeholder.opportunity_id
    where
        subject.is_open_opportunity
        and stakeholder.is_stakeholder
        and {{ days_elapsed('subject.created_at', as_of()) }} >= {{ var('no_decision_maker_days') }}
    group by subject.record_type, subject.record_id, subject.created_at
)

select
    record_type,
    record_id,
    'no_decision_maker' as alert,
    case when decision_makers = 0 then 'high' else 'medium' end as severity,
    coalesce(last_engaged_at, created_at) as since,
    {{ json_object([
        ['decision_makers', json_number('decision_makers')],
        ['last_engaged_at', json_instant('last_engaged_at')],
    ]) }} as evidence
from deal
where last_engaged_at is null or last_engaged_at < {{ days_before(as_of(), var('people_days')) }}
