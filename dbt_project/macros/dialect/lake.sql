{# Registers the sources: schema `lake` as views over the files of one snapshot, or over the sample of this project where there is none;
   schema `history` as views over the partitions of past days and weeks; schema `similar` as empty tables until the weekly job fills them.
   Columns and types are those of the source yml. #}
{% macro register_lake() -%}
    {% if execute and flags.WHICH in ('build', 'run', 'test', 'show', 'docs', 'generate', 'compile', 'seed', 'retry') %}
        {% set manifest = read_snapshot() if var('snapshot') else none %}
        {% for schema in ('lake', 'history', 'similar') %}
            {% do run_query('create schema if not exists ' ~ adapter.quote(schema)) %}
        {% endfor %}
        {% for source in graph.sources.values() if source.source_name in ('lake', 'history', 'similar') %}
            {% if source.source_name == 'history' %}
                {% set mart = graph.nodes.get('model.rapport.' ~ source.name) %}
                {% set pattern = var('lake') ~ '/history/' ~ source.config.meta.files %}
                {% do register_view(source, history_query(mart, pattern if var('lake') else none)) if mart %}
            {% elif source.source_name == 'similar' %}
                {% do run_query('create table if not exists ' ~ adapter.quote('similar') ~ '.' ~ source.identifier ~ ' as select ' ~ typed_nulls(source) ~ ' where false') %}
            {% elif source.name == 'change' %}
                {% do register_view(source, changes_query(source, manifest)) %}
            {% elif manifest is not none %}
                {% do register_view(source, snapshot_query(source, manifest)) %}
            {% else %}
                {% do register_view(source, sample_query(source)) %}
            {% endif %}
        {% endfor %}
        {% do remember_previous() if is_update() %}
    {% endif %}
{%- endmacro %}

{# Copies the small tables of the build before to where an update compares with them. #}
{% macro remember_previous() -%}
    {% do run_query('create schema if not exists ' ~ adapter.quote('previous')) %}
    {% for source in graph.sources.values() if source.source_name == 'previous' %}
        {% do run_query('create or replace table previous.' ~ source.name ~ ' as select * from intermediate.' ~ source.name) %}
    {% endfor %}
{%- endmacro %}

{% macro register_view(source, query) -%}
    {% do run_query('create or replace view ' ~ source.schema ~ '.' ~ source.identifier ~ ' as ' ~ query) %}
{%- endmacro %}

{# The snapshot manifest, as a mapping. #}
{% macro read_snapshot() -%}
    {{ return(fromjson(adapter.dispatch('read_text', 'rapport')(var('snapshot')))) }}
{%- endmacro %}

{% macro duckdb__read_text(path) -%}
    {{ return(run_query("select content from read_text('" ~ path ~ "')").columns[0].values()[0]) }}
{%- endmacro %}

{% macro spark__read_text(path) -%}
    {{ return(run_query("select concat_ws('', collect_list(value)) from text.`" ~ path ~ "`").columns[0].values()[0]) }}
{%- endmacro %}

{# The files of one table of the snapshot. #}
{% macro snapshot_query(source, manifest) -%}
    {% if source.name not in manifest.tables %}
        {{ exceptions.raise_compiler_error(var('snapshot') ~ ' has no table ' ~ source.name ~ ': run the normalise step of this version again') }}
    {% endif %}
    {% set folder = modules.re.sub('/[^/]*$', '', var('snapshot')) %}
    {% set files = [] %}
    {% for file in manifest.tables[source.name] %}
        {% do files.append(folder ~ '/' ~ file) %}
    {% endfor %}
    {{ return(adapter.dispatch('parquet_query', 'rapport')(files)) }}
{%- endmacro %}

{# The changes of the lake since the snapshot of the build before; none when the run builds from nothing. #}
{% macro changes_query(source, manifest) -%}
    {% set empty = 'select ' ~ typed_nulls(source) ~ ' where false' %}
    {% if not is_update() or manifest.snapshot_id == var('base_snapshot') %}
        {{ return(empty) }}
    {% endif %}
    {% set folder = modules.re.sub('/[^/]*$', '', var('snapshot')) %}
    {% set files = [] %}
    {% set found = namespace(base=false) %}
    {% for step in manifest.changes %}
        {% do files.append(folder ~ '/' ~ step.file) if not found.base %}
        {% set found.base = found.base or step.since == var('base_snapshot') %}
    {% endfor %}
    {% if not found.base %}
        {{ exceptions.raise_compiler_error(var('snapshot') ~ ' does not reach back to snapshot ' ~ var('base_snapshot') ~ ': build from nothing') }}
    {% endif %}
    {{ return('select distinct "table" as table_name, "column" as column_name, key from (' ~ duckdb__parquet_query(files) ~ ')') }}
{%- endmacro %}

{% macro duckdb__parquet_query(files) -%}
    {{ return("select * from read_parquet(['" ~ files | join("', '") ~ "'], hive_partitioning = false)") }}
{%- endmacro %}

{% macro spark__parquet_query(files) -%}
    {{ return('select * from parquet.`' ~ files | join('` union all select * from parquet.`') ~ '`') }}
{%- endmacro %}

{# The partitions of one history table, with the columns of its mart: null in partitions older than a column. #}
{% macro history_query(mart, pattern) -%}
    {% set found = adapter.dispatch('found_files', 'rapport')(pattern) if pattern else [] %}
    {% set empty = 'select ' ~ typed_nulls(mart) ~ ' where false' %}
    {{ return(empty ~ (adapter.dispatch('partition_union', 'rapport')(found) if found else '')) }}
{%- endmacro %}

{% macro duckdb__found_files(pattern) -%}
    {{ return(run_query("select file from glob('" ~ pattern ~ "') order by file").columns[0].values() | list) }}
{%- endmacro %}

{% macro duckdb__partition_union(files) -%}
    {{ return(" union all by name select * from read_parquet(['" ~ files | join("', '") ~ "'], union_by_name = true, hive_partitioning = false)") }}
{%- endmacro %}

{# One table of the sample, a CSV file with some of the columns; no rows where there is no such file. #}
{% macro sample_query(source) -%}
    {% set path = invocation_args_dict.project_dir ~ '/sample/' ~ source.name ~ '.csv' %}
    {% set empty = 'select ' ~ typed_nulls(source) ~ ' where false' %}
    {% set header = run_query("select content from read_text('" ~ path ~ "*')").columns[0].values() %}
    {% if not header %}
        {{ return(empty) }}
    {% endif %}
    {% set casts = [] %}
    {% for name in header[0].split('\n')[0].strip().split(',') %}
        {% do casts.append('cast(' ~ name ~ ' as ' ~ source.columns[name].data_type ~ ') as ' ~ name) %}
    {% endfor %}
    {{ return(empty ~ ' union all by name select ' ~ casts | join(', ') ~ " from read_csv('" ~ path ~ "', header = true, all_varchar = true)") }}
{%- endmacro %}

{# The columns of a source or a model as typed nulls. #}
{% macro typed_nulls(relation) -%}
    {% set columns = [] %}
    {% for column in relation.columns.values() %}
        {% do columns.append('cast(null as ' ~ column.data_type ~ ') as ' ~ column.name) %}
    {% endfor %}
    {{ return(columns | join(', ')) }}
{%- endmacro %}
