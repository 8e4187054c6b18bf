{% set reasons = ['regarding', 'participant', 'stakeholder', 'domain'] -%}
with candidate as (
    select activity_id, record_type, record_id, link_reason from {{ ref('int_link_regarding') }}
    union all
    select activity_id, record_type, record_id, link_reason from {{ ref('int_link_people') }}
    union all
    select activity_id, record_type, record_id, link_reason from {{ ref('int_link_domain') }}
),

first_reason as (
    select
        activity_id,
        record_type,
        record_id,
        min(case link_reason {% for reason in reasons %} when '{{ reason }}' then {{ loop.index }}{% endfor %} end) as place
    from candidate
    group by activity_id, record_type, record_id
)

select
    link.activity_id,
    link.record_type,
    link.record_id,
    case link.place {% for reason in reasons %} when {{ loop.index }} then '{{ reason }}'{% endfor %} end as link_reason,
    {% if var('count_machine_mail') -%}
    true as is_counted,
    {%- else -%}
    not activity.is_machine as is_counted,
    {%- endif %}
    {{ as_of() }} as as_of
from first_reason as link
inner join {{ ref('int_activity') }} as activity on link.activity_id = activity.activity_id
