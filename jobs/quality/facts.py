"""Facts that checks ask for by SQL: about the run, the published version, the sources and the history.

Each is a small table of the gate's own database, so that a check over them is data like any other:

- `run`: one row; as-of, tier, thresholds, what the run is and what is published
- `known_record`: `record_type`, `record_id` of every record of the source
- `row_count`: mart, rows now and in the published version
- `may_be_empty`: marts that may lose all their rows
- `lost_partition`: days and weeks of the published version that the candidate lacks though they are to be kept
- `no_number`: mart, column, rows in which it is NaN or infinite
- `kpi_total`: mart, column, the column's sum now and in the published version
- `column_change`: mart, column and what happened to it since the published version
- `watermark`: source, stream, start of its last complete round, whether it is parked
- `conservation`: kind of stream, its rows as received, how many are accounted for, how many quarantined, and in how many streams
  received and accounted differ
- `history_damage`: weekly partitions that are not what was written
"""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import yaml

from jobs import runs
from jobs.extract.files import log_files
from jobs.publish import history
from jobs.publish.catalogue import Mart, literal, quote
from jobs.publish.context import RunContext
from jobs.publish.diff import column_changes
from jobs.publish.verdict import GateError
from jobs.publish.versions import Published, Version
from jobs.publish.writer import paths
from jobs.settings import Settings

TOTALS = (
    "emails_sent", "emails_received", "meetings_sent", "meetings_received", "calls_made", "calls_received",
    "time_spent_by_team_minutes", "time_spent_by_customer_minutes",
)  # fmt: skip


def gather(con: duckdb.DuckDBPyConnection, home: Path, marts: dict[str, Mart], context: RunContext, settings: Settings) -> None:
    """Create every fact table in `con`, in which the candidate is attached as `candidate`."""
    store = Published(home)
    published = store.current()
    _run(con, context, settings, published, store.published_count())
    _known_records(con)
    _row_counts(con, marts, published)
    _may_be_empty(con, settings)
    _lost_partitions(con, marts, context, settings, published)
    _no_numbers(con, marts)
    _totals(con, marts, published)
    _column_changes(con, marts, published)
    _watermarks(con, context)
    _conservation(con, settings)
    damage = history.damaged_weeks(home)
    _table(con, "history_damage", "damage VARCHAR", [(text,) for text in damage])


