-- S7: plain means over the similar deals of each open one, less those created before mail was loaded.
{% set figures = ['emails_sent', 'emails_received', 'meetings_sent', 'meetings_received', 'calls_made', 'calls_received', 'activities',
    'time_spent_by_team_hours', 'time_spent_by_customer_hours', 'response_time_by_us_hours', 'response_time_by_them_hours',
    'response_rate_by_us', 'response_rate_by_them', 'sent_received_ratio_by_us', 'sent_received_ratio_by_them'] -%}
{% set history_start = instant_literal((var('history_start') | string)[:10] ~ 'T00:00:00Z') if var('history_start') else instant('null') -%}
with used as (
    select
        pair.opportunity_id,
        pair.basis,
        pair.match,
        pair.deal_age_days,
        figure.*,
        figure.activities_count as activities
    from {{ ref('int_similar_pair') }} as pair
    inner join {{ ref('int_similar_figure') }} as figure on pair.subject_id = figure.subject_id
    where coalesce(pair.similar_created_at >= {{ history_start }}, true)
)

select
    {{ week_of() }} as week_of,
    opportunity_id,
    basis,
    match,
    count(*) as similar_count,
    {% for figure in figures -%}
    {{ exact_sum(figure) }} / nullif(count({{ figure }}), 0) as {{ figure }},
    {% endfor -%}
    deal_age_days
from used
group by opportunity_id, basis, match, deal_age_days
