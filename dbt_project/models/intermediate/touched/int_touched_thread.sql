-- Threads of touched activities, as they were and as they are.
{% if execute and not is_update() -%}
{{ nothing_touched(['thread_id']) }}
{%- else -%}
select activity.thread_id
from {{ source('kept', 'int_activity') }} as activity
inner join {{ ref('int_touched_activity') }} as touched on activity.activity_id = touched.activity_id
where activity.thread_id is not null

union

select coalesce(thread.thread_id, touched.activity_id) as thread_id
from {{ ref('int_touched_activity') }} as touched
left join {{ ref('stg_lake__activity_thread') }} as thread on touched.activity_id = thread.activity_id
{%- endif %}
