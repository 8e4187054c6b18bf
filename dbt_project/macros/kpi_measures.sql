{# What the KPIs are computed for, with the days that each looks back; none: since ever. #}
{% macro kpi_sets() -%}
    {{ return([('lifetime', none), ('30d', 30), ('90d', 90)]) }}
{%- endmacro %}

{# The names of the MEASURES, in their order. #}
{% macro kpi_measure_names() -%}
    {%- set names = ['emails_sent', 'emails_received', 'meetings_sent', 'meetings_received', 'calls_made', 'calls_received',
        'interactions_by_us', 'interactions_by_them', 'time_spent_by_team_minutes', 'time_spent_by_customer_minutes',
        'time_spent_by_team_hours', 'time_spent_by_customer_hours', 'sent_received_ratio_by_them', 'sent_received_ratio_by_us'] -%}
    {%- for side in ['us', 'them'] -%}
        {%- do names.extend(['response_time_by_' ~ side ~ '_hours', 'response_time_by_' ~ side ~ '_median_hours',
            'response_time_by_' ~ side ~ '_business_mean_hours', 'response_time_by_' ~ side ~ '_business_median_hours',
            'response_rate_by_' ~ side, 'responses_awaited_from_' ~ side]) -%}
    {%- endfor -%}
    {%- do names.extend(['emails_followed', 'email_open_rate', 'attachment_view_rate', 'link_click_rate', 'email_reply_rate',
        'emails_excluded']) -%}
    {{ return(names) }}
{%- endmacro %}

{# The query of the MEASURES of any relation of subjects: `subject_id` (unique), `record_type`, `record_id`, `window_start` (null: since
   ever) and `cut_at`, the as-of of the subject. Gives one row a subject: `subject_id`, the MEASURES and `activities_count`. #}
{% macro kpi_measures(subjects) -%}
    with counted as (
        {{ kpi_activity_measures(subjects) | indent(8) }}
    ),

    answered as (
        {{ kpi_response_measures(subjects) | indent(8) }}
    ),

    excluded as (
        select
            subject.subject_id,
            count(*) as emails_excluded
        from {{ subjects }} as subject
        inner join {{ ref('int_record_excluded_email') }} as email
            on subject.record_type = email.record_type and subject.record_id = email.record_id
        where
            email.occurred_at < subject.cut_at
            and (subject.window_start is null or email.occurred_at >= subject.window_start)
        group by subject.subject_id
    )

    select
        subject.subject_id,
        {% for measure in ['emails_sent', 'emails_received', 'meetings_sent', 'meetings_received', 'calls_made', 'calls_received'] -%}
        coalesce(counted.{{ measure }}, 0) as {{ measure }},
        {% endfor -%}
        coalesce(counted.emails_sent + counted.meetings_sent + counted.calls_made, 0) as interactions_by_us,
        coalesce(counted.emails_received + counted.meetings_received + counted.calls_received, 0) as interactions_by_them,
        {% for side in ['team', 'customer'] -%}
        coalesce(counted.{{ side }}_minutes, cast(0 as double)) as time_spent_by_{{ side }}_minutes,
        {% endfor -%}
        {% for side in ['team', 'customer'] -%}
        floor(coalesce(counted.{{ side }}_minutes, cast(0 as double)) * 100 / 60 + 0.5) / 100 as time_spent_by_{{ side }}_hours,
        {% endfor -%}
        cast(counted.emails_received as double) / nullif(counted.emails_sent, 0) as sent_received_ratio_by_them,
        cast(counted.emails_sent as double) / nullif(counted.emails_received, 0) as sent_received_ratio_by_us,
        {% for side in ['us', 'them'] -%}
        {% if var('tier') == 'basic' -%}
        {% for measure in ['hours', 'median_hours', 'business_mean_hours', 'business_median_hours'] -%}
        cast(null as double) as response_time_by_{{ side }}_{{ measure }},
        {% endfor -%}
        cast(null as double) as response_rate_by_{{ side }},
        cast(0 as bigint) as responses_awaited_from_{{ side }},
        {% else -%}
        {% for measure in ['hours', 'median_hours', 'business_mean_hours', 'business_median_hours'] -%}
        answered.{{ measure }}_by_{{ side }} as response_time_by_{{ side }}_{{ measure }},
        {% endfor -%}
        answered.response_rate_by_{{ side }},
        coalesce(answered.awaited_from_{{ side }}, 0) as responses_awaited_from_{{ side }},
        {% endif -%}
        {% endfor -%}
        coalesce(counted.emails_followed, 0) as emails_followed,
        cast(counted.emails_opened as double) / nullif(counted.emails_followed, 0) as email_open_rate,
        cast(counted.attachments_viewed as double) / nullif(counted.emails_with_attachment, 0) as attachment_view_rate,
        cast(counted.links_clicked as double) / nullif(counted.emails_followed, 0) as link_click_rate,
        cast(counted.emails_replied as double) / nullif(counted.emails_followed, 0) as email_reply_rate,
        coalesce(excluded.emails_excluded, 0) as emails_excluded,
        coalesce(counted.activities_count, 0) as activities_count
    from {{ subjects }} as subject
    left join counted on subject.subject_id = counted.subject_id
    left join answered on subject.subject_id = answered.subject_id
    left join excluded on subject.subject_id = excluded.subject_id
{%- endmacro %}

{# Counts, minutes and engagement of each subject that has an activity (K4 to K8, K18). #}
{% macro kpi_activity_measures(subjects) -%}
{%- set counts = [('emails_sent', 'email', 'us'), ('emails_received', 'email', 'them'), ('meetings_sent', 'meeting', 'us'),
    ('meetings_received', 'meeting', 'them'), ('calls_made', 'phone_call', 'us'), ('calls_received', 'phone_call', 'them')] -%}
{%- set followed = "activity.activity_type = 'email' and activity.initiated_by = 'us' and activity.is_followed" -%}
select
    subject.subject_id,
    count(*) as activities_count,
    {% for name, activity_type, side in counts -%}
    count(*) filter (where activity.activity_type = '{{ activity_type }}' and activity.initiated_by = '{{ side }}') as {{ name }},
    {% endfor -%}
    {{ exact_sum('activity.team_minutes') }} as team_minutes,
    {{ exact_sum('activity.customer_minutes') }} as customer_minutes,
    count(*) filter (where {{ followed }}) as emails_followed,
    count(*) filter (where {{ followed }} and activity.open_count >= 1) as emails_opened,
    count(*) filter (where {{ followed }} and activity.link_click_count >= 1) as links_clicked,
    count(*) filter (where {{ followed }} and activity.reply_count >= 1) as emails_replied,
    count(*) filter (where {{ followed }} and activity.attachment_count >= 1) as emails_with_attachment,
    count(*) filter (
        where {{ followed }} and activity.attachment_count >= 1 and activity.attachment_open_count >= 1
    ) as attachments_viewed
from {{ subjects }} as subject
inner join {{ ref('int_record_activity') }} as activity
    on subject.record_type = activity.record_type and subject.record_id = activity.record_id
where
    activity.occurred_at < subject.cut_at
    and activity.ended_at <= subject.cut_at
    and (subject.window_start is null or activity.occurred_at >= subject.window_start)
group by subject.subject_id
{%- endmacro %}

{# Response times, rates and awaited answers of each subject that has a block (K13 to K19). #}
{% macro kpi_response_measures(subjects) -%}
select
    subject_id,
    {% for side, asking in [('us', 'them'), ('them', 'us')] -%}
    {% for prefix, column in [('', 'response_seconds'), ('business_', 'business_seconds')] -%}
    cast(sum({{ column }}) filter (where side = '{{ asking }}' and is_answered) as double)
    / nullif(count(*) filter (where side = '{{ asking }}' and is_answered), 0)
    / 3600 as {{ 'business_mean_hours' if prefix else 'hours' }}_by_{{ side }},
    median({{ column }}) filter (where side = '{{ asking }}' and is_answered) / 3600 as {{ prefix }}median_hours_by_{{ side }},
    {% endfor -%}
    cast(count(*) filter (where side = '{{ asking }}' and is_answered) as double)
    / nullif(count(*) filter (where side = '{{ asking }}' and (is_answered or is_overdue)), 0) as response_rate_by_{{ side }},
    count(*) filter (where side = '{{ asking }}' and not is_answered and not is_overdue) as awaited_from_{{ side }}{{ ',' if not loop.last }}
    {% endfor %}
from (
    select
        subject.subject_id,
        block.side,
        block.response_seconds,
        block.business_seconds,
        coalesce(
            block.answered_at < subject.cut_at and block.response_seconds <= {{ var('response_max_days') * 86400 }}, false
        ) as is_answered,
        {{ seconds_between('block.started_at', 'subject.cut_at') }} > {{ var('response_grace_days') * 86400 }} as is_overdue
    from {{ subjects }} as subject
    inner join {{ ref('int_email_block') }} as block
        on subject.record_type = block.record_type and subject.record_id = block.record_id
    where
        block.started_at < subject.cut_at
        and (subject.window_start is null or block.started_at >= subject.window_start)
) as asked
group by subject_id
{%- endmacro %}
