{{ config(**kept('int_touched_subject', ['record_type', 'record_id'], stamped=true)) }}
{% set counts = [('emails_sent', 'email', 'us'), ('emails_received', 'email', 'them'), ('meetings_sent', 'meeting', 'us'),
    ('meetings_received', 'meeting', 'them'), ('calls_made', 'phone_call', 'us'), ('calls_received', 'phone_call', 'them')] -%}
select
    record_type,
    record_id,
    occurred_date as activity_date,
    {% for name, activity_type, side in counts -%}
    count(*) filter (where activity_type = '{{ activity_type }}' and initiated_by = '{{ side }}') as {{ name }},
    {% endfor -%}
    {{ as_of() }} as as_of
from {{ ref('int_record_activity') }}
where
    activity_type in ('email', 'meeting', 'phone_call')
    and initiated_by is not null
    and {{ is_touched('int_touched_subject', ['record_type', 'record_id']) }}
group by record_type, record_id, occurred_date
