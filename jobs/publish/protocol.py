"""Publication: load every target, switch them, record; whole or not at all.

Order of a publication: history partition, version folder, PostgreSQL load, intent (`switch.json`), PostgreSQL switch,
`current`, log, base. Until the intent is written nothing has happened that readers could see; from then on whoever takes
the lock next completes the switch.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from jobs import clock, runs
from jobs.errors import RapportError
from jobs.locks import held
from jobs.publish import files, history
from jobs.publish.building import relation, seal, write_parquet
from jobs.publish.catalogue import Mart, read_catalogue
from jobs.publish.context import RunContext
from jobs.publish.postgres import Postgres
from jobs.publish.verdict import GateResult, fingerprint, read_result
from jobs.publish.versions import Published, Version, content_hash, verify
from jobs.publish.writer import check_shape, open_candidate
from jobs.settings import Settings

Progress = Callable[[int, int, str], None]
LOCK_SECONDS = 30.0
MOVES_POINTER = ("publish", "release", "repoint", "rollback")


class PublishError(RapportError):
    """Nothing was switched; says why and what to do."""


@dataclass(frozen=True)
class Publication:
    """What a publication did: `status` is published, repointed, unchanged, backfilled or held."""

    status: str
    version: str | None
    previous: str | None = None
    content_hash: str | None = None
    rows: dict[str, int] = field(default_factory=dict)

    def summary(self) -> str:
        """The outcome in a few words."""
        if self.status == "held":
            return "held back: read `rapport versions`, then `rapport release --reason ...` or mend the cause"
        if self.status == "backfilled":
            return "history partition written, pointers stay"
        return f"{self.status} {self.version}"


class _Steps:
    """Counts the steps of a publication and reports each before it is taken."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, note: str) -> None:
        self.progress(min(self.done, self.total), self.total, note)
        self.done += 1


def _quiet(done: int, total: int, note: str) -> None:
    """Report nothing."""


@contextmanager
def publish_lock(home: Path) -> Iterator[None]:
    """Hold the one lock of everything that changes `published`; raises `PublishError` when another holds it or it cannot be had."""
    with held(home / "locks" / "publish.lock", f"publishing in {home}", seconds=LOCK_SECONDS, error=PublishError):
        yield


