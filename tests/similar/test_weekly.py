"""Weeks computed, checked and written with dbt on a lake written by hand (S1, S6, S7, S9)."""

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from jobs import build
from jobs.publish import history
from jobs.settings import Settings
from jobs.similar.check import check_week
from jobs.similar.rules import Rules, SimilarError
from jobs.similar.weekly import Filled, _relations, compute_week, fill_weeks
from jobs.similar.weeks import Week
from tests.similar.lake import World, write_lake

WEEK = Week(date(2026, 7, 6), datetime(2026, 7, 6, tzinfo=UTC))
TABLES = ("similar_won_deal", "similar_deal_benchmark", "similar_deal_attribute")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def small_world() -> World:
    """An open deal of 20 days and two won ones; of the second little is known."""
    world = World()
    world.deal("open", "2026-06-16T00:00:00Z")
    world.deal("closed-on-w", "2026-06-01T00:00:00Z", "2026-07-06", actualvalue=1)
    world.deal("won", "2026-01-01T00:00:00Z", "2026-03-01", actualvalue=300, actualvalue_base=250)
    world.deal("quiet", "2026-06-20T00:00:00Z", "2026-07-05", estimatedvalue=80)
    world.deal("lost", "2026-01-01T00:00:00Z", "2026-04-01", state=2)
    world.email("won", "2026-01-05T10:00:00Z", "us", "first")
    world.email("won", "2026-01-05T14:00:00Z", "them", "first")
    world.call("won", "2026-01-10T10:00:00Z", 30)
    world.task("won", "2026-01-15T10:00:00Z", 15)
    world.meeting("won", "2026-01-20T23:30:00Z", "2026-01-21T00:30:00Z", 60)
    world.email("won", "2026-02-01T10:00:00Z", "us", "second")
    world.email("won", "2026-02-01T12:00:00Z", "them", "second")
    return world


def newer_than_the_week(world: World) -> World:
    """The same world with what happens at W and after."""
    world.deal("created-on-w", "2026-07-06T00:00:00Z")
    world.deal("created-and-won-later", "2026-07-06T00:00:00Z", "2026-07-05", actualvalue=9)
    world.email("won", "2026-07-06T00:00:00Z", "us", "second")
    world.call("won", "2026-07-07T09:00:00Z", 45)
    world.meeting("won", "2026-07-05T23:30:00Z", "2026-07-06T00:00:01Z", 30)
    return world


def partition(home: Path, week: date) -> Path:
    return home / "lake" / "history" / "similar" / f"week_of={week}"


def rows(path: Path, columns: str, where: str = "true") -> list[tuple]:
    with duckdb.connect() as con:
        return con.sql(f"SELECT {columns} FROM '{path}' WHERE {where} ORDER BY ALL").fetchall()


class Warehouse:
    """A home with a lake, and dbt on its scratch warehouse."""

    def __init__(self, home: Path, world: World, extra: tuple[dict[str, str], ...] = ()) -> None:
        self.home = home
        self.settings = Settings(home=home, replayed_tenant=True, similarity_attributes=list(extra), _env_file=None)
        self.path = home / "warehouse" / "scratch.duckdb"
        types = {"number": "double", "category": "varchar"}
        write_lake(home, world.tables, {a["name"]: types[a["kind"]] for a in extra})

    def dbt(self, args: list[str], variables: dict) -> None:
        build.dbt(args, self.path, self.settings, build.dbt_vars(self.settings, **variables))

    def fill(self, as_of: datetime) -> Filled:
        return fill_weeks(self.home, self.settings, as_of, self.path, self.dbt)


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Warehouse:
    """A home after its first weekly run, in the middle of a week."""
    warehouse = Warehouse(tmp_path_factory.mktemp("home"), newer_than_the_week(small_world()))
    assert warehouse.fill(utc(2026, 7, 8, 12)) == Filled([date(2026, 7, 6)])
    return warehouse


