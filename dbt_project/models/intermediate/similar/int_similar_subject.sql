-- The similar deals and instants that figures are needed for, each once.
select distinct
    subject_id,
    'opportunity' as record_type,
    similar_opportunity_id as record_id,
    {{ instant('null') }} as window_start,
    cut_at
from {{ ref('int_similar_pair') }}
