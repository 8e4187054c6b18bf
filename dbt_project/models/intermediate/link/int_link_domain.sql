{{ config(materialized='view') }}
-- L9: links of an account by the mail domain of a customer-side participant.
select
    participant.activity_id,
    'account' as record_type,
    domain.account_id as record_id,
    'domain' as link_reason
from {{ ref('int_activity_participant') }} as participant
inner join {{ ref('stg_lake__account_domain') }} as domain on participant.address_domain = domain.domain
inner join {{ ref('int_record') }} as record on record.record_type = 'account' and domain.account_id = record.record_id
where
    participant.side = 'them'
    and participant.is_on
    and {{ 'true' if var('account_domain_matching') and var('link_domain_enabled') else 'false' }}
