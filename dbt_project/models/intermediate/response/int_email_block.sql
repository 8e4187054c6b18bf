{{ config(**kept('int_touched_thread', ['thread_id'])) }}
-- K13 to K16, K19: blocks of consecutive emails of one side in a thread of a record, and the first email of the answering block.
with email as (
    select
        record_type,
        record_id,
        thread_id,
        initiated_by as side,
        occurred_at,
        occurred_date,
        case initiated_by when 'us' then 1 else 2 end as side_order
    from {{ ref('int_record_activity') }}
    where
        activity_type = 'email'
        and not coalesce(is_machine, false)
        and (
            (initiated_by = 'us' and customer_on_count > 0)
            or (initiated_by = 'them' and team_on_count > 0)
        )
        and {{ is_touched('int_touched_thread', ['thread_id']) }}
),

-- the first later email of the other side begins the answer
followed as (
    select
        email.*,
        {% for side in ['us', 'them'] -%}
        min(case when side = '{{ side }}' then occurred_at end) over (
            partition by record_type, record_id, thread_id order by occurred_at asc nulls last, side_order asc nulls last
            rows between 1 following and unbounded following
        ) as occurred_at_of_{{ side }},
        min(case when side = '{{ side }}' then occurred_date end) over (
            partition by record_type, record_id, thread_id order by occurred_at asc nulls last, side_order asc nulls last
            rows between 1 following and unbounded following
        ) as occurred_date_of_{{ side }},
        {% endfor -%}
        lag(side) over (
            partition by record_type, record_id, thread_id order by occurred_at asc nulls last, side_order asc nulls last
        ) as side_before
    from email
),

block as (
    select
        record_type,
        record_id,
        thread_id,
        side,
        occurred_at as started_at,
        occurred_date as started_date,
        case side when 'us' then occurred_at_of_them else occurred_at_of_us end as answered_at,
        case side when 'us' then occurred_date_of_them else occurred_date_of_us end as answered_date
    from followed
    where side_before is null or side_before <> side
)

select
    block.record_type,
    block.record_id,
    block.thread_id,
    block.side,
    block.started_at,
    block.answered_at,
    cast({{ seconds_between('block.started_at', 'block.answered_at') }} as bigint) as response_seconds,
    cast(
        {{ business_clock('block.answered_at', 'answer_day') }}
        - ({{ business_clock('block.started_at', 'start_day') }}) as bigint
    ) as business_seconds
from block
inner join {{ ref('int_business_day') }} as start_day on block.started_date = start_day.date_day
left join {{ ref('int_business_day') }} as answer_day on block.answered_date = answer_day.date_day
