"""The weekly step: compute the weeks that are missing, check each, and write it as a partition of the history (S9)."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from jobs import runs
from jobs.publish import history
from jobs.publish.catalogue import Mart, read_catalogue
from jobs.publish.context import CONTRACT_VERSION
from jobs.settings import Settings
from jobs.similar.attributes import attributes_of
from jobs.similar.check import check_week
from jobs.similar.match import match_deals
from jobs.similar.rules import Rules
from jobs.similar.weeks import Week, behind, due_weeks

log = logging.getLogger("rapport")

Dbt = Callable[[list[str], dict[str, Any]], object]
"""Runs a dbt command on the scratch warehouse with vars that go before the run's own; raises when a model fails."""

MARTS = ("similar_won_deal", "similar_deal_benchmark", "similar_deal_attribute")
BUILD = ["build", "--exclude-resource-type", "unit_test", "test", "--full-refresh"]
DEALS = [*BUILD, "--select", "+tag:weekly", "--exclude", "tag:weekly_result"]
RESULTS = [*BUILD, "--select", "tag:weekly_result"]


@dataclass(frozen=True)
class Filled:
    """What a weekly run did: the weeks it wrote, and the streams that the next one waits for (`source stream`)."""

    written: list[date] = field(default_factory=list)
    waiting_for: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line for the log."""
        weeks = ", ".join(w.isoformat() for w in self.written) or "no new week"
        return f"{weeks}; the next week waits for {', '.join(self.waiting_for)}" if self.waiting_for else weeks


def fill_weeks(
    home: Path,
    settings: Settings,
    as_of: datetime,
    warehouse: Path,
    dbt: Dbt,
    watermarks: Iterable[Mapping[str, Any]] = (),
    step: Callable[[int, int | None, str], None] = lambda done, total, note: None,
) -> Filled:
    """Compute and write, oldest first, the weeks that are due at `as_of`; weeks once written stay as they are.

    `warehouse`: a scratch DuckDB file that `dbt` builds into, never one that is published, its name none of a schema. `watermarks`: what each stream has; a week
    waits until every stream that is not parked has a complete round that started at or after its Monday, unless a tenant is replayed.
    Raises `SimilarError` when a week fails its check; the weeks before it stay written.
    """
    watermarks = list(watermarks)
    due = due_weeks(history.weeks(home), as_of, settings.reporting_timezone, settings.history_days)
    written: list[date] = []
    for week in due:
        waiting = [] if settings.replayed_tenant else behind(week, watermarks)
        if waiting:
            return Filled(written, waiting)
        step(len(written), len(due), week.week_of.isoformat())
        compute_week(week, settings, warehouse, dbt)
        write_week(home, week, settings, warehouse)
        written.append(week.week_of)
    return Filled(written)


def compute_week(week: Week, settings: Settings, warehouse: Path, dbt: Dbt) -> None:
    """Compute a week at its own as-of into the tables `int_similar_week_*` of `warehouse`, and check it.

    dbt builds everything the week depends on as of its Monday, then the deals are matched, then dbt builds the figures.
    """
    as_of = {"as_of": runs.instant_text(week.as_of)}
    dbt(DEALS, as_of)
    attributes = attributes_of(settings.similarity_attributes)
    with duckdb.connect(str(warehouse), config={"threads": settings.threads}) as con:
        deals = con.sql("SELECT * FROM intermediate.int_similar_attribute").pl()
        matches = match_deals(deals, attributes, week.week_of, Rules.of(settings), settings.threads)
        con.execute('CREATE SCHEMA IF NOT EXISTS "similar"')
        _store(con, '"similar".pair', matches.pairs)
        _store(con, '"similar".attribute', matches.attributes)
    dbt(RESULTS, as_of)
    with duckdb.connect(str(warehouse), read_only=True) as con:
        check_week(con, _relations(settings), week.week_of)
    log.info(
        "similar deals of %s: %s, %d open deals, %d pairs",
        week.week_of,
        matches.mode,
        (deals["state"] == "open").sum(),
        matches.pairs.height,
    )


def write_week(home: Path, week: Week, settings: Settings, warehouse: Path) -> Path:
    """Write the computed week of `warehouse` to `lake/history/similar/week_of=<Monday>`, whole or not at all."""
    with duckdb.connect(str(warehouse), read_only=True, config={"threads": settings.threads}) as con:
        con.execute("SET TimeZone = 'UTC'")
        return history.write_week(con, home, _relations(settings), week.week_of, CONTRACT_VERSION)


def _relations(settings: Settings) -> dict[Mart, str]:
    """The weekly marts and the tables of the scratch warehouse that hold one week of each."""
    catalogue = read_catalogue(settings.dbt_project_dir / "models" / "marts" / "similar")
    return {catalogue[name]: f"intermediate.{name.replace('similar_', 'int_similar_week_', 1)}" for name in MARTS}


def _store(con: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    con.register("frame", frame.to_arrow())
    con.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM frame")
    con.unregister("frame")
