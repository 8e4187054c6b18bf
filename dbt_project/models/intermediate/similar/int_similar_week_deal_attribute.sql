-- S4, S8: what the deals of this week taught about each attribute.
select
    {{ week_of() }} as week_of,
    attribute,
    kind,
    mode,
    importance,
    mutual_information,
    auc,
    bin_count,
    won_count,
    lost_count
from {{ source('similar', 'attribute') }}
