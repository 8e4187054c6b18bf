"""What the raw log says as a whole: its rows, and how far every stream has come."""

from datetime import date
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from jobs.extract import parking
from jobs.extract.files import SCHEMA, log_files, raw_root, stream_folders, stream_name
from jobs.extract.log import read_state


def watermarks(home: Path) -> list[dict[str, Any]]:
    """One dict a stream that is still read: source, stream, last_complete_round_started_at, parked_reason (None: not parked).

    All streams of a parked mailbox are parked with it; streams of folders and mailboxes that are gone or no longer selected are
    left out.
    """
    held = {folder: parking.read(folder) for folder in stream_folders(home)}
    whole = {
        folder.name: mark.reason
        for folder, mark in held.items()
        if mark is not None and not mark.is_retired and mark.stream.startswith("mailFolders/")
    }
    marks = []
    for folder, mark in held.items():
        if mark is not None and mark.is_retired:
            continue
        named = (mark.source, mark.stream) if mark else stream_name(folder)
        if named is None:
            continue
        state = read_state(folder)
        parts = folder.relative_to(raw_root(home)).parts
        mailbox = parts[2] if parts[0] == "graph" and len(parts) > 2 else None
        marks.append(
            {
                "source": named[0],
                "stream": named[1],
                "last_complete_round_started_at": state.last_complete_at if state else None,
                "parked_reason": mark.reason if mark else whole.get(mailbox),
            }
        )
    return sorted(marks, key=lambda mark: (mark["source"], mark["stream"]))


def history_start(rows: pl.DataFrame) -> date | None:
    """The latest day before which mail was not landed, over the mail streams in `rows`; None when mail is loaded whole."""
    pages = rows.filter((pl.col("op") == "page") & pl.col("stream").str.starts_with("messages/"))
    last = pages.sort("round", "page").group_by("stream").agg(pl.col("payload").last()).get_column("payload")
    days = (orjson.loads(facts).get("history_start") for facts in last.to_list())
    return max((date.fromisoformat(day) for day in days if day), default=None)


def row_counts(home: Path) -> dict[tuple[str, str], int]:
    """Landed records by source and stream."""
    counts = read_pages(home).filter(pl.col("op") == "upsert").group_by("source", "stream").len().collect()
    return {(source, stream): count for source, stream, count in counts.iter_rows()}


def read_pages(home: Path) -> pl.LazyFrame:
    """Every row of the raw log, in no particular order; sort by source, stream, round, page, row."""
    files = log_files(home)
    return pl.scan_parquet(files) if files else pl.from_arrow(SCHEMA.empty_table()).lazy()
