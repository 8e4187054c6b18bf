"""The stage itself, as the DAG calls it."""

import json
from pathlib import Path
from typing import Any

import great_expectations  # noqa: F401  (loaded before the clock starts)

from jobs import runs
from jobs.publish.context import RunContext
from jobs.quality.gate import gate
from jobs.settings import Settings


def check(candidate: str, as_of: str) -> dict[str, Any]:
    """Run the gate in the home that the environment names; gives the verdict."""
    settings = Settings()
    snapshot = json.loads((settings.lake / "normalised" / "snapshot.json").read_text())
    instant = runs.parse_instant(as_of)
    context = RunContext(
        run_id="gate", as_of=instant, as_of_date=runs.as_of_date(instant, settings.reporting_timezone), tier=snapshot["tier"],
        snapshot_id=snapshot["snapshot_id"], replayed=True,
    )  # fmt: skip
    result = gate(Path(candidate), settings.home, context, settings)
    return {"summary": result.summary(), "failures": [f"{c.severity} {c.table}: {c.name}" for c in result.failures]}
