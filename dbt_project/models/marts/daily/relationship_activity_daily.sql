{{ config(**kept('int_touched_day', ['record_type', 'record_id', 'activity_date'], stamped=true)) }}
{% set counts = [('emails_sent', 'email', 'us'), ('emails_received', 'email', 'them'), ('meetings_sent', 'meeting', 'us'),
    ('meetings_received', 'meeting', 'them'), ('calls_made', 'phone_call', 'us'), ('calls_received', 'phone_call', 'them')] -%}
with dated as (
    select
        record_type,
        record_id,
        occurred_date as activity_date,
        activity_type,
        initiated_by
    from {{ ref('int_record_activity') }}
    where activity_type in ('email', 'meeting', 'phone_call') and initiated_by is not null
)

select
    record_type,
    record_id,
    activity_date,
    {% for name, activity_type, side in counts -%}
    count(*) filter (where activity_type = '{{ activity_type }}' and initiated_by = '{{ side }}') as {{ name }},
    {% endfor -%}
    {{ as_of() }} as as_of
from dated
where {{ is_touched('int_touched_day', ['record_type', 'record_id', 'activity_date']) }}
group by record_type, record_id, activity_date
