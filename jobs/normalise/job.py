"""The normalise stage: from the raw log of a home to the snapshot of its normalised lake."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

from jobs.errors import RapportError
from jobs.extract import overview
from jobs.extract.files import log_files, raw_root
from jobs.normalise import quarantine, snapshot
from jobs.normalise.calendars import NewEvents
from jobs.normalise.mail_update import NewMail
from jobs.normalise.shelf import Shelf, shelf_in
from jobs.normalise.snapshot import Lake
from jobs.normalise.tables import Raw, Rules, normalised
from jobs.normalise.times import INSTANT
from jobs.privacy.opt_out import flag_columns, read_opt_out
from jobs.settings import Settings

COLUMNS = {
    **dict.fromkeys(["source", "stream"], pl.String), "round": pl.Int64, "round_kind": pl.String, "page": pl.Int32, "row": pl.Int32,
    **dict.fromkeys(["op", "record_id", "payload", "link_next", "link_kind"], pl.String),
    **dict.fromkeys(["round_started_at", "window_start", "window_end"], INSTANT), "run_id": pl.String, "received_at": INSTANT,
}  # fmt: skip
"""Columns of the raw log (`jobs.extract.files.SCHEMA`)."""

STREAMS = {"file": pl.String, "source": pl.String, "stream": pl.String, "rows": pl.Int64, "records": pl.Int64}
"""Columns of what the files of the raw log hold: rows by file and stream, and how many of them are records (all but `page` rows)."""

BATCH_ROWS = 100_000
KINDS = {"number": "number", "category": "text"}

Progress = Callable[..., None]


@dataclass(frozen=True)
class SnapshotReport:
    """What a run of the stage left: the snapshot's id and facts (`opt_out`: digest of who opted out), row counts by table."""

    snapshot_id: str
    tier: str
    history_start: str | None
    opt_out: str
    row_counts: dict[str, int]
    conservation: dict[str, dict[str, int]]


def normalise(home: Path, settings: Settings, run_id: str, progress: Progress | None = None) -> SnapshotReport:
    """Bring `<home>/lake/normalised` up to date with the raw log, under one lock.

    Raises RapportError when another run holds the lock or a setting cannot be read.
    """
    with normalising(home) as root, shelf_in(root) as shelf:
        return _run(home, root, settings, shelf, progress or (lambda *_: None))


@contextmanager
def normalising(home: Path) -> Iterator[Path]:
    """Hold the lock of everything that reads the raw log as a whole, and give the folder of the normalised lake.

    Raises RapportError when another run holds the lock.
    """
    root = home / "lake" / "normalised"
    root.mkdir(parents=True, exist_ok=True)
    held = FileLock(root / ".lock", timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise RapportError(f"another run is normalising in {home}: wait for it to end, then start again") from None
    try:
        yield root
    finally:
        held.release()


def _run(home: Path, root: Path, settings: Settings, shelf: Shelf, progress: Progress) -> SnapshotReport:
    rules = Rules(
        hash_key=settings.hash_key.get_secret_value(),
        internal_domains=settings.internal_domains,
        copy_tolerance_seconds=settings.copy_tolerance_seconds,
        drop_deleted_mail=settings.drop_deleted_mail,
        collect_subjects=settings.collect_subjects,
        extra_columns={
            attribute["name"]: KINDS.get(attribute.get("kind", ""), "text") for attribute in settings.similarity_attributes
        },
        opt_out=read_opt_out(settings.privacy_opt_out_file),
        opt_out_flags=flag_columns(settings),
    )
    lake = Lake(root)
    files = raw_files(home)
    fingerprint = _fingerprint(rules)
    kept, read_before = lake.state(fingerprint, files) or (None, {})
    fresh = [name for name in files if name not in read_before]
    streams = pl.concat([*([kept.streams] if kept else []), streams_of(raw_root(home), fresh)])
    raw = read_raw(raw_root(home), streams, read_before, progress)
    result = normalised(raw, rules, kept, shelf)
    started = overview.history_start(result.mail.control)
    facts = {
        "conservation": by_family(streams, result.conservation),
        "tier": "enhanced" if raw.has_graph else "basic",
        "history_start": started.isoformat() if started else None,
        "internal_domains": result.internal_domains,
        "opt_out": result.people.opt_out.digest(rules.hash_key),
    }
    manifest = lake.write(result, facts, fingerprint, files, streams)
    return SnapshotReport(
        manifest["snapshot_id"],
        **{name: manifest[name] for name in ("tier", "history_start", "opt_out", "row_counts", "conservation")},
    )


def _fingerprint(rules: Rules) -> str:
    """Changes with the code and with the rules that decide what is read of records and what mail becomes."""
    facts = (
        f"{rules.hash_key} {rules.copy_tolerance_seconds} {rules.collect_subjects} {rules.extra_columns} {rules.opt_out_flags}"
    )
    facts = f"{facts} {snapshot.code_fingerprint()}"
    return hashlib.sha256(facts.encode()).hexdigest()


def raw_files(home: Path) -> dict[str, int]:
    """Every file of the raw log and its size."""
    root = raw_root(home)
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in log_files(home)}