def _table(con: duckdb.DuckDBPyConnection, name: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    con.execute(f"CREATE TABLE {name} ({columns})")
    if rows:
        con.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _run(
    con: duckdb.DuckDBPyConnection, context: RunContext, settings: Settings, published: Version | None, published_count: int
) -> None:
    tuned = analyst_vars(settings)
    facts: dict[str, tuple[str, Any]] = {
        "run_id": ("VARCHAR", context.run_id),
        "as_of": ("TIMESTAMPTZ", context.as_of),
        "as_of_date": ("DATE", context.as_of_date),
        "tier": ("VARCHAR", context.tier),
        "is_backfill": ("BOOLEAN", context.is_backfill),
        "is_replayed": ("BOOLEAN", context.replayed),
        "is_never_held": ("BOOLEAN", context.never_held),
        "published_version": ("VARCHAR", published.name if published else None),
        "published_count": ("BIGINT", published_count),
        "published_at": ("TIMESTAMPTZ", datetime.fromisoformat(published.manifest["published_at"]) if published else None),
        "contract_version": ("VARCHAR", context.contract_version),
        "published_contract_version": ("VARCHAR", published.manifest["contract_version"] if published else None),
        "max_source_age_hours": ("DOUBLE", settings.max_source_age_hours),
        "max_drop_rate": ("DOUBLE", settings.max_drop_rate),
        "max_drop_rows": ("BIGINT", settings.max_drop_rows),
        "drop_check_after_versions": ("BIGINT", settings.drop_check_after_versions),
        "max_kpi_jump_rate": ("DOUBLE", settings.max_kpi_jump_rate),
        "max_quarantine_rate": ("DOUBLE", settings.max_quarantine_rate),
        "max_unresolved_rate": ("DOUBLE", settings.max_unresolved_rate),
        "health_good_min": ("DOUBLE", tuned.get("health_good_min", 60)),
        "health_fair_min": ("DOUBLE", tuned.get("health_fair_min", 40)),
    }
    _table(con, "run", ", ".join(f"{n} {t}" for n, (t, _) in facts.items()), [tuple(v for _, v in facts.values())])


def analyst_vars(settings: Settings) -> dict[str, Any]:
    """The dbt vars of the project with the overrides of the settings."""
    file = settings.dbt_project_dir / "dbt_project.yml"
    project = yaml.safe_load(file.read_text()) if file.exists() else {}
    own = project.get("vars") or {}
    return {**own, **(own.get(project.get("name")) or {}), **settings.dbt_vars}


def _known_records(con: duckdb.DuckDBPyConnection) -> None:
    parts = " UNION ALL ".join(
        f"SELECT '{name}' AS record_type, {name}id AS record_id FROM lake.crm_{name}"
        for name in ("account", "contact", "lead", "opportunity")
    )
    con.execute(f"CREATE TABLE known_record AS {parts}")


def _row_counts(con: duckdb.DuckDBPyConnection, marts: dict[str, Mart], published: Version | None) -> None:
    before = {name: entry["rows"] for name, entry in published.manifest["marts"].items()} if published else {}
    rows = [
        (name, con.execute(f"SELECT count(*) FROM candidate.{m.schema}.{quote(name)}").fetchone()[0], before.get(name))
        for name, m in marts.items()
    ]
    _table(con, "row_count", "mart VARCHAR, candidate_rows BIGINT, published_rows BIGINT", rows)


def _may_be_empty(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    names = [*settings.may_be_empty, *([] if settings.collect_subjects else ["activity_subject"])]
    _table(con, "may_be_empty", "mart VARCHAR", [(name,) for name in names])


def _lost_partitions(
    con: duckdb.DuckDBPyConnection, marts: dict[str, Mart], context: RunContext, settings: Settings, published: Version | None
) -> None:
    oldest = context.as_of_date - timedelta(days=settings.history_days)
    rows = []
    for mart in marts.values() if published else ():
        if mart.partition and mart.name in published.marts:
            held = con.execute(
                f"SELECT DISTINCT {quote(mart.partition)} FROM candidate.{mart.schema}.{quote(mart.name)}"
            ).fetchall()
            there = {date.fromisoformat(f.stem) for f in published.mart_files(mart.name) if f.stem != "empty"}
            lost = there - {value for (value,) in held}
            rows += [(mart.name, value) for value in sorted(lost) if oldest < value <= context.as_of_date]
    _table(con, "lost_partition", "mart VARCHAR, partition_value DATE", rows)


def _no_numbers(con: duckdb.DuckDBPyConnection, marts: dict[str, Mart]) -> None:
    rows = []
    for name, mart in marts.items():
        columns = [c.name for c in mart.columns if c.data_type == "DOUBLE"]
        if columns:
            counts = ", ".join(f"count(*) FILTER (WHERE NOT isfinite({quote(c)}))" for c in columns)
            found = con.execute(f"SELECT {counts} FROM {mart.schema}.{quote(name)}").fetchone()
            rows += [(name, column, count) for column, count in zip(columns, found, strict=True) if count]
    _table(con, "no_number", "mart VARCHAR, column_name VARCHAR, row_count BIGINT", rows)


def _totals(con: duckdb.DuckDBPyConnection, marts: dict[str, Mart], published: Version | None) -> None:
    rows = []
    for name, mart in marts.items():
        columns = [c.name for c in mart.columns if c.name in TOTALS]
        if not columns or mart.partition:
            continue
        sums = ", ".join(f"sum({quote(c)})::double" for c in columns)
        now = con.execute(f"SELECT {sums} FROM main.{quote(name)}").fetchone()
        then = _published_totals(con, published, name, columns)
        rows += [(name, c, n, t) for c, n, t in zip(columns, now, then, strict=True)]
    _table(con, "kpi_total", "mart VARCHAR, column_name VARCHAR, candidate_total DOUBLE, published_total DOUBLE", rows)


def _published_totals(
    con: duckdb.DuckDBPyConnection, published: Version | None, mart: str, columns: list[str]
) -> list[float | None]:
    if published is None or mart not in published.marts:
        return [None] * len(columns)
    there = {c.name for c in published.marts[mart].columns}
    sums = ", ".join(f"sum({quote(c)})::double" if c in there else "NULL" for c in columns)
    return list(con.execute(f"SELECT {sums} FROM read_parquet({paths(published.mart_files(mart))})").fetchone())


def _column_changes(con: duckdb.DuckDBPyConnection, marts: dict[str, Mart], published: Version | None) -> None:
    rows = [row for name, old in (published.marts if published else {}).items() for row in column_changes(old, marts.get(name))]
    _table(con, "column_change", "mart VARCHAR, column_name VARCHAR, change VARCHAR", rows)


def _watermarks(con: duckdb.DuckDBPyConnection, context: RunContext) -> None:
    rows = []
    for mark in context.watermarks:
        started = mark["last_complete_round_started_at"]
        started = runs.parse_instant(started) if isinstance(started, str) else started
        rows.append((mark["source"], mark["stream"], started, bool(mark.get("parked_reason"))))
    _table(
        con, "watermark", "source VARCHAR, stream VARCHAR, last_complete_round_started_at TIMESTAMPTZ, is_parked BOOLEAN", rows
    )


def _conservation(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    file = settings.lake / "normalised" / "snapshot.json"
    if not file.exists():
        raise GateError(f"{file} is missing: run relationship_kpis from its normalise stage")
    rows = []
    for stream, counts in (json.loads(file.read_text()).get("conservation") or {}).items():
        outcomes = {name: count for name, count in counts.items() if name not in ("received", "unbalanced_streams")}
        quarantined = sum(count for name, count in outcomes.items() if name.startswith("quarantined"))
        rows.append((stream, counts["received"], sum(outcomes.values()), quarantined, counts["unbalanced_streams"]))
    columns = "stream VARCHAR, received BIGINT, accounted BIGINT, quarantined BIGINT, unbalanced_streams BIGINT"
    _table(con, "conservation", columns, rows)


def raw_view(con: duckdb.DuckDBPyConnection, home: Path, published: Version | None) -> None:
    """`raw.page_row`: the rows of the raw log received since the published version was loaded."""
    con.execute("CREATE SCHEMA raw")
    found = log_files(home)
    since = f"received_at >= TIMESTAMPTZ {literal(published.manifest['published_at'])}" if published else "true"
    if found:
        con.execute(
            f"CREATE VIEW raw.page_row AS SELECT * FROM read_parquet({paths(found)}, union_by_name = true, hive_partitioning = false) WHERE {since}"
        )
    else:
        con.execute(
            'CREATE TABLE raw.page_row (source VARCHAR, stream VARCHAR, round BIGINT, round_kind VARCHAR, page INTEGER, "row" INTEGER, '
            "op VARCHAR, record_id VARCHAR, payload VARCHAR, link_next VARCHAR, link_kind VARCHAR, received_at TIMESTAMPTZ)"
        )
