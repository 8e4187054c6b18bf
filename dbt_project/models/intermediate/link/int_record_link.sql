{{ config(**kept('int_touched_activity', ['activity_id'])) }}
{% do reads_before_update('int_touched_link') -%}
-- L2, L3, L5: which activity counts for which record and why, with what the figures of a record are made of.
{% set reasons = ['regarding', 'participant', 'stakeholder', 'domain'] -%}
with candidate as (
    {% for model in ['int_link_regarding', 'int_link_people', 'int_link_domain'] -%}
    select
        activity_id,
        record_type,
        record_id,
        link_reason
    from {{ ref(model) }}
    {% if not loop.last %}
    union all

    {% endif %}
    {%- endfor %}
),

first_reason as (
    select
        activity_id,
        record_type,
        record_id,
        min(case link_reason
            {% for reason in reasons -%}
            when '{{ reason }}' then {{ loop.index }}
            {% endfor -%}
        end) as place
    from candidate
    group by activity_id, record_type, record_id
)

select
    link.record_type,
    link.record_id,
    link.activity_id,
    case link.place
        {% for reason in reasons -%}
        when {{ loop.index }} then '{{ reason }}'
        {% endfor -%}
    end as link_reason,
    {{ 'true' if var('count_machine_mail') else 'not activity.is_machine' }} as is_counted,
    activity.activity_type,
    activity.status,
    activity.occurred_at,
    activity.ended_at,
    activity.occurred_date,
    activity.initiated_by,
    activity.thread_id,
    activity.is_machine,
    activity.is_private,
    activity.team_minutes,
    activity.customer_minutes,
    activity.team_on_count,
    activity.customer_on_count,
    activity.customer_took_part_count,
    activity.is_followed,
    activity.open_count,
    activity.link_click_count,
    activity.attachment_count,
    activity.attachment_open_count,
    activity.reply_count
from first_reason as link
inner join {{ ref('int_activity') }} as activity on link.activity_id = activity.activity_id
where
    (link.place = 1 or activity.team_on_count > 0)
    and {{ is_touched('int_touched_activity', ['activity_id'], 'activity') }}
