"""The files of the raw log: their columns and format, where they lie, how they become durable, which of them count.

A stream's files are named by the first (round, page) they hold, so the last name holds the last page.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("stream", pa.string()),
        ("round", pa.int64()),
        ("round_kind", pa.string()),
        ("page", pa.int32()),
        ("row", pa.int32()),
        ("op", pa.string()),
        ("record_id", pa.string()),
        ("payload", pa.string()),
        ("link_next", pa.string()),
        ("link_kind", pa.string()),
        ("round_started_at", INSTANT),
        ("window_start", INSTANT),
        ("window_end", INSTANT),
        ("run_id", pa.string()),
        ("received_at", INSTANT),
    ]
)
"""One row a page (row 0) and one a record; `op` is page, upsert, remove or reject."""
COLUMNS = pl.Schema(SCHEMA)
"""The same as Polars types."""

MERGE_MARK = "merge.json"
TEXTS = ["record_id", "payload", "link_next"]
FORMAT: dict[str, Any] = {
    "store_schema": False,
    "write_statistics": ["stream"],
    "compression": {name: "zstd" if name in TEXTS else "none" for name in SCHEMA.names},
    "use_dictionary": [name for name in SCHEMA.names if name not in (*TEXTS, "row")],
    "column_encoding": {"row": "DELTA_BINARY_PACKED"},
}
"""How files are written; all columns but the texts are runs of the same value, which need no compression to be small."""


def raw_root(home: Path) -> Path:
    """Folder of the raw log."""
    return home / "lake" / "raw"


def _safe(part: str) -> str:
    return part if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", part) else hashlib.sha1(part.encode()).hexdigest()


def stream_folder(home: Path, source: str, stream: str) -> Path:
    """Where the files of a stream lie; parts that are no safe file names are hashed, the column `stream` is the truth."""
    kind, *rest = stream.split("/", 2)
    return raw_root(home).joinpath(source, kind, *map(_safe, rest))


def stream_files(folder: Path) -> list[Path]:
    """The files of a stream in the order of their pages."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(".parquet") and not name.startswith(".")]


def merge_mark(folder: Path) -> Path:
    """Where a compaction notes what it merges: the file `into`, its `rows` once it is complete, and the files `merged` into it."""
    return folder / MERGE_MARK


def merged_away(folder: Path) -> list[Path]:
    """Files whose rows a compaction has put into another one: what a crash left, to be read no more."""
    try:
        noted = orjson.loads(merge_mark(folder).read_bytes())
        is_complete = pq.read_metadata(folder / noted["into"]).num_rows == noted["rows"]
    except (FileNotFoundError, orjson.JSONDecodeError):
        return []
    return [folder / name for name in noted["merged"]] if is_complete else []


def finish_merge(folder: Path) -> None:
    """Remove the files that a compaction has merged into another; a merge that did not get that far is forgotten."""
    for path in merged_away(folder):
        path.unlink(missing_ok=True)
    merge_mark(folder).unlink(missing_ok=True)


def clean_up(folder: Path) -> bool:
    """Remove what a crash left in a stream's folder: half-written files, and a merge that is not finished.

    Returns whether there is any file of the stream.
    """
    names = os.listdir(folder)
    for name in names:
        if name == MERGE_MARK:
            finish_merge(folder)
        elif name.startswith(".") and name.endswith(".tmp"):
            (folder / name).unlink(missing_ok=True)
    return any(name.endswith(".parquet") for name in names)


def write_durably(path: Path, table: pa.Table, noted: dict[str, str] | None = None) -> None:
    """Write a Parquet file so that it is there whole or not at all: temporary name, fsync, rename, fsync of the folder.

    `noted` goes into its metadata.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    data = pa.BufferOutputStream()
    with pq.ParquetWriter(data, table.schema, **FORMAT) as writer:
        writer.write_table(table)
        if noted:
            writer.add_key_value_metadata(noted)
    with open(temporary, "wb", buffering=0) as file:
        left = memoryview(data.getvalue())
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def stream_name(folder: Path) -> tuple[str, str] | None:
    """Source and stream of the files in `folder`, None where there are none."""
    files = stream_files(folder)
    if not files:
        return None
    table = pq.ParquetFile(files[-1]).read(columns=["source", "stream"], use_threads=False)
    return table["source"][0].as_py(), table["stream"][0].as_py()


def stream_folders(home: Path) -> list[Path]:
    """Every folder of the raw log that holds a stream, parked ones without a page included."""
    root = raw_root(home)
    return sorted({path.parent for name in ("*.parquet", "parked.json") for path in root.rglob(name)})


def log_files(home: Path) -> list[Path]:
    """Every file of the raw log that counts."""
    root = raw_root(home)
    found: list[str] = []
    for folder, _, names in os.walk(root):
        left_over = {path.name for path in merged_away(Path(folder))} if MERGE_MARK in names else set()
        found += [f"{folder}/{name}" for name in names if name.endswith(".parquet") and name not in left_over]
    return [Path(name) for name in sorted(found)]
