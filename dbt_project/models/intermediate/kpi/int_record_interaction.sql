{{ config(**kept('int_touched_subject', ['record_type', 'record_id'])) }}
-- K10: first, last and next interaction of every record that has one; one row a record and kind.
with dated as (
    select
        record_type,
        record_id,
        activity_id,
        activity_type,
        initiated_by,
        occurred_at,
        status
    from {{ ref('int_record_link') }}
    where
        is_counted
        and status in ('completed', 'scheduled')
        and {{ is_touched('int_touched_subject', ['record_type', 'record_id']) }}
),

edge as (
    select
        record_type,
        record_id,
        min(occurred_at) filter (where status = 'completed') as first_at,
        max(occurred_at) filter (where status = 'completed') as last_at,
        min(occurred_at) filter (where status = 'scheduled') as next_at
    from dated
    group by record_type, record_id
),

ranked as (
    select
        dated.*,
        edge.first_at,
        row_number() over (
            partition by dated.record_type, dated.record_id, dated.status
            order by
                case dated.activity_type when 'meeting' then 1 when 'phone_call' then 2 when 'email' then 3 else 4 end asc nulls last,
                case dated.initiated_by when 'them' then 1 when 'us' then 2 else 3 end asc nulls last,
                dated.activity_id asc nulls last
        ) as place
    from dated
    inner join edge
        on
            dated.record_type = edge.record_type
            and dated.record_id = edge.record_id
            and dated.occurred_at = case dated.status when 'completed' then edge.last_at else edge.next_at end
)

select
    record_type,
    record_id,
    case status when 'completed' then 'last' else 'next' end as kind,
    first_at,
    occurred_at,
    activity_type,
    initiated_by,
    activity_id
from ranked
where place = 1
