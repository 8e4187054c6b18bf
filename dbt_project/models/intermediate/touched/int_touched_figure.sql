-- Records whose figures an update works out anew, and which: all of a touched record or of one whose unanswered block grew too old, and
-- those of a window that an activity left.
{% set figures = kpi_sets() + [('people', var('people_days'))] -%}
{% if execute and not is_update() -%}
{{ nothing_touched(['record_type', 'record_id', 'kpi_set']) }}
{%- else -%}
with touched as (
    select
        record_type,
        record_id
    from {{ ref('int_touched_subject') }}

    union

    select
        record_type,
        record_id
    from {{ ref('int_touched_record') }}

    union

    select
        record_type,
        record_id
    from {{ ref('int_email_block') }}
    where
        started_at >= {{ days_before(base_as_of(), var('response_grace_days')) }}
        and started_at <= {{ days_before(as_of(), var('response_grace_days')) }}
        and (answered_at is null or response_seconds > {{ var('response_max_days') * 86400 }})
)

{% for kpi_set, _ in figures -%}
select
    record_type,
    record_id,
    '{{ kpi_set }}' as kpi_set
from touched

union

{% endfor -%}
{% for kpi_set, days in figures if days is not none -%}
select
    record_type,
    record_id,
    '{{ kpi_set }}' as kpi_set
from {{ ref('int_record_link') }}
where
    status = 'completed'
    and occurred_at >= {{ days_before(base_as_of(), days) }}
    and occurred_at < {{ days_before(as_of(), days) }}
{% if not loop.last %}
union

{% endif %}
{%- endfor %}
{%- endif %}
