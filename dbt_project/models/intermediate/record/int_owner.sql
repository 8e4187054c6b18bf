-- Users and teams as owners of records, with the business unit that they belong to.
select
    'systemuser' as owner_type,
    systemuserid as owner_id,
    fullname as owner_name,
    businessunitid as business_unit_id
from {{ ref('stg_dataverse__systemuser') }}

union all

select
    'team' as owner_type,
    teamid as owner_id,
    name as owner_name,
    businessunitid as business_unit_id
from {{ ref('stg_dataverse__team') }}
