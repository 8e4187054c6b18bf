"""Tables that tell about a version: `publication`, `run_stage` and `quality_result`; outside the content hash."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs import runs
from jobs.publish.catalogue import Column, Mart
from jobs.publish.context import RunContext
from jobs.publish.versions import Version

_ARROW = {
    "VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "DATE": pa.date32(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
}  # fmt: skip


def _table(name: str, key: tuple[str, ...], description: str, *columns: tuple[str, str, bool, str]) -> Mart:
    return Mart(name, key, tuple(Column(*c) for c in columns), description)


T, I, F, TS, D = "VARCHAR", "BIGINT", "DOUBLE", "TIMESTAMP WITH TIME ZONE", "DATE"  # noqa: E741

PUBLICATION = _table(
    "publication",
    ("version",),
    "One row a version: those that were kept when this one was loaded, and this one. Outside the content hash.",
    ("version", T, False, "Name of the version: as-of and the start of its content hash."),
    ("as_of", TS, False, "Instant that the version was computed for."),
    ("as_of_date", D, False, "Reporting day that holds the last instant before as-of."),
    ("published_at", TS, False, "Start of the version's load."),
    ("run_id", T, False, "Run that built it."),
    ("contract_version", T, False, "Version of the contract, major.minor."),
    ("content_hash", T, False, "SHA-256 over the sorted hashes of the marts' Parquet files."),
    ("tier", T, False, "basic (Dataverse alone) or enhanced (with Exchange)."),
    ("completeness", T, False, "complete, or partial when streams were parked."),
    ("parked_streams", T, False, "JSON list of the parked streams with their reasons; [] when there are none."),
    ("history_start", D, True, "Day before which mail was not loaded; null when mail was loaded whole."),
    ("reporting_timezone", T, False, "IANA zone of reporting days."),
    ("row_counts", T, False, "JSON object: mart to number of rows."),
    ("source_watermarks", T, False, "JSON object: source and kind of stream to the earliest start of a last complete round."),
    ("checks_passed_count", I, False, "Checks of the gate that passed."),
    ("checks_warned_count", I, False, "Checks that failed and only warn."),
    ("checks_held_count", I, False, "Checks that held the version back until it was released."),
)
RUN_STAGE = _table(
    "run_stage",
    ("run_id", "position"),
    "One row a stage of the run that built this version. Outside the content hash.",
    ("run_id", T, False, "Run that built the version."),
    ("position", I, False, "Order of the stage in the run, from 1."),
    ("stage", T, False, "Name of the stage."),
    ("duration_seconds", F, True, "How long the stage took."),
    ("row_count", I, True, "Rows that the stage gave, where it counts them."),
    ("details", T, False, "JSON object of whatever else the stage reported."),
)
QUALITY_RESULT = _table(
    "quality_result",
    ("run_id", "table_name", "check_name"),
    "One row a check of the gate that let this version pass. Outside the content hash.",
    ("run_id", T, False, "Run whose candidate was checked."),
    ("table_name", T, False, "Table that was checked; the suite's name for checks over several."),
    ("check_name", T, False, "Name of the check, unique within the table."),
    ("severity", T, False, "critical, hold or warn."),
    ("status", T, False, "passed or failed."),
    ("unexpected_count", I, False, "Rows or facts that break the rule."),
    ("rule", T, False, "Rule of the specification that the check guards."),
    ("reason", T, False, "Why the rule must hold."),
    ("remedy", T, False, "What to do when it does not."),
    ("observed", T, True, "What was found, in words, when the check failed."),
)
RECORDS = (PUBLICATION, RUN_STAGE, QUALITY_RESULT)


def publication_row(manifest: dict[str, Any]) -> dict[str, Any]:
    """The `publication` row of the version that a manifest describes."""
    marks = {f"{m['source']}/{m['stream']}": m["last_complete_round_started_at"] for m in manifest["watermarks"]}
    return {
        "version": manifest["version"],
        "as_of": runs.parse_instant(manifest["as_of"]),
        "as_of_date": datetime.fromisoformat(manifest["as_of_date"]).date(),
        "published_at": datetime.fromisoformat(manifest["published_at"]),
        "run_id": manifest["run_id"],
        "contract_version": manifest["contract_version"],
        "content_hash": manifest["content_hash"],
        "tier": manifest["tier"],
        "completeness": manifest["completeness"],
        "parked_streams": json.dumps(manifest["parked"]),
        "history_start": datetime.fromisoformat(manifest["history_start"]).date() if manifest["history_start"] else None,
        "reporting_timezone": manifest["reporting_timezone"],
        "row_counts": json.dumps({name: m["rows"] for name, m in manifest["marts"].items()}),
        "source_watermarks": json.dumps(marks),
        "checks_passed_count": manifest["checks"]["passed"],
        "checks_warned_count": manifest["checks"]["warn"],
        "checks_held_count": manifest["checks"]["hold"],
    }


def publication_rows(kept: list[Version], manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a kept version and one of the version that is being built."""
    rows = [publication_row(v.manifest) for v in kept if v.name != manifest["version"]]
    return sorted([*rows, publication_row(manifest)], key=lambda row: row["version"])


def stage_rows(context: RunContext) -> list[dict[str, Any]]:
    """One row a stage of the run."""
    return [
        {
            "run_id": context.run_id,
            "position": position,
            "stage": stage["stage"],
            "duration_seconds": stage.get("seconds"),
            "row_count": stage.get("rows"),
            "details": json.dumps({k: v for k, v in stage.items() if k not in ("stage", "seconds", "rows")}, default=str),
        }
        for position, stage in enumerate(context.stages, 1)
    ]


def write(table: Mart, rows: list[dict[str, Any]], target: Path) -> None:
    """Write one of these tables as Parquet, in key order."""
    schema = pa.schema([pa.field(c.name, _ARROW[c.data_type], c.nullable) for c in table.columns])
    ordered = sorted(rows, key=lambda row: tuple(row[k] for k in table.key))
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(ordered, schema=schema), target, compression="zstd")
