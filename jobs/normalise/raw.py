"""The raw log as the stage reads it: which of its rows came since the run before, and the rows by what they are for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobs.extract.compact import Piece, merged_from
from jobs.extract.files import COLUMNS, log_files, raw_root
from jobs.normalise.calendars import NewEvents
from jobs.normalise.mail_update import NewMail
from jobs.normalise.tables import Raw

STREAMS = {"file": pl.String, "source": pl.String, "stream": pl.String, "rows": pl.Int64, "records": pl.Int64}
"""Columns of what the files of the raw log hold: rows by file and stream, and how many of them are records (all but `page` rows)."""

PART = {"file": pl.String, "first": pl.Int64, "length": pl.Int64}
"""Some rows of a file that follow each other; `length` is null for the file as a whole."""

HELD = {**STREAMS, **PART, "is_new": pl.Boolean}
"""STREAMS by parts of files, and whether the run before did not read them."""

BATCH_ROWS = 40_000
FEW_BYTES = 16 << 20

Progress = Callable[..., None]


def raw_files(home: Path) -> dict[str, int]:
    """Every file of the raw log and its size."""
    start = len(f"{raw_root(home)}/")
    return {str(path)[start:]: path.stat().st_size for path in log_files(home)}


@dataclass(frozen=True)
class Log:
    """What the log in the folder `root` holds (`held`: HELD), its new rows where these are few, and the sources (`rewritten`) some of
    whose rows are not what they were: all of their rows are new."""

    root: Path
    held: pl.DataFrame
    new_rows: pl.DataFrame | None
    rewritten: frozenset[str]


def since(root: Path, files: dict[str, int], read: dict[str, int], streams: pl.DataFrame) -> Log:
    """What the log holds now.

    `files`: its files and their sizes; `read`: the same of those that the run before read, and `streams` what they held (STREAMS).
    What a compaction merged is known by the record of it in the merged file.
    """
    sources = dict(streams.select("file", "source").iter_rows())
    known, rewritten = read, frozenset[str]()
    while True:
        old, new = _parts(root, files, known)
        lost = {sources.get(name, "graph") for name in known.keys() - old.keys()}
        if not lost:
            break
        rewritten |= lost
        known = {name: size for name, size in known.items() if sources.get(name, "graph") not in rewritten}
    places = [(name, *part) for name, part in old.items()]
    place = pl.DataFrame(places, schema={"before": pl.String, **PART}, orient="row")
    stay = streams.rename({"file": "before"}).join(place, on="before").drop("before")
    stay = stay.group_by(*PART, "source", "stream").agg(pl.col("rows", "records").sum())
    scanned = list(_scanned(root, pl.DataFrame(new, schema=PART, orient="row")))
    rows = None
    if sum(files[file] for file in {file for file, _, _ in new}) <= FEW_BYTES:
        # Many small files are cheaper to open once than to read little of.
        rows = pl.concat(
            [pl.LazyFrame(schema={**COLUMNS, **PART}), *(part.select(*COLUMNS, *PART) for part in scanned)]
        ).collect()
        scanned = [rows.lazy()]
    parts = [(stay, False), (_counted(root, scanned), True)]
    held = pl.concat([frame.with_columns(pl.lit(is_new).alias("is_new")).select(HELD.keys()) for frame, is_new in parts])
    return Log(root, held, rows, rewritten)


Part = tuple[str, int, int | None]


def _parts(root: Path, files: dict[str, int], known: dict[str, int]) -> tuple[dict[str, Part], list[Part]]:
    """Where the rows of each known file are now, and the parts of files whose rows are in no known one."""
    old: dict[str, Part] = {file: (file, 0, None) for file, size in files.items() if known.get(file) == size}
    fresh = [file for file in files if file not in old]
    if len(old) == len(known):
        return old, [(file, 0, None) for file in fresh]
    new: list[Part] = []
    for file in fresh:
        folder, first = file.rpartition("/")[0], 0
        merged: list[tuple[str | None, Part]] = []
        for piece in _known_pieces(merged_from(root / file), folder, known):
            name = f"{folder}/{piece.name}"
            merged.append((name if known.get(name) == piece.size else None, (file, first, piece.rows)))
            first += piece.rows
        if not any(name for name, _ in merged):
            new.append((file, 0, None))
        elif all(name for name, _ in merged):
            old |= {name: (file, 0, None) for name, _ in merged if name}
        else:
            old |= {name: part for name, part in merged if name}
            new += [part for name, part in merged if not name]
    return old, new


def _known_pieces(pieces: list[Piece], folder: str, known: dict[str, int]) -> Iterator[Piece]:
    """The same rows in pieces that are known, as far as there are such."""
    for piece in pieces:
        if known.get(f"{folder}/{piece.name}") == piece.size or not piece.pieces:
            yield piece
        else:
            yield from _known_pieces(piece.pieces, folder, known)


def streams_of(held: pl.DataFrame) -> pl.DataFrame:
    """What the files hold (STREAMS), from their parts (HELD)."""
    return held.group_by("file", "source", "stream").agg(pl.col("rows", "records").sum()).sort("file", "source", "stream")


def _counted(root: Path, parts: list[pl.LazyFrame]) -> pl.DataFrame:
    """What rows of parts of files (`_scanned`) hold: PART, source, stream, rows, records."""
    counts = [pl.len().cast(pl.Int64).alias("rows"), (pl.col("op") != "page").sum().cast(pl.Int64).alias("records")]
    counted = [
        rows.group_by("first", "length", "file", "source", "stream").agg(counts).collect(engine="streaming") for rows in parts
    ]
    prefix = f"{root.as_posix()}/"
    empty = pl.DataFrame(schema={name: kind for name, kind in HELD.items() if name != "is_new"})
    return pl.concat([empty, *(rows.select(empty.columns) for rows in counted)]).with_columns(
        pl.col("file").str.strip_prefix(prefix)
    )


def _scanned(root: Path, parts: pl.DataFrame) -> Iterator[pl.LazyFrame]:
    """The rows of parts of files, with PART (the file with its folder)."""
    whole = parts.filter(pl.col("length").is_null()).get_column("file").unique().sort()
    cut = parts.filter(pl.col("length").is_not_null()).select(PART.keys()).unique().sort(pl.all())
    if not whole.is_empty():
        # Asking the files for their columns costs as much as reading many of them.
        paths = [root / name for name in whole]
        rows = pl.scan_parquet(paths, schema=COLUMNS, hive_partitioning=False, include_file_paths="file")
        yield rows.with_columns(pl.lit(0, pl.Int64).alias("first"), pl.lit(None, pl.Int64).alias("length"))
    for file, first, length in cut.iter_rows():
        rows = pl.scan_parquet(root / file, hive_partitioning=False, include_file_paths="file").slice(first, length)
        yield rows.with_columns(pl.lit(first, pl.Int64).alias("first"), pl.lit(length, pl.Int64).alias("length"))


def read_raw(log: Log, progress: Progress = lambda *_: None) -> Raw:
    """The rows of the raw log by what they are for; mail is read a group of mailboxes at a time, or only what is new."""
    family = pl.col("stream").str.split("/").list.first()
    user = pl.col("stream").str.split("/").list.get(1, null_on_oob=True).str.to_lowercase()
    graph = log.held.filter(pl.col("source") == "graph").with_columns(family.alias("family"), user.alias("user"))

    def whole(kind: str, only_new: bool) -> pl.DataFrame:
        every = graph.filter(pl.col("family") == kind)
        return _read(log, every if not only_new or every.get_column("is_new").any() else every.clear())

    def older(kind: str, users: list[str]) -> pl.DataFrame:
        return _read(log, graph.filter(~pl.col("is_new"), pl.col("family") == kind, pl.col("user").is_in(users)))

    def mail(only_new: bool) -> NewMail:
        every = graph.filter(pl.col("family").is_in(["messages", "messageHeaders"]), pl.col("is_new") if only_new else True)
        return NewMail(lambda: groups(every), every.get_column("rows").sum(), older)

    def groups(every: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        parts = mailbox_groups(every)
        for done, part in enumerate(parts):
            progress(done, len(parts), "mailbox groups")
            yield _read(log, part.filter(family == "messages")), _read(log, part.filter(family == "messageHeaders"))

    def dataverse(only_new: bool) -> pl.DataFrame:
        every = log.held.filter(pl.col("source") == "dataverse")
        return _read(log, every.filter("is_new") if only_new else every)

    def calendars(only_new: bool) -> NewEvents:
        every = graph.filter(pl.col("family") == "calendarView")
        rows = _read(log, every.filter("is_new") if only_new else every)
        return NewEvents(rows, lambda users: older("calendarView", users))

    return Raw(
        dataverse,
        lambda only_new: whole("users", only_new),
        lambda only_new: whole("mailFolders", only_new),
        calendars,
        mail,
        has_graph=not graph.is_empty(),
    )


def _read(log: Log, held: pl.DataFrame) -> pl.DataFrame:
    """The rows of some streams: those of the log before, its new ones, or both (`held`, a part of the log's)."""
    to_read, at_hand = held, log.held.clear()
    if log.new_rows is not None:
        to_read, at_hand = held.filter(~pl.col("is_new")), held.filter("is_new")
    parts = [rows.select(COLUMNS.keys()) for rows in _scanned(log.root, to_read)]
    rows = pl.concat([pl.LazyFrame(schema=COLUMNS), *parts]).collect()
    # A file holds one stream as a rule; asking each of many small files for its streams costs more than reading it.
    found = [rows.filter(_is_of(to_read))]
    if log.new_rows is not None and not at_hand.is_empty():
        found.append(log.new_rows.filter(_is_of(at_hand)).select(COLUMNS.keys()))
    return pl.concat(found)


def _is_of(held: pl.DataFrame) -> pl.Expr:
    return pl.col("stream").is_in(held.get_column("stream").unique().implode())


def mailbox_groups(held: pl.DataFrame, limit: int = BATCH_ROWS) -> list[pl.DataFrame]:
    """`held` (with `user`) as groups of whole mailboxes of about `limit` rows."""
    ordered = held.sort("user", "file", "first")
    total = ordered.group_by("user", maintain_order=True).agg(pl.col("rows").sum())
    group = (pl.col("rows").cum_sum() - pl.col("rows")) // limit
    numbered = ordered.join(total.select("user", group.alias("group")), on="user", maintain_order="left")
    return numbered.partition_by("group", include_key=False, maintain_order=True)