def test_s1_s2_open_deals_get_the_deals_won_last(first):
    found = rows(
        partition(first.home, WEEK.week_of) / "similar_won_deal.parquet",
        "opportunity_id, rank, similar_opportunity_id, match, distance, close_date, week_of",
    )
    assert found == [
        (deal, rank, similar, "fallback", None, closed, WEEK.week_of)
        for deal in ("closed-on-w", "open")
        for rank, similar, closed in ((1, "quiet", date(2026, 7, 5)), (2, "won", date(2026, 3, 1)))
    ]


def test_s6_figures_are_those_of_the_kpis_at_the_week(first):
    found = rows(
        partition(first.home, WEEK.week_of) / "similar_won_deal.parquet",
        "similar_opportunity_id, activities, time_spent_by_team_hours, response_time_by_us_hours, response_rate_by_them, value",
        "opportunity_id = 'open'",
    )
    assert found == [("quiet", 0, 0.0, None, None, 80.0), ("won", 7, 2.0, None, 1.0, 250.0)]


def test_s7_benchmark_over_whole_lives_and_at_the_same_age(first):
    found = rows(
        partition(first.home, WEEK.week_of) / "similar_deal_benchmark.parquet",
        "basis, match, similar_count, deal_age_days, emails_sent, meetings_sent, calls_made, activities, time_spent_by_team_hours, "
        "response_time_by_them_hours, response_rate_by_them, response_rate_by_us, sent_received_ratio_by_us",
        "opportunity_id = 'open'",
    )
    assert found == [
        ("same_age", "fallback", 2, 20.0, 0.5, 0.0, 0.5, 2.0, 0.44, 4.0, 1.0, 0.0, 1.0),
        ("whole_life", "fallback", 2, 20.0, 1.0, 0.5, 0.5, 3.5, 1.0, 3.0, 1.0, 0.0, 1.0),
    ]


def test_s2_attributes_of_a_fallback_week(first):
    found = rows(partition(first.home, WEEK.week_of) / "similar_deal_attribute.parquet", "* EXCLUDE (kind, attribute)")
    assert found == [(WEEK.week_of, "fallback", None, None, None, None, 2, 1)] * 8


def test_s9_a_week_carries_its_checksums(first):
    folder = partition(first.home, WEEK.week_of)
    sums = json.loads((folder / "checksums.json").read_text())["sha256"]
    assert sums == {f"{t}.parquet": hashlib.sha256((folder / f"{t}.parquet").read_bytes()).hexdigest() for t in TABLES}
    assert history.damaged_weeks(first.home) == []


def test_nothing_newer_than_the_week_is_used(first, tmp_path):
    other = Warehouse(tmp_path, small_world())
    other.fill(utc(2026, 7, 6))
    for table in TABLES:
        name = f"{table}.parquet"
        assert (partition(tmp_path, WEEK.week_of) / name).read_bytes() == (
            partition(first.home, WEEK.week_of) / name
        ).read_bytes()


def test_s9_later_runs_fill_weeks_and_leave_written_ones(first, tmp_path):
    before = {f.name: f.read_bytes() for f in partition(first.home, WEEK.week_of).iterdir()}
    assert first.fill(utc(2026, 7, 12, 23, 59)) == Filled([])
    assert first.fill(utc(2026, 7, 13)) == Filled([date(2026, 7, 13)])
    assert {f.name: f.read_bytes() for f in partition(first.home, WEEK.week_of).iterdir()} == before
    opened = {
        week: {row[0] for row in rows(partition(first.home, week) / "similar_won_deal.parquet", "opportunity_id")}
        for week in history.weeks(first.home)
    }
    assert opened == {date(2026, 7, 6): {"open", "closed-on-w"}, date(2026, 7, 13): {"open", "created-on-w"}}
    candidate = tmp_path / "candidate.duckdb"
    marts = ["run", "--select", *TABLES]
    build.dbt(marts, candidate, first.settings, build.dbt_vars(first.settings, as_of="2026-07-13T00:00:00Z", history_days=6))
    with duckdb.connect(str(candidate)) as con:
        weeks = con.sql("SELECT DISTINCT week_of FROM main.similar_won_deal ORDER BY ALL").fetchall()
    assert weeks == [(date(2026, 7, 13),)], "12 July less 6 days is 6 July, which is over"


