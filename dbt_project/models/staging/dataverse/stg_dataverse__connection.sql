select
    connectionid,
    record1id,
    record1id_type,
    record2id,
    record2id_type,
    record1roleid,
    record1roleid_type,
    record2roleid,
    record2roleid_type,
    statecode
from {{ source('lake', 'crm_connection') }}
