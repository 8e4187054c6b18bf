"""The normalise stage: from the raw log of a home to the snapshot of its normalised lake."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from jobs.extract import overview
from jobs.extract.files import raw_root
from jobs.locks import held
from jobs.normalise import quarantine, raw, snapshot
from jobs.normalise.raw import Progress
from jobs.normalise.shelf import Shelf, shelf_in
from jobs.normalise.snapshot import Basis, Lake
from jobs.normalise.tables import Rules, normalised
from jobs.privacy.opt_out import flag_columns, read_opt_out
from jobs.settings import Settings

KINDS = {"number": "number", "category": "text"}


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
    # Portions are small; where tables are not, the streaming engine is asked for.
    with normalising(home) as root, shelf_in(root) as shelf, pl.Config(engine_affinity="in-memory"):
        return _run(home, root, settings, shelf, progress or (lambda *_: None))


@contextmanager
def normalising(home: Path) -> Iterator[Path]:
    """Hold the lock of everything that reads the raw log as a whole, and give the folder of the normalised lake.

    Raises RapportError when another run holds the lock.
    """
    root = home / "lake" / "normalised"
    with held(root / ".lock", f"normalising in {home}"):
        yield root


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
    based_on = Basis(_fingerprint(rules), _fingerprint(rules, whole=True), raw.raw_files(home))
    manifest = lake.settled(based_on) or _update(raw_root(home), lake, based_on, rules, shelf, progress)
    return SnapshotReport(
        manifest["snapshot_id"],
        **{name: manifest[name] for name in ("tier", "history_start", "opt_out", "row_counts", "conservation")},
    )


def _update(log_root: Path, lake: Lake, based_on: Basis, rules: Rules, shelf: Shelf, progress: Progress) -> dict[str, Any]:
    """Write the snapshot of what the raw log holds now, and give its manifest."""
    kept, read_before = lake.state(based_on.fingerprint) or (None, {})
    log = raw.since(log_root, based_on.files, read_before, kept.streams if kept else pl.DataFrame(schema=raw.STREAMS))
    if kept is not None and log.rewritten:
        kept = replace(kept, crm=None) if log.rewritten == {"dataverse"} else None
    streams = raw.streams_of(log.held)
    rows = raw.read_raw(log, progress)
    result = normalised(rows, rules, kept, shelf)
    started = overview.history_start(result.mail.control)
    facts = {
        "conservation": by_family(streams, result.conservation),
        "tier": "enhanced" if rows.has_graph else "basic",
        "history_start": started.isoformat() if started else None,
        "internal_domains": result.internal_domains,
        "opt_out": result.people.opt_out.digest(rules.hash_key),
    }
    return lake.write(result, facts, based_on, streams)


def _fingerprint(rules: Rules, whole: bool = False) -> str:
    """Changes with the code and with the rules that decide what is read of records and what mail becomes; `whole`: with any rule."""
    facts = f"{rules.hash_key} {rules.copy_tolerance_seconds} {rules.drop_deleted_mail} {rules.collect_subjects} {rules.extra_columns}"
    facts = f"{facts} {rules.opt_out_flags} {snapshot.code_fingerprint()}"
    if whole:
        facts = f"{facts} {rules.internal_domains} {rules.opt_out.digest(rules.hash_key)}"
    return hashlib.sha256(facts.encode()).hexdigest()


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
