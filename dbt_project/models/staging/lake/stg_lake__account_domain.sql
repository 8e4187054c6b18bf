select
    account_id,
    domain
from {{ source('lake', 'account_domain') }}
