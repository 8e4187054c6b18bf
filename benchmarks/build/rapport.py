"""The stage itself, as the DAG calls it, and the publication's part in it: what was built becomes the next run's base."""

import json
import shutil
from pathlib import Path
from typing import Any

import dbt.adapters.duckdb
import dbt.cli.main  # noqa: F401
import duckdb

from benchmarks.build.duckdb_script import MARTS
from jobs import build, runs, tasks
from jobs.settings import Settings


def marts(as_of: str, run_id: str) -> dict[str, Any]:
    """Build every mart at `as_of` in the home that the environment names; gives the candidate and row counts."""
    return _built(tasks.build_marts(_run(as_of, run_id))["candidate"])


def core_marts(as_of: str, run_id: str) -> dict[str, Any]:
    """Build only the marts that the hand-written script builds, with what they need."""
    settings, run = Settings(), _run(as_of, run_id)
    candidate = build.new_candidate(settings.home, run_id, from_base=False)
    variables = build.dbt_vars(settings, as_of=as_of, tier=run["tier"], history_start=None)
    build.dbt(["run", "--select", *(f"+{name}" for name in MARTS)], candidate, settings, variables)
    return _built(str(candidate))


def become_base(candidate: str, as_of: str) -> None:
    """Move a candidate to where a publication leaves it for the next run."""
    settings = Settings()
    warehouse = settings.home / "warehouse"
    shutil.move(candidate, warehouse / "base.duckdb")
    stored = {"version": "benchmark", "snapshot_id": _snapshot(settings)["snapshot_id"], "run_id": "benchmark", "as_of": as_of}
    (warehouse / "base.json").write_text(json.dumps(stored))


def _snapshot(settings: Settings) -> dict[str, Any]:
    return json.loads((settings.lake / "normalised" / "snapshot.json").read_text())


def _run(as_of: str, run_id: str) -> dict[str, Any]:
    settings = Settings()
    snapshot = _snapshot(settings)
    as_of_date = runs.as_of_date(runs.parse_instant(as_of), settings.reporting_timezone)
    return {
        "run_id": run_id, "as_of": as_of, "as_of_date": as_of_date.isoformat(), "is_backfill": False, "stages": [],
        "snapshot_id": snapshot["snapshot_id"], "tier": snapshot["tier"], "history_start": snapshot["history_start"],
    }  # fmt: skip


def _built(candidate: str) -> dict[str, Any]:
    with duckdb.connect(candidate, read_only=True) as con:
        counts = {name: con.execute(f"SELECT count(*) FROM main.{name}").fetchone()[0] for name in MARTS}
    return {"candidate": candidate, "rows": counts, "bytes": Path(candidate).stat().st_size}
