{# The first address of a contact or lead that is filled, as spelled. #}
{% macro first_address(relation) -%}
    coalesce(
        {%- for position in [1, 2, 3] %}
        case when trim({{ relation }}.emailaddress{{ position }}) <> '' then {{ relation }}.emailaddress{{ position }} end{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
