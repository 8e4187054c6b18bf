"""The normalise stage: from the raw log of a home to the snapshot of its normalised lake."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

from jobs.errors import RapportError
from jobs.extract import log
from jobs.normalise import snapshot
from jobs.normalise.mail_update import NewMail
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
"""Columns of the raw log (`jobs.extract.log.SCHEMA`)."""

BATCH_ROWS = 300_000
KINDS = {"number": "number", "category": "text"}

Progress = Callable[..., None]


@dataclass(frozen=True)
class SnapshotReport:
    """What a run of the stage left: the snapshot's id and facts, row counts by table."""

    snapshot_id: str
    tier: str
    history_start: str | None
    row_counts: dict[str, int]
    conservation: dict[str, dict[str, int]]


def normalise(home: Path, settings: Settings, run_id: str, progress: Progress | None = None) -> SnapshotReport:
    """Bring `<home>/lake/normalised` up to date with the raw log, under one lock.

    Raises RapportError when another run holds the lock or a setting cannot be read.
    """
    root = home / "lake" / "normalised"
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".lock", timeout=0):
            return _run(home, root, settings, progress or (lambda *_: None))
    except Timeout:
        raise RapportError(f"another run is normalising in {home}: wait for it to end, then start again") from None


def _run(home: Path, root: Path, settings: Settings, progress: Progress) -> SnapshotReport:
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
    known = lake.state(fingerprint, files)
    kept, read_before = known or (None, {})
    raw = read_raw(log.raw_root(home), files, read_before, progress)
    result = normalised(raw, rules, kept)
    started = log.history_start(home)
    facts = {
        "conservation": by_family(result.conservation),
        "tier": "enhanced" if raw.has_graph else "basic",
        "history_start": started.isoformat() if started else None,
        "internal_domains": result.internal_domains,
    }
    manifest = lake.write(result, facts, fingerprint, files)
    return SnapshotReport(
        manifest["snapshot_id"], manifest["tier"], manifest["history_start"], manifest["row_counts"], manifest["conservation"]
    )


def _fingerprint(rules: Rules) -> str:
    """Changes with the code and with the rules that decide what mail becomes."""
    facts = f"{rules.hash_key} {rules.copy_tolerance_seconds} {rules.collect_subjects} {snapshot.code_fingerprint()}"
    return hashlib.sha256(facts.encode()).hexdigest()


def raw_files(home: Path) -> dict[str, int]:
    """Every file of the raw log and its size."""
    root = log.raw_root(home)
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in sorted(root.rglob("*.parquet"))}


def read_raw(root: Path, files: Iterable[str], read_before: Iterable[str] = (), progress: Progress = lambda *_: None) -> Raw:
    """The rows of the raw log by what they are for; mail is read a group of mailboxes at a time, or only from new files."""
    every = _scan(root, files)
    before = set(read_before)
    streams = every.group_by("source", "stream").agg(pl.len().alias("rows")).sort("source", "stream").collect(engine="streaming")
    graph = streams.filter(pl.col("source") == "graph")
    family = graph.get_column("stream").str.split("/").list.first()

    def rows_of(kind: str) -> pl.DataFrame:
        names = graph.filter(family == kind).get_column("stream")
        return every.filter(pl.col("stream").is_in(names.to_list())).collect() if len(names) else _empty()

    def older(kind: str, users: list[str]) -> pl.DataFrame:
        user = graph.get_column("stream").str.split("/").list.get(1, null_on_oob=True).str.to_lowercase()
        names = graph.filter((family == kind) & user.is_in(users)).get_column("stream")
        return _scan(root, before).filter(pl.col("stream").is_in(names.to_list())).collect()

    def mail(only_new: bool) -> NewMail:
        if only_new:
            fresh = _scan(root, [name for name in files if name not in before])
            rows = fresh.filter(pl.col("stream").str.starts_with("messages/")).collect()
            return NewMail(lambda: [rows], fresh.filter(pl.col("stream").str.starts_with("messageHeaders/")).collect(), older)
        return NewMail(groups, rows_of("messageHeaders"), older)

    def groups() -> Iterator[pl.DataFrame]:
        parts = mailbox_groups(graph.filter(family == "messages"))
        for done, names in enumerate(parts):
            progress(done, len(parts), "mailbox groups")
            yield every.filter(pl.col("stream").is_in(names)).collect()

    return Raw(
        dataverse=every.filter(pl.col("source") == "dataverse").collect(),
        users=rows_of("users"),
        folders=rows_of("mailFolders"),
        calendars=rows_of("calendarView"),
        mail=mail,
        has_graph=not graph.is_empty(),
    )


def _scan(root: Path, files: Iterable[str]) -> pl.LazyFrame:
    paths = [root / name for name in files]
    return pl.scan_parquet(paths, hive_partitioning=False) if paths else _empty().lazy()


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=COLUMNS)


def mailbox_groups(streams: pl.DataFrame, limit: int = BATCH_ROWS) -> list[list[str]]:
    """Streams of whole mailboxes, in groups of about `limit` rows."""
    groups: list[list[str]] = []
    size = 0
    by_user = streams.with_columns(pl.col("stream").str.split("/").list.get(1).str.to_lowercase().alias("user"))
    for part in by_user.partition_by("user", maintain_order=True):
        rows = int(part.get_column("rows").sum())
        if not groups or size + rows > limit:
            groups.append([])
            size = 0
        groups[-1] += part.get_column("stream").to_list()
        size += rows
    return groups


def by_family(conservation: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Row counts by outcome for each kind of stream, and `received`, their sum."""
    told: dict[str, dict[str, int]] = {}
    rows: Iterable[tuple[str, str, int]] = conservation.select(
        pl.col("stream").str.split("/").list.first(), "outcome", "row_count"
    ).iter_rows()
    for family, outcome, count in rows:
        counts = told.setdefault(family, {"received": 0})
        counts[outcome] = counts.get(outcome, 0) + count
        counts["received"] += count
    return {family: dict(sorted(counts.items())) for family, counts in sorted(told.items())}
