-- Activities that an update works out anew: changed in the lake, of a status that as-of may have moved on, or naming somebody touched.
{% if execute and not is_update() -%}
{{ nothing_touched(['activity_id']) }}
{%- else -%}
with activity as (
    select key as activity_id
    from {{ source('lake', 'change') }}
    where column_name = 'activity_id'

    union all

    select activity_id
    from {{ ref('stg_lake__activity') }}
    where occurred_at >= {{ base_as_of() }} or ended_at > {{ base_as_of() }}

    union all

    select activity_id
    from {{ ref('stg_lake__activity') }}
    where regarding_id in (select name from {{ ref('int_touched_name') }})

    union all

    select activity_id
    from {{ ref('stg_lake__activity_participant') }}
    where
        address in (select name from {{ ref('int_touched_name') }})
        or party_id in (select name from {{ ref('int_touched_name') }})

    union all

    select activity_id
    from {{ ref('stg_lake__activity_party') }}
    where party_id in (select name from {{ ref('int_touched_name') }})
)

select distinct activity_id
from activity
{%- endif %}
