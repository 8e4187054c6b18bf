"""What people see of versions: commands, differences, the contract page, history partitions, notices about age."""

import json
from datetime import date, timedelta

import duckdb
import pytest
from click.testing import CliRunner

from jobs.errors import RapportError
from jobs.publish import publish
from jobs.publish.catalogue import CatalogueError, read_catalogue
from jobs.publish.commands import commands
from jobs.publish.contract import render
from jobs.publish.diff import changed_rows, diff
from jobs.publish.history import damaged_weeks, write_week
from jobs.publish.records import RECORDS
from jobs.publish.versions import Published
from jobs.publish.writer import ShapeError
from jobs.settings import PROJECT_ROOT
from tests.publish.marts import DAY, MARTS, candidate, checked, context, read, settings, write_project
from tests.publish.test_protocol import publish_one
from tests.quality import world


def run_command(home, *arguments):
    command = next(c for c in commands if c.name == arguments[0])
    environment = {"RAPPORT_HOME": str(home), "RAPPORT_DBT_PROJECT_DIR": str(home / "dbt_project"), "COLUMNS": "200"}
    done = CliRunner().invoke(command, arguments[1:], env=environment)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_versions_verify_rollback_and_release(tmp_path):
    first = publish_one(tmp_path, "r1").version
    second = publish_one(tmp_path, "r2", sent=2).version
    publish_one(tmp_path, "r3", sent=3, severity="hold")
    shown = run_command(tmp_path, "versions", "--log", "5")
    assert first in shown and second in shown and "held since" in shown and "contact_id_not_null" in shown
    assert f"as published: {', '.join(sorted([first, second]))}" in run_command(tmp_path, "verify")
    assert first in run_command(tmp_path, "rollback", first, "--reason", "wrong figures")
    assert read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(1,)]
    assert "published" in run_command(tmp_path, "release", "--reason", "wanted")
    assert read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(3,)]
    with pytest.raises(RapportError, match="no kept version"):
        run_command(tmp_path, "rollback", "1999", "--reason", "x")


