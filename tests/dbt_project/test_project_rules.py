"""Rules of the dbt project: names, layers, descriptions, tests, vars, and SQL that DuckDB and Spark answer alike."""

import json
import re
from pathlib import Path

import duckdb
import pytest
import yaml

PROJECT = Path(__file__).parents[2] / "dbt_project"
MODELS = sorted((PROJECT / "models").rglob("*.sql"))
MACROS = sorted(f for f in (PROJECT / "macros").rglob("*.sql") if "dialect" not in f.parts)
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|--[^\n]*", re.DOTALL)
FORBIDDEN = {
    r"::": "cast(x as type)",
    r"\bqualify\b": "row_number() in a CTE",
    r"\b(array_agg|list|string_agg|listagg|list_\w+|array_\w+|collect_\w+|unnest|explode|generate_series|sequence)\s*\(": "macros/dialect",
    r"\b(arg_max|arg_min|max_by|min_by|first|last|any_value)\s*\(": "row_number() in a CTE",
    r"\b(epoch\w*|unix_\w+|date_diff|datediff|date_sub|date_add|strftime|strptime|date_format|to_date|timezone)\s*\(": "macros/dialect",
    r"\b(dayofweek|weekday|isodow|dow|dayname|monthname)\b": "iso_weekday",
    r"\b(regexp_\w+|split|string_split|split_part|substring|concat|starts_with|strpos|hash|log|md5|sha\w*)\s*\(": "macros/dialect",
    r"\b(timestamptz|hugeint|varchar|text)\b": "string, instant()",
    r"->>?|//|\bilike\b|\bpivot\b|\basof\s+join\b|\bexclude\s*\(|\bcolumns\s*\(|\bby\s+name\b|\bignore\s+nulls\b": "plain SQL",
    r"\b(now|today|get_current_timestamp)\s*\(|\bcurrent_(date|time|timestamp)\b": "as_of()",
    r'"': "names that need no quotes",
}


@pytest.fixture(scope="module")
def models(sample):
    return {n["name"]: n for n in sample.manifest["nodes"].values() if n["resource_type"] == "model"}


@pytest.mark.parametrize("file", MODELS + MACROS, ids=lambda f: f.stem)
def test_sql_is_portable(file):
    sql = JINJA.sub(" ", file.read_text().lower())
    if file in MACROS:
        sql = sql.replace('"', "")
    found = {pattern: remedy for pattern, remedy in FORBIDDEN.items() if re.search(pattern, sql)}
    assert not found, f"{file.relative_to(PROJECT)}: use instead"


@pytest.mark.parametrize(
    "wrong", ["select a::int", "select epoch(t)", "order by dow", "select now()", 'select "A"', "select a->>'b'"]
)
def test_forbidden_sql_is_found(wrong):
    assert any(re.search(pattern, wrong.lower()) for pattern in FORBIDDEN)


@pytest.mark.parametrize("file", MODELS, ids=lambda f: f.stem)
def test_every_ordering_says_where_nulls_go(file):
    for order in re.findall(
        r"\border by\b(.*?)(?:rows between|\n\s*\)|\)\s*as\b|\Z)", JINJA.sub(" x ", file.read_text()), re.DOTALL
    ):
        terms = re.split(r",(?![^(]*\))", order)
        assert all(re.search(r"nulls (first|last)", term) for term in terms), order.strip()


@pytest.mark.parametrize("file", MODELS, ids=lambda f: f.stem)
def test_models_are_short(file):
    assert len(file.read_text().splitlines()) <= 120


def test_names_tell_the_layer(models):
    for name, node in models.items():
        layer = Path(node["original_file_path"]).parts[1]
        source = Path(node["original_file_path"]).parts[2]
        prefix = {"staging": f"stg_{source}__", "intermediate": "int_", "marts": ""}[layer]
        assert name.startswith(prefix), name
        assert layer != "marts" or not name.startswith(("stg_", "int_")), name
        assert node["schema"] == ("restricted" if source == "restricted" else "main" if layer == "marts" else layer), name


