"""Compaction of the raw log: a stream's many small files become few, with the same rows in the same order.

A merged file tells in its metadata which files it was made of, so that whoever has read these knows that their rows are no new ones.
The newest file of a stream stays apart, because it tells the state and must be quick to read.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.extract.errors import StreamBusy
from jobs.extract.files import SCHEMA, finish_merge, merge_mark, stream_files, stream_folders, stream_name, write_durably
from jobs.extract.log import StreamLog

LARGEST_BYTES = 64 * 2**20
FEWEST_FILES = 8
PIECES = "rapport.merged_from"
DEEPEST = 8
"""So many compactions in a row are told apart by whoever read the log before them."""


@dataclass(frozen=True)
class Piece:
    """A file that was merged into another: its name and size, how many of the rows of the other, in order, were its own, and the
    pieces that it was merged from itself."""

    name: str
    size: int
    rows: int
    pieces: list["Piece"]


def merged_from(file: Path) -> list[Piece]:
    """The files that one was merged from, in the order of their rows; empty for one that was not."""
    found = (pq.read_metadata(file).metadata or {}).get(PIECES.encode())
    return _pieces(orjson.loads(found)) if found else []


def _pieces(found: list[list[Any]]) -> list[Piece]:
    """Pieces as the metadata tell them; files of earlier versions tell nothing of pieces of pieces."""
    return [Piece(name, size, rows, _pieces(inner[0] if inner else [])) for name, size, rows, *inner in found]


def compact(home: Path, run_id: str) -> dict[str, int]:
    """Merge the files of every stream that has many; returns how many files there were before and are now.

    Nobody may read the log meanwhile. Killed at any moment it leaves every row to be read once. A stream that a run is extracting is
    left for the next time.
    """
    before = after = 0
    for folder in stream_folders(home):
        named = stream_name(folder)
        if named is None:
            continue
        before += len(stream_files(folder))
        if len(stream_files(folder)) > FEWEST_FILES or merge_mark(folder).exists():
            with suppress(StreamBusy), StreamLog(home, *named, run_id).locked():
                for group in _groups(stream_files(folder)[:-1]):
                    _merge(folder, group)
        after += len(stream_files(folder))
    return {"files_before": before, "files_after": after}


def _groups(files: list[Path]) -> list[list[Path]]:
    """Neighbouring files that together are not too large."""
    groups: list[list[Path]] = [[]]
    size = 0
    for file in files:
        bytes_ = file.stat().st_size
        if groups[-1] and size + bytes_ > LARGEST_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += bytes_
    return [group for group in groups if len(group) > 1]


def _merge(folder: Path, files: list[Path]) -> None:
    """One file under the first one's name in place of all; the mark lets whoever comes next remove what a crash left."""
    tables = [pq.read_table(file).cast(SCHEMA) for file in files]
    noted = {"into": files[0].name, "rows": sum(t.num_rows for t in tables), "merged": [f.name for f in files[1:]]}
    with open(merge_mark(folder), "wb") as mark:
        mark.write(orjson.dumps(noted))
        mark.flush()
        os.fsync(mark.fileno())
    pieces = [Piece(f.name, f.stat().st_size, t.num_rows, merged_from(f)) for f, t in zip(files, tables, strict=True)]
    write_durably(files[0], pa.concat_tables(tables), {PIECES: orjson.dumps(_told(pieces, DEEPEST)).decode()})
    finish_merge(folder)


def _told(pieces: list[Piece], depth: int) -> list[list[Any]]:
    return [[piece.name, piece.size, piece.rows, _told(piece.pieces, depth - 1)] for piece in pieces] if depth else []
