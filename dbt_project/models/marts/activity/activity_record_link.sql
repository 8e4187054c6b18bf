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
    link.activity_id,
    link.record_type,
    link.record_id,
    case link.place
        {% for reason in reasons -%}
        when {{ loop.index }} then '{{ reason }}'
        {% endfor -%}
    end as link_reason,
    {{ 'true' if var('count_machine_mail') else 'not activity.is_machine' }} as is_counted,
    {{ as_of() }} as as_of
from first_reason as link
inner join {{ ref('int_activity') }} as activity on link.activity_id = activity.activity_id
