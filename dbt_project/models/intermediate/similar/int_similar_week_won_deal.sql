-- S6: the similar won deals of this week, with their figures.
select
    {{ week_of() }} as week_of,
    pair.opportunity_id,
    pair.rank,
    pair.similar_opportunity_id,
    pair.match,
    pair.distance,
    cast(figure.activities_count as bigint) as activities,
    figure.time_spent_by_team_hours,
    figure.response_time_by_us_hours,
    figure.response_rate_by_them,
    pair.close_date,
    pair.value,
    pair.reason
from {{ ref('int_similar_pair') }} as pair
inner join {{ ref('int_similar_figure') }} as figure on pair.subject_id = figure.subject_id
where pair.basis = 'whole_life'
