-- S9: the weeks that are kept, each as it was computed.
select
    week_of,
    attribute,
    kind,
    mode,
    importance,
    mutual_information,
    auc,
    bin_count,
    won_count,
    lost_count
from {{ source('history', 'similar_deal_attribute') }}
where week_of > {{ as_of_date() }} - {{ var('history_days') }}
