-- K9: the CRM's name of everybody who can be a person of an activity.
with named as (
    select 'user' as person_type, systemuserid as person_id, fullname as display_name
    from {{ ref('stg_dataverse__systemuser') }}

    union all

    select 'contact' as person_type, contactid as person_id, fullname as display_name
    from {{ ref('stg_dataverse__contact') }}

    union all

    select 'lead' as person_type, leadid as person_id, fullname as display_name
    from {{ ref('stg_dataverse__lead') }}

    union all

    select 'account' as person_type, accountid as person_id, name as display_name
    from {{ ref('stg_dataverse__account') }}
)

select
    person_type,
    person_id,
    display_name
from named
where display_name <> ''