def test_s9_a_week_waits_for_its_rounds(tmp_path):
    def never(args: list[str], variables: dict) -> None:
        raise AssertionError("nothing is built for a week that waits")

    marks = [{"source": "graph", "stream": "users", "last_complete_round_started_at": utc(2026, 7, 5), "parked_reason": None}]
    settings = Settings(home=tmp_path, replayed_tenant=False, _env_file=None)
    found = fill_weeks(tmp_path, settings, utc(2026, 7, 8), tmp_path / "scratch.duckdb", never, marks)
    assert found == Filled([], ["graph users"])
    assert "graph users" in found.summary()


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ("UPDATE intermediate.int_similar_week_won_deal SET similar_opportunity_id = opportunity_id", "never similar to itself"),
        ("UPDATE intermediate.int_similar_week_won_deal SET rank = rank + 1", "without gaps"),
        ("UPDATE intermediate.int_similar_week_won_deal SET distance = 0.1", "only a nearest deal has a distance"),
        ("UPDATE intermediate.int_similar_week_won_deal SET week_of = week_of - 7", "belong to the week"),
        ("UPDATE intermediate.int_similar_week_won_deal SET activities = NULL", "needed values"),
        ("UPDATE intermediate.int_similar_week_deal_benchmark SET response_rate_by_us = 1.1", "rates lie"),
        ("DELETE FROM intermediate.int_similar_week_deal_benchmark WHERE basis = 'same_age'", "both bases"),
        (
            "INSERT INTO intermediate.int_similar_week_deal_attribute SELECT * FROM intermediate.int_similar_week_deal_attribute",
            "key is unique",
        ),
        ("UPDATE intermediate.int_similar_week_deal_attribute SET importance = 2", "importance"),
    ],
)
def test_s9_a_wrong_week_is_not_written(first, tmp_path, damage, text):
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA intermediate")
        for table in TABLES:
            target = table.replace("similar_", "intermediate.int_similar_week_", 1)
            con.execute(f"CREATE TABLE {target} AS FROM '{partition(first.home, WEEK.week_of) / table}.parquet'")
        check_week(con, _relations(first.settings), WEEK.week_of)
        con.execute(damage)
        with pytest.raises(SimilarError, match=text):
            check_week(con, _relations(first.settings), WEEK.week_of)


def test_g14_thresholds_are_vars_of_the_project_and_overridden_by_settings(tmp_path):
    assert Rules.of(Settings(home=tmp_path, _env_file=None)) == Rules()
    assert Rules.of(Settings(home=tmp_path, dbt_vars={"similar_top": 3}, _env_file=None)) == Rules(similar_top=3)
    with pytest.raises(SimilarError, match="similar_top"):
        Rules.of(Settings(home=tmp_path, dbt_vars={"similar_top": 0}, _env_file=None))


def test_s3_extra_attributes_with_no_deals_at_all(tmp_path):
    extra = ({"name": "new_region", "kind": "category"}, {"name": "new_seats", "kind": "number"})
    empty = Warehouse(tmp_path, World(), extra)
    compute_week(WEEK, empty.settings, empty.path, empty.dbt)
    with duckdb.connect(str(empty.path)) as con:
        assert con.sql("SELECT count(*) FROM intermediate.int_similar_week_won_deal").fetchone() == (0,)
        names = {name for (name,) in con.sql("SELECT attribute FROM intermediate.int_similar_week_deal_attribute").fetchall()}
        assert len(names) == 10
        assert {"new_region", "new_seats"} < names
        assert {"new_region", "new_seats"} < set(con.sql("FROM intermediate.int_similar_attribute").columns)
