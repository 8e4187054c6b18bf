"""A version's folder while it is built: Parquet files, the tables about it, DuckDB files, its manifest, its name."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from jobs import runs
from jobs.errors import RapportError
from jobs.publish import files, history, records
from jobs.publish.catalogue import Mart, quote
from jobs.publish.context import RunContext
from jobs.publish.verdict import GateResult
from jobs.publish.versions import MANIFEST, Published, Version
from jobs.publish.writer import write_database, write_mart
from jobs.settings import Settings

FROM_CONTEXT = (
    "as_of_date", "run_id", "contract_version", "tier", "completeness", "parked", "history_start", "reporting_timezone",
    "snapshot_id", "opt_out",
)  # fmt: skip


class BuildingError(RapportError):
    """The version's name is taken by a folder with other content; says which."""


def relation(mart: Mart) -> str:
    """Where the attached candidate holds a mart."""
    return f"candidate.{mart.schema}.{quote(mart.name)}"


def write_parquet(con: duckdb.DuckDBPyConnection, home: Path, mart: Mart, context: RunContext, building: Path) -> dict[str, Any]:
    """Write a mart's Parquet files below `building`; returns its entry of the manifest."""
    top = building / ("restricted" if mart.restricted else "parquet")
    written: dict[Path, int] = {}
    if mart.partition is None:
        target = top / f"{mart.name}.parquet"
        written[target] = write_mart(con, mart, relation(mart), target)
    else:
        column = quote(mart.partition)
        values = con.execute(f"SELECT {column}, count(*) FROM {relation(mart)} GROUP BY 1 ORDER BY 1").fetchall()
        for value, count in values:
            target = top / mart.name / f"{value.isoformat()}.parquet"
            history.published_partition(con, home, mart, value, count, target)
            written[target] = count
        if not values:
            target = top / mart.name / "empty.parquet"
            written[target] = write_mart(con, mart, relation(mart), target)
    return describe(mart, building, written)


def describe(table: Mart, root: Path, written: dict[Path, int]) -> dict[str, Any]:
    """What the manifest says about a table and its files (path to rows)."""
    return {
        "rows": sum(written.values()),
        "key": list(table.key),
        "restricted": table.restricted,
        "partition": table.partition,
        "description": table.description,
        "columns": [
            {"name": c.name, "type": c.data_type, "nullable": c.nullable, "description": c.description} for c in table.columns
        ],
        "files": {
            str(path.relative_to(root)): {"sha256": files.sha256(path), "bytes": path.stat().st_size, "rows": count}
            for path, count in written.items()
        },
    }


def seal(
    store: Published,
    building: Path,
    entries: dict[str, dict[str, Any]],
    digest: str,
    marts: dict[str, Mart],
    context: RunContext,
    verdict: GateResult,
    settings: Settings,
    steps: Callable[[str], None],
    at: datetime,
) -> Version:
    """Complete the folder of a new version and give it its name."""
    name = f"{context.as_of.strftime('%Y%m%dT%H%M%SZ')}-{digest[:8]}"
    stored = context.to_json()
    manifest: dict[str, Any] = {
        "version": name,
        "as_of": runs.instant_text(context.as_of),
        "published_at": at.isoformat(),
        "content_hash": digest,
        **{k: stored[k] for k in FROM_CONTEXT},
        "watermarks": context.source_watermarks(),
        "checks": {"passed": verdict.passed, "warn": verdict.count("warn"), "hold": verdict.count("hold")},
        "marts": entries,
        "records": {},
        "containers": {},
    }
    steps("write records")
    contents = {
        "publication": records.publication_rows([] if context.is_erasure else store.versions(), manifest),
        "run_stage": records.stage_rows(context),
        "quality_result": verdict.rows(),
    }
    for table in records.RECORDS:
        target = building / "parquet" / f"{table.name}.parquet"
        records.write(table, contents[table.name], target)
        manifest["records"][table.name] = describe(table, building, {target: len(contents[table.name])})
    steps("write DuckDB files")
    restricted = [m for m in marts.values() if m.restricted]
    plain = [m for m in marts.values() if not m.restricted]
    filled = [(m, [building / f for f in entries[m.name]["files"]]) for m in plain]
    filled += [(t, [building / f for f in manifest["records"][t.name]["files"]]) for t in records.RECORDS]
    _container(building, "marts.duckdb", filled, manifest, settings)
    if restricted:
        filled = [(m, [building / f for f in entries[m.name]["files"]]) for m in restricted]
        _container(building, "restricted.duckdb", filled, manifest, settings)
        (building / "restricted").chmod(0o700)
        (building / "restricted.duckdb").chmod(0o600)
    steps("write manifest")
    files.write_json(building / MANIFEST, manifest)
    files.seal_tree(building)
    files.sync_tree(building)
    steps("name version")
    target = store.versions_folder / name
    if target.exists():
        raise BuildingError(f"{target} exists with other content: remove it if no manifest lists it, and run again")
    files.move(building, target)
    return Version(target, manifest)


def _container(
    building: Path, name: str, filled: list[tuple[Mart, list[Path]]], manifest: dict[str, Any], settings: Settings
) -> None:
    target = building / name
    write_database(target, filled, settings.threads)
    manifest["containers"][name] = {"sha256": files.sha256(target), "bytes": target.stat().st_size}