@pytest.mark.parametrize(
    "arguments",
    [("versions",), ("verify",), ("diff", "a", "b"), ("rollback", "a", "--reason", "x")],
    ids=lambda arguments: arguments[0],
)
def test_a_home_without_versions_is_named_and_left_alone(tmp_path, arguments):
    with pytest.raises(RapportError, match=f"nothing is published in {tmp_path}"):
        run_command(tmp_path, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("versions", "--log", "-1"), "'--log'"),
        (("diff", "a", "b", "--rows", "0"), "'--rows'"),
        (("rollback", "a", "--reason", " "), "say why"),
        (("release", "--reason", ""), "say why"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(tmp_path, arguments, message):
    publish_one(tmp_path, "r1")
    assert message in run_command(tmp_path, *arguments)


def test_diff_counts_rows_and_columns(tmp_path):
    publish_one(tmp_path, "r1", contacts=3)
    publish_one(tmp_path, "r2", contacts=5, sent=2)
    first, second = sorted(Published(tmp_path).versions(), key=lambda v: v.manifest["run_id"])
    found = {d.mart: d for d in diff(first, second)}
    contact = found["kpi_contact"]
    assert (contact.only_old, contact.only_new, contact.changed, contact.columns) == (0, 2, 3, {"emails_sent": 3})
    assert found["activity_subject"].equal and found["similar_won_deal"].equal
    headings, rows = changed_rows(first, second, "kpi_contact", 10)
    assert headings == ["contact_id", "column_name", "old_value", "new_value"]
    assert rows[0] == ("c0", "emails_sent", "1", "2") and rows[-1] == ("c4", "(only new)", None, None)
    assert "kpi_account" in run_command(tmp_path, "diff", first.name, second.name)
    assert "(only new)" in run_command(tmp_path, "diff", first.name, second.name, "--mart", "kpi_contact")


def test_diff_of_versions_whose_columns_and_keys_differ(tmp_path):
    publish_one(tmp_path, "r1")
    other = {
        **MARTS,
        "kpi_contact": ({"key": ["contact_id"]}, "contact_id VARCHAR!, emails_sent DOUBLE!, region VARCHAR, as_of TIMESTAMP WITH TIME ZONE!"),
        "kpi_account": ({"key": ["account_id", "emails_sent"]}, MARTS["kpi_account"][1]),
    }  # fmt: skip
    write_project(tmp_path / "dbt_project", other)
    narrower = {**other, "kpi_contact": (other["kpi_contact"][0], f"{other['kpi_contact'][1]}, response_rate_by_us DOUBLE")}
    run = context("r2")
    path = candidate(tmp_path, run, marts=narrower)
    with duckdb.connect(str(path)) as con:
        con.execute("ALTER TABLE kpi_contact DROP response_rate_by_us")
    publish(checked(tmp_path, run, path), tmp_path, run, settings(tmp_path))
    first, second = sorted(Published(tmp_path).versions(), key=lambda v: v.manifest["run_id"])
    told = run_command(tmp_path, "diff", first.name, second.name)
    for change in ("BIGINT became DOUBLE", "disappeared", "is new", "the key became account_id, emails_sent"):
        assert change in told
    found = {d.mart: d for d in diff(first, second)}
    assert found["kpi_contact"].equal and (found["kpi_account"].only_old, found["kpi_account"].only_new) == (2, 2)
    with pytest.raises(RapportError, match="another key"):
        run_command(tmp_path, "diff", first.name, second.name, "--mart", "kpi_account")


def test_design_4_10_an_older_day_reads_a_new_column_as_null(tmp_path):
    publish_one(tmp_path, "r1")
    key, columns = MARTS["kpi_history"]
    wider = {**MARTS, "kpi_history": (key, f"{columns}, score BIGINT")}
    write_project(tmp_path / "dbt_project", wider)
    run = context("r2", DAY + timedelta(days=1))
    path = candidate(tmp_path, run, marts=wider, past_days=(date(2026, 7, 5),))
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE kpi_history SET score = 50 WHERE as_of_date = DATE '2026-07-06'")
    publish(checked(tmp_path, run, path), tmp_path, run, settings(tmp_path))
    assert read(tmp_path, "SELECT DISTINCT as_of_date::varchar, score FROM kpi_history ORDER BY 1") == [
        ("2026-07-05", None),
        ("2026-07-06", 50),
    ]
    file = Published(tmp_path).current().folder / "parquet" / "kpi_history" / "2026-07-05.parquet"
    assert "score" in duckdb.sql(f"SELECT * FROM '{file}'").columns
    stored = json.loads((tmp_path / "lake" / "history" / "kpi" / "as_of_date=2026-07-06" / "checksums.json").read_text())
    assert stored["contract_version"] == "1.0"


def test_design_4_10_an_older_day_loses_a_removed_column(tmp_path):
    key, columns = MARTS["kpi_history"]
    wider = {**MARTS, "kpi_history": (key, f"{columns}, score BIGINT")}
    write_project(tmp_path / "dbt_project", wider)
    publish_one(tmp_path, "r1", marts=wider)
    write_project(tmp_path / "dbt_project", MARTS)
    run = context("r2", DAY + timedelta(days=1), contract_version="2.0")
    path = candidate(tmp_path, run)
    with duckdb.connect(str(path)) as con:
        con.execute(
            f"INSERT INTO kpi_history SELECT * EXCLUDE (score) FROM read_parquet('{tmp_path}/lake/history/kpi/as_of_date=2026-07-05/kpi_history.parquet', hive_partitioning = false)"
        )
    publish(checked(tmp_path, run, path), tmp_path, run, settings(tmp_path))
    days = Published(tmp_path).current().mart_files("kpi_history")
    assert [f.stem for f in days] == ["2026-07-05", "2026-07-06"]
    assert all("score" not in duckdb.sql(f"FROM '{f}'").columns for f in days)
    assert [v.manifest["contract_version"] for v in Published(tmp_path).versions()] == ["1.0", "2.0"]


def test_s9_a_week_is_written_once_and_carried_on(tmp_path):
    mart = read_catalogue(settings(tmp_path).dbt_project_dir / "models" / "marts")["similar_won_deal"]
    week = date(2026, 7, 6)
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE week AS SELECT DATE '2026-07-06' AS week_of, 'o' || i AS opportunity_id, 1::bigint AS rank, 0.5::double AS distance FROM range(3) r(i)"
        )
        folder = write_week(con, tmp_path, {mart: "week"}, week, "1.0")
        first = (folder / "similar_won_deal.parquet").read_bytes()
        con.execute("UPDATE week SET distance = 0.1")
        write_week(con, tmp_path, {mart: "week"}, week, "1.0")
    assert (folder / "similar_won_deal.parquet").read_bytes() == first and damaged_weeks(tmp_path) == []
    for n in (1, 2):
        publish_one(tmp_path, f"r{n}", sent=n, weeks=(week,))
    files = [v.folder / "parquet" / "similar_won_deal" / "2026-07-06.parquet" for v in Published(tmp_path).versions()]
    assert len({f.stat().st_ino for f in [*files, folder / "similar_won_deal.parquet"]}) == 1
    (folder / "similar_won_deal.parquet").unlink()
    assert damaged_weeks(tmp_path) == [f"{folder}/similar_won_deal.parquet is missing"]


