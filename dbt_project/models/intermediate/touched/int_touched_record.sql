-- Records that take other people, colleagues or another time for theirs than in the build before, or that came or went.
{% set facts = {
    'int_record': ['record_type', 'record_id'],
    'int_record_customer': ['record_type', 'record_id', 'party_type', 'party_id', 'link_reason'],
    'int_record_person': ['record_type', 'record_id', 'user_id'],
} -%}
{% set facts_of_deals = {
    'int_opportunity_window': ['opportunity_id', 'window_start', 'window_end'],
    'int_opportunity_customer': ['opportunity_id', 'party_type', 'party_id'],
} -%}
{% if execute and not is_update() -%}
{{ nothing_touched(['record_type', 'record_id']) }}
{%- else -%}
with changed as (
    {% for model, columns in facts.items() -%}
    select
        record_type,
        record_id
    from ({{ changed_rows(model, columns) }}) as {{ model }}_change

    union all

    {% endfor -%}
    {% for model, columns in facts_of_deals.items() -%}
    select
        'opportunity' as record_type,
        opportunity_id as record_id
    from ({{ changed_rows(model, columns) }}) as {{ model }}_change
    {% if not loop.last %}
    union all

    {% endif %}
    {%- endfor %}
)

select distinct
    record_type,
    record_id
from changed
{%- endif %}