def streams_of(root: Path, files: list[str]) -> pl.DataFrame:
    """What the raw files `files` hold (STREAMS)."""
    if not files:
        return pl.DataFrame(schema=STREAMS)
    rows = pl.scan_parquet([root / name for name in files], hive_partitioning=False, include_file_paths="file")
    records = (pl.col("op") != "page").sum().cast(pl.Int64).alias("records")
    counts = rows.group_by("file", "source", "stream").agg(pl.len().cast(pl.Int64).alias("rows"), records)
    counts = counts.collect(engine="streaming")
    prefix = f"{root.as_posix()}/"
    return counts.with_columns(pl.col("file").str.strip_prefix(prefix)).select(STREAMS.keys()).sort("file", "source", "stream")


def read_raw(root: Path, streams: pl.DataFrame, read_before: Collection[str] = (), progress: Progress = lambda *_: None) -> Raw:
    """The rows of the raw log by what they are for; mail is read a group of mailboxes at a time, or only from new files.

    `streams`: what its files hold (STREAMS).
    """
    family = pl.col("stream").str.split("/").list.first()
    user = pl.col("stream").str.split("/").list.get(1, null_on_oob=True).str.to_lowercase()
    is_new = ~pl.col("file").is_in(list(read_before))
    graph = streams.filter(pl.col("source") == "graph").with_columns(family.alias("family"), user.alias("user"))

    def rows_of(kind: str) -> pl.DataFrame:
        return _read(root, graph.filter(pl.col("family") == kind))

    def older(kind: str, users: list[str]) -> pl.DataFrame:
        return _read(root, graph.filter(~is_new, pl.col("family") == kind, pl.col("user").is_in(users)))

    def mail(only_new: bool) -> NewMail:
        every = graph.filter(pl.col("family").is_in(["messages", "messageHeaders"]), is_new if only_new else True)
        return NewMail(lambda: groups(every), every.get_column("rows").sum(), older)

    def groups(every: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        parts = mailbox_groups(every)
        for done, part in enumerate(parts):
            progress(done, len(parts), "mailbox groups")
            yield _read(root, part.filter(family == "messages")), _read(root, part.filter(family == "messageHeaders"))

    def dataverse(only_new: bool) -> pl.DataFrame:
        every = streams.filter(pl.col("source") == "dataverse")
        return _read(root, every.filter(is_new) if only_new else every)

    def calendars(only_new: bool) -> NewEvents:
        every = graph.filter(pl.col("family") == "calendarView")
        rows = _read(root, every.filter(is_new) if only_new else every)
        return NewEvents(rows, lambda users: older("calendarView", users))

    return Raw(dataverse, rows_of("users"), rows_of("mailFolders"), calendars, mail, has_graph=not graph.is_empty())


def _read(root: Path, streams: pl.DataFrame) -> pl.DataFrame:
    """The rows of some streams in some files."""
    if streams.is_empty():
        return _empty()
    rows = pl.scan_parquet([root / name for name in streams.get_column("file").unique().sort()], hive_partitioning=False)
    return rows.filter(pl.col("stream").is_in(streams.get_column("stream").unique().to_list())).collect()


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=COLUMNS)


def mailbox_groups(streams: pl.DataFrame, limit: int = BATCH_ROWS) -> list[pl.DataFrame]:
    """`streams` (with `user`) as groups of whole mailboxes of about `limit` rows."""
    ordered = streams.sort("user", "file")
    total = ordered.group_by("user", maintain_order=True).agg(pl.col("rows").sum())
    group = (pl.col("rows").cum_sum() - pl.col("rows")) // limit
    numbered = ordered.join(total.select("user", group.alias("group")), on="user", maintain_order="left")
    return numbered.partition_by("group", include_key=False, maintain_order=True)


def by_family(streams: pl.DataFrame, conservation: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Row counts by outcome for each kind of activity stream, `received` and `unbalanced_streams`.

    `received` is counted where the raw files are read (`streams`: STREAMS), before any rule, so that it differs from the sum of the
    outcomes when a row is lost or told twice; `unbalanced_streams` counts the single streams in which it does.
    """
    family = pl.col("stream").str.split("/").list.first()
    received = streams.filter(family.is_in(quarantine.FAMILIES)).group_by("stream").agg(pl.col("records").sum())
    accounted = conservation.group_by("stream").agg(pl.col("row_count").sum())
    both = received.join(accounted, on="stream", how="full", coalesce=True).with_columns(
        pl.col("records", "row_count").fill_null(0)
    )
    sums = both.group_by(family.alias("family")).agg(
        pl.col("records").sum(), (pl.col("records") != pl.col("row_count")).sum().alias("unbalanced")
    )
    told = {name: {"received": records, "unbalanced_streams": unbalanced} for name, records, unbalanced in sums.iter_rows()}
    outcomes = conservation.group_by(family.alias("family"), "outcome").agg(pl.col("row_count").sum())
    for name, outcome, count in outcomes.iter_rows():
        told[name][outcome] = count
    return {name: dict(sorted(counts.items())) for name, counts in sorted(told.items()) if any(counts.values())}