@contextmanager
def _readable_errors(store: Published) -> Iterator[None]:
    """Turn what disks and databases raise into one line, and leave nothing half-written."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        store.clean()
        text = " ".join(str(error).split())
        raise PublishError(
            f"publication stopped: {text}; published versions are untouched, free the cause and run again"
        ) from error
    except RapportError:
        store.clean()
        raise


def publish(
    candidate: Path,
    home: Path,
    context: RunContext,
    settings: Settings,
    progress: Progress = _quiet,
    *,
    release: str | None = None,
    now: Callable[[], datetime] = clock.now,
) -> Publication:
    """Publish a candidate that passed the gate (docs/metrics.md G).

    A backfill writes its history partition only. Content equal to the current version's publishes nothing; content of
    another kept version moves the pointers. A held candidate waits; `release` is the reason to let it through.
    `progress(done, total, note)` is called before every step. Raises `PublishError` when the candidate was not checked,
    failed, or was changed since.
    """
    store = Published(home)
    marts = read_catalogue(settings.dbt_project_dir / "models" / "marts")
    steps = _Steps(progress, len(marts) + 11)
    with publish_lock(home), _readable_errors(store), opened_targets(settings) as targets:
        steps("recover")
        _recover(store, settings, targets, steps)
        store.clean()
        if not candidate.exists():
            return _finished_before(store, candidate, context)
        verdict = _verdict(home, candidate, context)
        if verdict.status == "hold" and release is None:
            return _hold(store, candidate, context, verdict, now())
        with open_candidate(candidate, settings.threads) as con:
            if context.is_backfill:
                return _backfill(con, store, marts, candidate, context, steps, now())
            return _publish(con, store, marts, candidate, context, verdict, settings, targets, steps, release, now())


def _verdict(home: Path, candidate: Path, context: RunContext) -> GateResult:
    verdict = read_result(home, context.run_id)
    if verdict is None:
        raise PublishError(f"run {context.run_id} was not checked: run the gate on {candidate} first")
    if verdict.status == "critical":
        verdict.raise_critical()
    if verdict.candidate != fingerprint(candidate):
        raise PublishError(f"{candidate} was changed after its check: run the gate again")
    return verdict


def _finished_before(store: Published, candidate: Path, context: RunContext) -> Publication:
    """The outcome of an earlier try of the same run, whose candidate has become the base."""
    for entry in reversed(store.log()):
        if entry["run_id"] == context.run_id and entry["action"] not in ("hold", "rollback"):
            status = {"publish": "published", "release": "published", "repoint": "repointed", "backfill": "backfilled"}
            return Publication(status.get(entry["action"], "unchanged"), entry["version"], entry["previous"])
    raise PublishError(f"{candidate} is missing: build the run again")


def _hold(store: Published, candidate: Path, context: RunContext, verdict: GateResult, at: datetime) -> Publication:
    held = held_candidate(store.home)
    if held and held["candidate"] != str(candidate):
        discard_held(store.home)
    reasons = [c.text() for c in verdict.failures if c.severity == "hold"]
    stored = {"candidate": str(candidate), "held_at": at.isoformat(), "reasons": reasons, "context": context.to_json()}
    files.write_json(held_file(store.home), stored)
    store.record(_entry(f"hold-{context.run_id}", at, "hold", None, store.current_name(), context, " | ".join(reasons)))
    return Publication("held", None, store.current_name())


def held_file(home: Path) -> Path:
    """Where the one held candidate is noted."""
    return home / "warehouse" / "held.json"


def held_candidate(home: Path) -> dict[str, Any] | None:
    """The held candidate: `candidate`, `held_at`, `reasons`, `context`; None when none waits."""
    return json.loads(held_file(home).read_text()) if held_file(home).exists() else None


def discard_held(home: Path) -> None:
    """Forget the held candidate and remove its file."""
    held = held_candidate(home)
    if held:
        Path(held["candidate"]).unlink(missing_ok=True)
        held_file(home).unlink()


def release(home: Path, settings: Settings, reason: str, progress: Progress = _quiet) -> Publication:
    """Publish the held candidate; `reason` goes to the log."""
    held = held_candidate(home)
    if held is None:
        raise PublishError("no candidate is held: see `rapport versions`")
    return publish(Path(held["candidate"]), home, RunContext.from_json(held["context"]), settings, progress, release=reason)


def rollback(
    home: Path, settings: Settings, name: str, reason: str, progress: Progress = _quiet, now: Callable[[], datetime] = clock.now
) -> Publication:
    """Make readers see the kept version `name` again; the next run publishes normally."""
    store = Published(home)
    steps = _Steps(progress, 10)
    with publish_lock(home), _readable_errors(store), opened_targets(settings) as targets:
        steps("recover")
        _recover(store, settings, targets, steps)
        version = store.version(name)
        previous = store.current_name()
        if version.name == previous:
            raise PublishError(f"{version.name} is the current version already")
        damage = verify(version)
        if damage:
            raise PublishError(f"cannot roll back: {damage[0]}; choose another of `rapport versions`")
        steps("load PostgreSQL")
        for target in targets:
            target.load(version)
        steps("write intent")
        entry = _entry(uuid.uuid4().hex, now(), "rollback", version.name, previous, None, reason)
        store.begin({"entry": entry, "base": None})
        _complete_switch(store, settings, targets, steps)
    return Publication("rolled back", version.name, previous, version.content_hash)


@contextmanager
def opened_targets(settings: Settings) -> Iterator[list[Postgres]]:
    """The databases that readers use beside the files."""
    if settings.postgres_dsn is None:
        yield []
        return
    target = Postgres(settings.postgres_dsn.get_secret_value(), settings.postgres_reader_role, settings.postgres_switch_seconds)
    try:
        yield [target]
    finally:
        target.close()


def _recover(store: Published, settings: Settings, targets: list[Postgres], steps: _Steps) -> None:
    if store.intent() is not None:
        steps("complete the interrupted switch")
        _complete_switch(store, settings, targets, steps)


def _backfill(
    con: duckdb.DuckDBPyConnection,
    store: Published,
    marts: dict[str, Mart],
    candidate: Path,
    context: RunContext,
    steps: _Steps,
    at: datetime,
) -> Publication:
    steps("write history partition")
    for mart in marts.values():
        check_shape(con, mart, relation(mart))
    _write_day(con, store.home, marts, context)
    steps("record")
    store.record(_entry(f"backfill-{context.run_id}", at, "backfill", None, store.current_name(), context, None))
    candidate.unlink()
    return Publication("backfilled", None, store.current_name())


def _write_day(con: duckdb.DuckDBPyConnection, home: Path, marts: dict[str, Mart], context: RunContext) -> None:
    for mart in marts.values():
        if mart.partition == "as_of_date":
            history.write_kpi_day(con, home, mart, relation(mart), context.as_of_date, context.contract_version)


def _publish(
    con: duckdb.DuckDBPyConnection,
    store: Published,
    marts: dict[str, Mart],
    candidate: Path,
    context: RunContext,
    verdict: GateResult,
    settings: Settings,
    targets: list[Postgres],
    steps: _Steps,
    release_reason: str | None,
    at: datetime,
) -> Publication:
    for mart in marts.values():
        check_shape(con, mart, relation(mart))
    steps("write history partition")
    _write_day(con, store.home, marts, context)
    building = store.versions_folder / ".building"
    entries = {}
    for mart in marts.values():
        steps(f"write {mart.name}")
        entries[mart.name] = write_parquet(con, store.home, mart, context, building)
    con.close()

    digest = content_hash(f["sha256"] for m in entries.values() for f in m["files"].values())
    rows = {name: m["rows"] for name, m in entries.items()}
    base = {
        "candidate": str(candidate),
        "snapshot_id": context.snapshot_id,
        "run_id": context.run_id,
        "as_of": runs.instant_text(context.as_of),
    }
    base["retention"] = {"as_of_date": context.as_of_date.isoformat(), "history_days": settings.history_days}
    current = store.current()
    kept = _sound(store, next((v for v in store.versions() if v.content_hash == digest), None))
    if kept is None:
        version = seal(store, building, entries, digest, marts, context, verdict, settings, steps, at)
        action, status = ("release" if release_reason else "publish"), "published"
    else:
        files.remove_tree(building)
        same = current is not None and current.name == kept.name
        in_step = all(target.current() == kept.name for target in targets)
        version = kept
        action, status = ("unchanged", "unchanged") if same and in_step else ("repoint", "repointed")
    previous = current.name if current else None
    steps("load PostgreSQL")
    if action != "unchanged":
        for target in targets:
            target.load(version)
    steps("write intent")
    entry = _entry(uuid.uuid4().hex, at, action, version.name, previous, context, release_reason)
    store.begin({"entry": entry, "base": base})
    _complete_switch(store, settings, targets, steps)
    return Publication(status, version.name, previous, digest, rows)


def _sound(store: Published, kept: Version | None) -> Version | None:
    """A kept version that may be shown again; a damaged one is removed, for it is to be built anew."""
    damage = verify(kept) if kept else []
    if kept and damage and kept.name == store.current_name():
        raise PublishError(
            f"the current version has this content and is damaged ({damage[0]}): `rapport rollback` to another, then run again"
        )
    if kept and damage:
        files.remove_tree(kept.folder)
        return None
    return kept


def _entry(
    key: str, at: datetime, action: str, version: str | None, previous: str | None, context: RunContext | None, reason: str | None
) -> dict[str, Any]:
    return {
        "id": key,
        "at": at.isoformat(),
        "action": action,
        "version": version,
        "previous": previous,
        "run_id": context.run_id if context else None,
        "as_of": runs.instant_text(context.as_of) if context else None,
        "reason": reason,
    }


def _complete_switch(store: Published, settings: Settings, targets: list[Postgres], steps: _Steps) -> None:
    """Carry out the intent; every step may run again."""
    intent = store.intent()
    assert intent is not None
    entry, base = intent["entry"], intent["base"]
    version = store.version(entry["version"])
    if entry["action"] in MOVES_POINTER:
        for target in targets:
            steps("switch PostgreSQL")
            target.load(version)
            target.switch(version, entry)
        steps("switch current")
        store.point(version)
    steps("record")
    store.record(entry)
    steps("replace base")
    if base:
        _move_base(store.home, version.name, base)
    steps("drop old versions")
    store.prune(settings.keep_versions)
    for target in targets:
        target.prune()
    if base:
        _drop_history(store, base["retention"])
    store.finish()


def _move_base(home: Path, version: str, base: dict[str, Any]) -> None:
    """Make the published candidate the next run's base; the database first, so that its snapshot is never too new."""
    candidate = Path(base["candidate"])
    if candidate.exists():
        files.move(candidate, home / "warehouse" / "base.duckdb")
    stored = {"version": version, **{k: base[k] for k in ("snapshot_id", "run_id", "as_of")}}
    files.write_json(home / "warehouse" / "base.json", stored)
    discard_held(home)


def _drop_history(store: Published, retention: dict[str, Any]) -> None:
    day = datetime.fromisoformat(retention["as_of_date"]).date()
    current = store.current()
    seen = set()
    for mart in current.marts.values() if current else ():
        if mart.partition and (group := history.folder(store.home, mart)) not in seen:
            seen.add(group)
            history.drop_old_days(store.home, mart, day, retention["history_days"])