def test_a_candidate_of_another_shape_is_refused(tmp_path):
    run = context("r1")
    path = candidate(tmp_path, run)
    with duckdb.connect(str(path)) as con:
        con.execute("ALTER TABLE kpi_contact ALTER emails_sent TYPE INTEGER; ALTER TABLE kpi_contact ADD COLUMN more INTEGER")
    with pytest.raises(ShapeError, match="mart kpi_contact: more is not in the contract; emails_sent is INTEGER, not BIGINT"):
        publish(checked(tmp_path, run, path), tmp_path, run, settings(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (({}, "a BIGINT!"), "no config.meta.key"),
        (({"key": ["b"]}, "a BIGINT!"), "key column b is not among its columns"),
        (({"key": ["a"]}, "a BIGINT"), "needs a not_null constraint"),
        (({"key": ["a"]}, "a HUGEINT!"), "data_type HUGEINT"),
    ],
)
def test_a_yml_that_falls_short_is_named(tmp_path, change, message):
    project = write_project(tmp_path, {"some_mart": change})
    with pytest.raises(CatalogueError, match=message) as error:
        read_catalogue(project / "models" / "marts")
    assert "some_mart" in str(error.value)


MARTS_YML = PROJECT_ROOT / "dbt_project" / "models" / "marts"


def test_m_the_yml_has_exactly_the_contract():
    described = read_catalogue(MARTS_YML)
    assert set(described) == set(world.MARTS)
    for name, (meta, columns) in world.MARTS.items():
        mart = described[name]
        promised = {}
        for column in columns.split(", "):
            column_name, kind = column.split(" ", 1)
            promised[column_name] = (kind.rstrip("!"), not kind.endswith("!"))
        assert {c.name: (c.data_type, c.nullable) for c in mart.columns} == promised, name
        assert (list(mart.key), mart.partition, mart.restricted) == (
            meta["key"],
            meta.get("partition"),
            bool(meta.get("restricted")),
        )
        assert mart.description and all(c.description for c in mart.columns), name


def test_the_contract_page_says_what_the_yml_says():
    page = (PROJECT_ROOT / "docs" / "contract.md").read_text()
    assert page == render(read_catalogue(MARTS_YML)), "run `rapport contract --write`"


def test_the_contract_page_and_the_published_file_agree_both_ways(tmp_path):
    publish_one(tmp_path, "r1")
    page = render(read_catalogue(tmp_path / "dbt_project" / "models" / "marts"))
    described = {}
    for line in page.splitlines():
        if line.startswith("### "):
            table = line.strip("# `")
        elif line.startswith("| `"):
            column, kind, null, _ = (part.strip(" `") for part in line.strip("|").split("|"))
            described[table, column] = (kind, null)
    query = "SELECT table_name, column_name, data_type, if(is_nullable, 'yes', 'no') FROM duckdb_columns() WHERE NOT internal"
    published = {
        (t, c): (kind, null) for file in ("marts.duckdb", "restricted.duckdb") for t, c, kind, null in read(tmp_path, query, file)
    }
    assert described == published and {t for t, _ in described} == {*MARTS, *(r.name for r in RECORDS)}
