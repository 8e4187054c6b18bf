"""What a warehouse was built from, kept inside it, and whether a run may bring it up to date instead of building from nothing."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from jobs import build, runs
from jobs.settings import Settings

OF_THE_RUN = ("as_of", "lake", "snapshot")
"""dbt vars that say what a run computes for, not how."""


@dataclass(frozen=True)
class Origin:
    """What a warehouse was built from.

    `snapshot_id`: of the normalised lake. `as_of`: the instant computed for, in the spelling of run records. `rules`: changes with the
    dbt project, its vars, dbt and DuckDB. `updates`: how often it was brought up to date since it was built from nothing.
    """

    snapshot_id: str
    as_of: str
    rules: str
    updates: int


def rules_of(settings: Settings, variables: dict[str, Any]) -> str:
    """The `rules` of an Origin, for the dbt vars of a run."""
    project = settings.dbt_project_dir
    digest = hashlib.sha256(json.dumps({k: v for k, v in variables.items() if k not in OF_THE_RUN}, sort_keys=True).encode())
    for package in ("duckdb", "dbt-core", "dbt-duckdb"):
        digest.update(version(package).encode())
    for file in sorted(
        [project / "dbt_project.yml", *(f for d in ("models", "macros", "seeds") for f in (project / d).rglob("*.*"))]
    ):
        digest.update(file.relative_to(project).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def read(warehouse: Path) -> Origin | None:
    """What `warehouse` says it was built from; None where it is missing or says nothing."""
    if not warehouse.exists():
        return None
    with duckdb.connect(str(warehouse), read_only=True) as con:
        if not con.execute("SELECT 1 FROM duckdb_tables() WHERE schema_name = 'previous' AND table_name = 'origin'").fetchall():
            return None
        row = con.execute("SELECT snapshot_id, as_of, rules, updates FROM previous.origin").fetchone()
    return Origin(*row) if row else None


def write(warehouse: Path, origin: Origin) -> None:
    """Let `warehouse` say what it was built from."""
    with duckdb.connect(str(warehouse)) as con:
        con.execute("CREATE SCHEMA IF NOT EXISTS previous")
        con.execute(
            "CREATE OR REPLACE TABLE previous.origin AS "
            "SELECT $1::VARCHAR AS snapshot_id, $2::VARCHAR AS as_of, $3::VARCHAR AS rules, $4::BIGINT AS updates",
            [origin.snapshot_id, origin.as_of, origin.rules, origin.updates],
        )


def updatable(home: Path, as_of: str, rules: str, manifest: dict[str, Any], most_updates: int) -> Origin | None:
    """The origin of the last published build when a run at `as_of` may bring a copy of it up to date, else None.

    It may not after a change of rules, for an earlier as-of, when the snapshot `manifest` does not tell what changed since, or after
    `most_updates` updates, because what updates delete leaves holes in the file.
    """
    base = read(home / "warehouse" / "base.duckdb")
    if base is None or base.rules != rules or base.updates >= most_updates:
        return None
    if runs.parse_instant(base.as_of) > runs.parse_instant(as_of):
        return None
    told = {manifest["snapshot_id"], *(step["since"] for step in manifest.get("changes", []))}
    return base if base.snapshot_id in told else None


def build_candidate(settings: Settings, run_id: str, variables: dict[str, Any]) -> tuple[Path, int, bool]:
    """Build the run's candidate with dbt, out of the last published build where that is possible.

    `variables`: of the run, `as_of` among them. Returns its path, the number of nodes built, and whether it was an update.
    """
    manifest = json.loads((settings.lake / "normalised" / "snapshot.json").read_text())
    rules = rules_of(settings, variables)
    base = updatable(settings.home, variables["as_of"], rules, manifest, settings.most_updates)
    candidate = build.new_candidate(settings.home, run_id, from_base=base is not None)
    known = {"base_snapshot": base.snapshot_id, "base_as_of": base.as_of} if base else {}
    nodes = build.dbt(["build", "--exclude-resource-type", "unit_test", "test"], candidate, settings, {**variables, **known})
    write(candidate, Origin(manifest["snapshot_id"], variables["as_of"], rules, base.updates + 1 if base else 0))
    return candidate, len(nodes), base is not None
