{% set article = "case when last_interaction_type = 'email' then 'an' else 'a' end" %}
{% set last = article ~ " || ' ' || replace(last_interaction_type, '_', ' ')" %}
{% set ago = whole_text('days_ago') ~ " || ' day' || " ~ plural('days_ago') ~ " || ' ago.'" %}
{% set kinds = ['last_interaction', 'email_balance', 'meeting_balance', 'answer_speed', 'waiting_threads', 'next_interaction'] %}
with kpi as (
    select
        record_type,
        record_id,
        emails_sent,
        emails_received,
        meetings_sent - meetings_received as more_meetings,
        responses_awaited_from_us,
        last_interaction_type,
        last_interaction_by,
        replace(next_interaction_type, '_', ' ') as next_type,
        {{ whole_days('last_interaction_at', as_of()) }} as days_ago,
        {{ whole_days(as_of(), 'next_interaction_at') }} as days_ahead,
        {{ tenths('sent_received_ratio_by_us') }} as sent_ratio,
        {{ tenths('sent_received_ratio_by_them') }} as received_ratio,
        {{ tenths('response_time_by_us_hours') }} as our_time,
        {{ tenths('response_time_by_them_hours') }} as their_time,
        {{ tenths('abs(response_time_by_them_hours - response_time_by_us_hours)') }} as time_apart
    from {{ ref('int_record_kpi') }}
),

worded as (
    select
        record_type,
        record_id,
        case
            when last_interaction_type is null then 'There is no completed activity yet.'
            when last_interaction_by = 'us' then 'The last interaction was ' || {{ last }} || ' by you ' || {{ ago }}
            when last_interaction_by = 'them'
                then 'The last interaction was ' || {{ last }} || ' by the customer ' || {{ ago }}
            else 'The last interaction was ' || {{ last }} || ' ' || {{ ago }}
        end as last_interaction,
        case
            when emails_sent = 0 and emails_received = 0 then null
            when emails_received = 0
                then 'You sent ' || {{ whole_text('emails_sent') }} || ' email' || {{ plural('emails_sent') }} || ', the customer none.'
            when emails_sent = 0
                then
                    'The customer sent ' || {{ whole_text('emails_received') }} || ' email' || {{ plural('emails_received') }}
                    || ', you none.'
            when emails_sent > emails_received
                then 'You sent ' || {{ tenths_text('sent_ratio') }} || 'x more emails than the customer.'
            when emails_received > emails_sent
                then 'The customer sent ' || {{ tenths_text('received_ratio') }} || 'x more emails than you.'
            else 'You and the customer sent equally many emails.'
        end as email_balance,
        case
            when more_meetings > 0
                then
                    'You initiated ' || {{ whole_text('more_meetings') }} || ' more meeting' || {{ plural('more_meetings') }}
                    || ' than the customer.'
            when more_meetings < 0
                then
                    'The customer initiated ' || {{ whole_text('-more_meetings') }} || ' more meeting'
                    || {{ plural('-more_meetings') }} || ' than you.'
        end as meeting_balance,
        case
            when our_time < their_time
                then 'You answer emails ' || {{ tenths_text('time_apart') }} || ' hours faster than the customer.'
            when their_time < our_time
                then 'The customer answers emails ' || {{ tenths_text('time_apart') }} || ' hours faster than you.'
        end as answer_speed,
        case
            when responses_awaited_from_us = 1 then '1 email thread waits for your answer.'
            when responses_awaited_from_us > 1
                then {{ whole_text('responses_awaited_from_us') }} || ' email threads wait for your answer.'
        end as waiting_threads,
        case
            when next_type is not null
                then
                    'The next ' || next_type || ' is in ' || {{ whole_text('days_ahead') }} || ' day' || {{ plural('days_ahead') }}
                    || '.'
            when last_interaction_type is not null then 'No next interaction is planned.'
        end as next_interaction
    from kpi
),

listed as (
    {% for kind in kinds -%}
    select
        record_type,
        record_id,
        {{ loop.index }} as number,
        {{ kind }} as sentence
    from worded
    where {{ kind }} is not null
    {% if not loop.last %}
    union all

    {% endif %}
    {%- endfor %}
),

placed as (
    select
        record_type,
        record_id,
        sentence,
        row_number() over (partition by record_type, record_id order by number asc nulls last) as position
    from listed
)

select
    record_type,
    record_id,
    cast(position as bigint) as position,
    sentence,
    {{ as_of() }} as as_of
from placed
where position <= 5
