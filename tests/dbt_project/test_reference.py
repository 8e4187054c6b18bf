"""Links and KPIs agree with a second implementation on a random world of edge cases, whatever the order of its rows."""

from pathlib import Path
from random import Random

import duckdb
import pytest

from jobs import build
from jobs.settings import Settings
from tests.dbt_project import world
from tests.dbt_project.reference import RECORDS, Reference

SELECTED = [
    "+kpi_contact",
    "+kpi_account",
    "+kpi_opportunity",
    "+kpi_lead",
    "+kpi_window",
    "+relationship_activity_daily",
    "activity",
    "activity_record_link",
]
KPI_KEYS = {kind: f"{kind}_id" for kind in RECORDS}


def run(rows: world.World, home: Path, **variables) -> duckdb.DuckDBPyConnection:
    """Build the models on a world; returns a connection to the warehouse."""
    manifest = world.write(rows, home / "lake")
    given = {
        "as_of": world.AS_OF.isoformat(),
        "reporting_timezone": world.ZONE,
        "holidays": world.HOLIDAYS,
        "snapshot": str(manifest),
    }
    build.dbt(["run", "--select", *SELECTED], home / "world.duckdb", Settings(home=home, dbt_target="ci"), {**given, **variables})
    con = duckdb.connect(str(home / "world.duckdb"), read_only=True)
    con.execute("set timezone = 'UTC'")
    return con


@pytest.fixture(scope="module")
def rows() -> world.World:
    return world.world(seed=21)


@pytest.fixture(scope="module")
def reference(rows) -> Reference:
    return Reference(rows)


@pytest.fixture(scope="module")
def built(rows, tmp_path_factory):
    with run(rows, tmp_path_factory.mktemp("home")) as con:
        yield con


@pytest.fixture(scope="module")
def shuffled(rows, tmp_path_factory):
    """The same world in another order, with one more activity among people of no record and nobody of ours."""
    random = Random(5)
    other = {name: random.sample(table, len(table)) for name, table in rows.items()}
    world.add_activity(random, other, "unrelated", people=["nobody@elsewhere.example", "somebody@elsewhere.example"])
    for table in ("activity_participant", "activity_party"):
        other[table] = [r for r in other[table] if r["activity_id"] != "unrelated" or r["role"] != "owner"]
    with run(other, tmp_path_factory.mktemp("other")) as con:
        yield con


def test_links(built, reference):
    found = built.execute(
        "select activity_id, record_type, record_id, link_reason, is_counted from activity_record_link"
    ).fetchall()
    assert {row[:3]: row[3:] for row in found} == reference.links
    assert {reason for reason, _ in reference.links.values()} == {"regarding", "participant", "stakeholder", "domain"}


def test_activities(built, reference):
    found = built.execute("select activity_id, status, initiated_by, is_internal from activity").fetchall()
    expected = {
        id_: (a["status"], a["by"], all(p["side"] == "us" for p in a["people"]))
        for id_, a in reference.activities.items()
        if any(link[0] == id_ for link in reference.links)
    }
    assert {row[0]: row[1:] for row in found} == expected


@pytest.mark.parametrize("kind", RECORDS)
def test_lifetime_kpis(built, reference, kind):
    expected = {
        id_: reference.measures((kind, id_)) | reference.interactions((kind, id_)) for k, id_ in reference.records if k == kind
    }
    _agree(built, f"select {kind}_id as key, * from kpi_{kind}", expected)


@pytest.mark.parametrize("days", [30, 90])
def test_window_kpis(built, reference, days):
    expected = {f"{kind} {id_}": reference.measures((kind, id_), days) for kind, id_ in reference.records}
    _agree(built, f"select record_type || ' ' || record_id as key, * from kpi_window where window_days = {days}", expected)


def test_daily(built, reference):
    found = built.execute("select * exclude (as_of) from relationship_activity_daily").fetchall()
    assert {row[:3]: row[3:] for row in found} == reference.daily()


def test_order_of_rows_and_unrelated_activities_change_nothing(built, shuffled):
    for mart in (
        "activity",
        "activity_record_link",
        "kpi_window",
        *(f"kpi_{kind}" for kind in RECORDS),
        "relationship_activity_daily",
    ):
        assert _rows(built, mart) == _rows(shuffled, mart), mart


def test_people_of_an_account_come_from_its_contacts(built):
    """An account links by its contacts, itself, its domain or regarding: by people it counts no more than these have together."""
    by_people = (
        "select activity_id, record_id from activity_record_link where record_type = 'account' and link_reason = 'participant'"
    )
    stray = built.execute(f"""
        with linked as ({by_people})
        select linked.* from linked
        where not exists (
            select 1 from intermediate.int_record_customer customer join intermediate.int_activity_match matched using (party_type, party_id)
            where customer.record_type = 'account' and customer.record_id = linked.record_id and matched.activity_id = linked.activity_id
        )""").fetchall()
    assert built.execute(by_people).fetchall() and not stray


def _agree(con: duckdb.DuckDBPyConnection, query: str, expected: dict[str, dict]) -> None:
    cursor = con.execute(query)
    names = [d[0] for d in cursor.description]
    found = {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
    assert found.keys() == expected.keys()
    different = [
        (key, name, value, found[key][name])
        for key, values in expected.items()
        for name, value in values.items()
        if not _equal(value, found[key][name])
    ]
    assert not different


def _equal(expected, actual) -> bool:
    if isinstance(expected, float | int) and isinstance(actual, float):
        return abs(expected - actual) <= 1e-9
    return expected == actual


def _rows(con: duckdb.DuckDBPyConnection, mart: str) -> list[tuple]:
    return con.execute(f"select * from {mart} order by all").fetchall()
