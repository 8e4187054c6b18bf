"""The dbt step: a candidate warehouse, built by dbt in this process."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.errors import RapportError
from jobs.locks import held
from jobs.settings import Settings


class BuildError(RapportError):
    """A model did not build; names the model and the first line of its error."""


def candidate_path(home: Path, run_id: str) -> Path:
    """Where the run's own warehouse lies, `warehouse/candidates/<run>.duckdb`."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in run_id)
    return home / "warehouse" / "candidates" / f"{safe}.duckdb"


def new_candidate(home: Path, run_id: str, *, from_base: bool) -> Path:
    """A fresh candidate for `run_id`: empty, or a copy of the last published build.

    A candidate that an interrupted run left under the same name is replaced.
    """
    path = candidate_path(home, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    drop_candidate(path)
    base = home / "warehouse" / "base.duckdb"
    if from_base:
        if not base.exists():
            raise BuildError(f"{base} is missing: run the DAG relationship_kpis once before this one")
        partial = path.with_suffix(".partial")
        shutil.copyfile(base, partial)
        os.replace(partial, path)
    return path


def base_version(home: Path) -> str | None:
    """The version whose build is `warehouse/base.duckdb`; None where there is none."""
    file = home / "warehouse" / "base.json"
    return json.loads(file.read_text())["version"] if file.exists() else None


def drop_candidate(path: Path) -> None:
    """Remove a candidate and its write-ahead log, if they exist."""
    for leftover in (path, Path(f"{path}.wal")):
        leftover.unlink(missing_ok=True)


def dbt_vars(settings: Settings, **run: Any) -> dict[str, Any]:
    """The vars of a dbt run: what analysts override, the settings that models need, then the run's own."""
    shared = {
        "reporting_timezone": settings.reporting_timezone,
        "history_days": settings.history_days,
        "similarity_attributes": settings.similarity_attributes,
        "lake": str(settings.lake.resolve()),
        "snapshot": str((settings.lake / "normalised" / "snapshot.json").resolve()),
    }
    return {**shared, **settings.dbt_vars, **run}


def dbt(args: Iterable[str], candidate: Path, settings: Settings, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Run one dbt command against `candidate`; returns name, status and seconds of every node.

    The project is parsed with the settings alone, so that the parse is kept from run to run: a new as-of would void it.
    dbt keeps its environment in the process, so runs of one home take turns. Raises `BuildError` with the first node
    that failed.
    """
    from dbt.cli.main import dbtRunner

    target = settings.home / "warehouse" / "dbt"
    where = [
        "--project-dir", str(settings.dbt_project_dir), "--profiles-dir", str(settings.dbt_project_dir),
        "--target", settings.dbt_target, "--target-path", str(target), "--threads", str(settings.threads),
    ]  # fmt: skip
    quiet = ["--log-level", "error", "--no-use-colors", "--log-path", str(target / "logs")]
    stable = {name: value for name, value in dbt_vars(settings).items() if name not in ("lake", "snapshot")}
    with held(target / "dbt.lock", f"building in {settings.home}", error=BuildError):
        os.environ["RAPPORT_CANDIDATE"] = str(candidate)
        os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
        parsed = dbtRunner().invoke([*quiet, "--no-write-json", "parse", *where, "--vars", json.dumps(stable)])
        outcome = (
            dbtRunner(manifest=parsed.result).invoke([*quiet, *args, *where, "--vars", json.dumps(variables)])
            if parsed.success
            else parsed
        )
    nodes = [
        {"name": r.node.name, "status": str(r.status), "seconds": round(r.execution_time, 3), "message": r.message or ""}
        for r in getattr(outcome.result, "results", None) or []
    ]
    if not outcome.success:
        bad = next((n for n in nodes if n["status"] in ("error", "fail", "runtime error")), None)
        text = f"dbt model {bad['name']}: {bad['message']}" if bad else f"dbt {next(iter(args))}: {outcome.exception}"
        raise BuildError(" ".join(text.split()))
    return nodes