def test_sources_are_read_in_staging_alone(models):
    for name, node in models.items():
        read = {d.split(".")[2] for d in node["depends_on"]["nodes"] if d.startswith("source.")}
        assert not read or node["schema"] == "staging" or read <= {"similar", "history"} or name.startswith("int_touched_"), name
        if node["schema"] == "staging":
            assert [d.split(".")[0] for d in node["depends_on"]["nodes"]] == ["source"], (
                f"{name} reads one source and nothing else"
            )


def test_every_model_and_column_is_described(sample, models):
    wrong = {}
    with duckdb.connect(str(sample.warehouse), read_only=True) as con:
        for name, node in models.items():
            built = {c for c, *_ in con.execute(f'describe "{node["schema"]}"."{node["alias"]}"').fetchall()}
            described = {c for c, column in node["columns"].items() if column["description"]}
            if built != described or not node["description"]:
                wrong[name] = built ^ described
    assert not wrong


def test_every_source_seed_and_exposure_is_described(sample):
    nodes = [n for n in sample.manifest["nodes"].values() if n["resource_type"] == "seed"]
    nodes += [*sample.manifest["sources"].values(), *sample.manifest["exposures"].values()]
    assert len(nodes) > 30
    wrong = {n["name"] for n in nodes if not n["description"]}
    wrong |= {f"{n['name']}.{c}" for n in nodes for c, column in n.get("columns", {}).items() if not column["description"]}
    assert not wrong


def test_every_model_is_tested(sample, models):
    tested = set()
    for group in (sample.manifest["nodes"], sample.manifest["unit_tests"]):
        for node in group.values():
            if node["resource_type"] in ("test", "unit_test"):
                tested |= {d.split(".")[2] for d in node["depends_on"]["nodes"]}
    assert not models.keys() - tested


def test_marts_keep_a_contract(models):
    for name, node in models.items():
        if node["schema"] in ("main", "restricted"):
            assert node["config"]["contract"]["enforced"], name
            required = {
                c
                for c, column in node["columns"].items()
                if {"type": "not_null"}.items() <= _first(column["constraints"]).items()
            }
            assert set(node["config"]["meta"]["key"]) <= required, name


def _first(constraints: list[dict]) -> dict:
    return next((c for c in constraints if c["type"] == "not_null"), {})


def test_every_var_is_declared_and_used():
    declared = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"].keys()
    text = "".join(f.read_text() for f in [*MODELS, *(PROJECT / "macros").rglob("*.sql")])
    used = set(re.findall(r"""var\(['"](\w+)['"]\)""", text))
    assert used <= declared
    by_jobs = {name for name in declared if name.startswith(("similar", "deprecation"))}
    by_reason = {name for name in declared if re.fullmatch(r"link_\w+_enabled", name)}
    assert declared - used <= by_jobs | by_reason


def test_every_var_says_what_it_means():
    lines = (PROJECT / "dbt_project.yml").read_text().partition("\nvars:\n")[2].splitlines()
    undescribed = [line for line in lines if re.match(r"  \w+:", line) and "  # " not in line]
    assert not undescribed


def test_free_mail_domains_are_one_list():
    rows = (PROJECT / "seeds" / "free_mail_domains.csv").read_text().splitlines()
    domains = [row.split(",")[0] for row in rows[1:]]
    assert rows[0] == "domain,kind"
    assert len(domains) == len(set(domains))
    assert all(d == d.lower() and "." in d for d in domains)


def test_figures_of_different_records_are_never_added_up(sample):
    semantic = json.loads((sample.warehouse.parent / "warehouse" / "dbt" / "semantic_manifest.json").read_text())
    keyed = {n["name"] for n in sample.manifest["nodes"].values() if n.get("config", {}).get("meta", {}).get("record")}
    aggregations = {
        (model["node_relation"]["alias"], measure["agg"])
        for model in semantic["semantic_models"]
        for measure in model["measures"]
    }
    assert ("kpi_history", "average") in aggregations
    assert not {(mart, agg) for mart, agg in aggregations if mart in keyed and agg in ("sum", "count", "sum_boolean")}
    assert all(metric["type"] == "simple" for metric in semantic["metrics"])
