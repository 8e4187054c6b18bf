"""Files of the normalised lake and the manifest that lists them together.

A file is named by the hash of its content, so that an unchanged partition is the same file; files that neither the current nor the
previous snapshot lists are removed.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import orjson
import polars as pl

MANIFEST = "snapshot.json"
BY_MONTH = ("activity", "activity_participant", "activity_party", "activity_thread", "activity_subject")


def read(root: Path) -> dict[str, Any] | None:
    """The current manifest, None before the first."""
    file = root / MANIFEST
    return orjson.loads(file.read_bytes()) if file.exists() else None


def write(root: Path, tables: dict[str, pl.DataFrame], months: pl.DataFrame, facts: dict[str, Any]) -> dict[str, Any]:
    """Write what changed of `tables` under `root`, then the manifest; returns the manifest.

    `months`: activity_id, month. `facts` go into the manifest as they are.
    """
    root.mkdir(parents=True, exist_ok=True)
    before = read(root)
    files = {name: _write_table(root, name, frame, months) for name, frame in tables.items()}
    content = {"tables": files, **facts}
    snapshot_id = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    if before is not None and before["snapshot_id"] == snapshot_id:
        return before
    changed = _changed_ids(root, before, files)
    changed_file = f"changed/{snapshot_id}.parquet"
    _write_file(root / changed_file, _bytes(changed))
    manifest = {
        "snapshot_id": snapshot_id,
        "previous_id": before["snapshot_id"] if before else None,
        **content,
        "row_counts": {name: frame.height for name, frame in tables.items()},
        "changed": {"activity_ids_file": changed_file, "full": before is None},
    }
    _write_file(root / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    _remove_unlisted(root, [manifest, before])
    return manifest


def _write_table(root: Path, name: str, frame: pl.DataFrame, months: pl.DataFrame) -> list[str]:
    if name not in BY_MONTH or frame.is_empty():
        return [_write_content(root, name, frame)]
    placed = frame.join(months, on="activity_id", how="left", maintain_order="left")
    parts = placed.partition_by("month", as_dict=True, maintain_order=True, include_key=False)
    return [_write_content(root, f"{name}/month={month}", parts[month,]) for (month,) in sorted(parts)]


def _write_content(root: Path, folder: str, frame: pl.DataFrame) -> str:
    content = _bytes(frame)
    path = f"{folder}/{hashlib.sha256(content).hexdigest()[:24]}.parquet"
    if not (root / path).exists():
        _write_file(root / path, content)
    return path


def _bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer, compression="zstd", compression_level=3, statistics=True)
    return buffer.getvalue()


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _changed_ids(root: Path, before: dict[str, Any] | None, files: dict[str, list[str]]) -> pl.DataFrame:
    """Activities with a row that came, went or changed since the snapshot before; a later receive time alone is no change."""
    if before is None:
        return pl.DataFrame(schema={"activity_id": pl.String})
    changed = [pl.DataFrame(schema={"activity_id": pl.String})]
    for name in BY_MONTH:
        old, new = set(before["tables"].get(name, [])), set(files[name])
        left, right = _read(root, sorted(old - new)), _read(root, sorted(new - old))
        if left is None or right is None:
            changed += [side.select("activity_id") for side in (left, right) if side is not None]
            continue
        changed.append(left.join(right, on=left.columns, how="anti", nulls_equal=True).select("activity_id"))
        changed.append(right.join(left, on=left.columns, how="anti", nulls_equal=True).select("activity_id"))
    return pl.concat(changed).unique().sort("activity_id")


def _read(root: Path, paths: list[str]) -> pl.DataFrame | None:
    if not paths:
        return None
    frame = pl.read_parquet([root / path for path in paths], hive_partitioning=False).drop("ingested_at", strict=False)
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    return frame.with_columns(pl.col(lists).list.join("\n"))


def _remove_unlisted(root: Path, manifests: list[dict[str, Any] | None]) -> None:
    listed = {MANIFEST}
    for manifest in manifests:
        if manifest is not None:
            listed |= {path for paths in manifest["tables"].values() for path in paths}
            listed.add(manifest["changed"]["activity_ids_file"])
    for file in root.rglob("*.parquet"):
        if file.relative_to(root).as_posix() not in listed:
            file.unlink(missing_ok=True)
    for folder in sorted((path for path in root.rglob("month=*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
