"""Reading one stream after the other into the raw log: rounds, pages, starting over, parking."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from msgspec import UNSET

from jobs.extract import parking
from jobs.extract.client import Access, Budget, Client, Timing
from jobs.extract.errors import SourceError, StreamFailed, SyncStateLost
from jobs.extract.keep import Record
from jobs.extract.landing import Filter, Typed
from jobs.extract.log import IMPORT, Page, Round, Row, State, StreamLog
from jobs.extract.pages import Reject
from jobs.settings import Settings

RESTARTS = 8
SLIDE_DAYS = 7

Progress = Callable[..., None]
"""Called as progress(done, total, note) with streams done, streams known so far, and a few words."""


@dataclass
class Report:
    """What a run landed: streams read to their end, rows, removals, rejected records, records dropped by reason, parked streams."""

    streams: int = 0
    rows: int = 0
    removes: int = 0
    rejects: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    parked: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def partial(self) -> bool:
        """Whether some stream could not be read."""
        return bool(self.parked)

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it: `parked` holds (stream, reason, next try)."""
        return {**asdict(self), "partial": self.partial}

    def summary(self) -> str:
        """One line for people."""
        parts = [f"{self.rows:,} rows", f"{self.removes:,} removals"] if self.removes else [f"{self.rows:,} rows"]
        if self.rejects:
            parts.append(f"{self.rejects:,} unreadable")
        parts.append(f"{self.streams:,} streams")
        if self.parked:
            parts.append(f"{len(self.parked)} parked")
        return ", ".join(parts)


def is_graph_removal(record: Record) -> bool:
    """Whether a row of a Graph delta says that a record left the stream."""
    return "@removed" in record


@dataclass
class Stream:
    """What is particular to one stream.

    `first_target` gives the first request of a round (None of a delta round's link), `is_tracked`: rounds end with a deltaLink.
    `kind` is that of a round without a link to continue: full, or list for passes that read only what is new. `window` gives a
    calendar's window for a round that starts at an instant, `is_due` whether a new full round is due besides the periodic one.
    `drop` names the reason for which a record is not landed. `related` fetches further records that a page's records name.
    `first_load_days`: mail received longer before the first round is not landed (0: no limit). `notes_modified`: rounds note the
    largest lastModifiedDateTime. `is_gone` tells whether a stream that is not found no longer exists at the source.
    """

    name: str
    filter: Filter
    prefer: str
    first_target: Callable[[Round, StreamLog], str]
    is_removal: Callable[[Record], bool] = is_graph_removal
    is_tracked: bool = True
    kind: str = "full"
    window: Callable[[datetime], tuple[datetime, datetime]] | None = None
    drop: Callable[[Record | Typed], str | None] | None = None
    related: Callable[[list[Record | Typed], set[str], Access], Awaitable[list[Record]]] | None = None
    first_load_days: int = 0
    notes_modified: bool = False
    is_resumable: bool = True
    is_gone: Callable[[Access], Awaitable[bool]] | None = None
    turns: asyncio.Semaphore | None = None


class Reader:
    """Reads the streams of one source within one run."""

    def __init__(
        self, source: str, client: Client, home: Path, settings: Settings, run_id: str, timing: Timing, progress: Progress | None
    ) -> None:
        self.source, self.client, self.home, self.settings = source, client, home, settings
        self.run_id, self.timing = run_id, timing
        self.report = Report()
        self.failures: list[StreamFailed] = []
        self._progress = progress
        self._known = 0

    def access(self, stream: Stream) -> Access:
        """The means of one stream: its preferences, a fresh retry budget, its mailbox's turns."""
        return Access(stream.prefer, Budget(self.settings.retry_budget_seconds), stream.turns)

    def expect(self, streams: int) -> None:
        """Say that so many more streams are to be read."""
        self._known += streams
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.report.streams + len(self.report.parked), self._known, f"{self.report.rows:,} rows")

    def set_aside(self, name: str, error: StreamFailed) -> None:
        """Park a stream."""
        mark = parking.park(self.home, self.source, name, error.reason, self.timing.now(), error.wait)
        self._note_parked(mark)
        self.failures.append(error)

    def _note_parked(self, mark: parking.Parked) -> None:
        self.report.parked.append((mark.stream, mark.reason, mark.next_try.isoformat() if mark.next_try else None))
        self._tell()

    def waits(self, mark: parking.Parked | None) -> bool:
        """Whether a stream with this mark is parked and not yet due; it is then reported as such."""
        if mark is None or not mark.waits(self.timing.now()):
            return False
        self._note_parked(mark)
        return True

    async def read(self, stream: Stream) -> bool:
        """Bring one stream up to date; False when it is parked (now or from before). Raises SourceError."""
        log = StreamLog(self.home, self.source, stream.name, self.run_id)
        with log.locked():
            if self.waits(mark := parking.read(log.folder)):
                return False
            try:
                await self._rounds(stream, log)
            except StreamFailed as error:
                await _flushed(log)
                if error.status == 404 and await self._is_gone(stream):
                    parking.retire(log.folder, self.source, stream.name, "it no longer exists at the source", self.timing.now())
                    return True
                self.set_aside(stream.name, error)
                return False
            if mark is not None:
                parking.clear(log.folder)
        self.report.streams += 1
        self._tell()
        return True

    async def _is_gone(self, stream: Stream) -> bool:
        """Whether a stream that is not found is known to exist no longer."""
        if stream.is_gone is None:
            return False
        try:
            return await stream.is_gone(self.access(stream))
        except StreamFailed:
            return False

    async def _rounds(self, stream: Stream, log: StreamLog) -> None:
        """One round to its end; a round that an earlier run began is followed by one of what has changed since."""
        access = self.access(stream)
        this, page, target, is_link = self._plan(stream, log)
        is_resumed = page > 0
        for _ in range(RESTARTS):
            try:
                await self._round(stream, log, access, this, page, target, is_link)
            except SyncStateLost:
                this = self._new_round(stream, log, stream.kind)
                page, target, is_link, is_resumed = 0, stream.first_target(this, log), False, False
            else:
                if not is_resumed:
                    return
                this, page, target, is_link = self._plan(stream, log)
                is_resumed = False
        raise StreamFailed("the source loses its place in this stream again and again")

    def _new_round(self, stream: Stream, log: StreamLog, kind: str) -> Round:
        now = self.timing.now()
        return log.next_round(kind, now, stream.window(now) if stream.window else None)

    def _plan(self, stream: Stream, log: StreamLog) -> tuple[Round, int, str, bool]:
        """The round to read, its first page's number, where that page is, and whether that is a link of the source."""
        state = log.state
        if state is not None and state.link_kind == "next" and state.link_next is not None and stream.is_resumable:
            return state.round, state.page + 1, state.link_next, True
        kind = stream.kind
        if state is not None and stream.is_tracked and state.link_kind == "delta":
            if not self._is_reconcile_due(stream, state):
                this = log.next_round("delta", self.timing.now())
                this = replace(this, window_start=state.round.window_start, window_end=state.round.window_end)
                return this, 0, state.link_next or "", True
            kind = "reconcile"
        this = self._new_round(stream, log, kind)
        return this, 0, stream.first_target(this, log), False

    def _is_reconcile_due(self, stream: Stream, state: State) -> bool:
        """Whether the stream is to be read whole again: from time to time, and when its window has moved."""
        now = self.timing.now()
        days = self.settings.reconcile_days
        if days and (state.last_full_at is None or now - state.last_full_at >= timedelta(days=days)):
            return True
        start, end = state.round.window_start, state.round.window_end
        if stream.window is None or start is None or end is None:
            return False
        wanted = stream.window(now)
        slack = timedelta(0) if self.settings.replayed_tenant else timedelta(days=SLIDE_DAYS)
        return wanted[0] < start - slack or wanted[1] > end + slack

    async def _round(
        self, stream: Stream, log: StreamLog, access: Access, this: Round, number: int, target: str, is_link: bool
    ) -> None:
        seen, related = {target}, set()
        modified: str | None = None
        history = history_start(stream.first_load_days, log, this)

        def fetch(where: str, of_source: bool) -> asyncio.Task[Any]:
            page = self.client.page(where, access, is_link=of_source, ends_with_delta=stream.is_tracked, seen=seen)
            return asyncio.ensure_future(page)

        coming = fetch(target, is_link)
        try:
            while True:
                body = await coming
                if body.next is not None:
                    seen.add(body.next)
                    coming = fetch(body.next, True)
                records = [stream.filter.read(text) for text in body.records]
                rows, facts, landed = self._land(stream, log, records, history)
                if stream.related is not None:
                    more = await stream.related(landed, related, access)
                    rows += self._land(stream, log, more, None)[0]
                    facts["received"] += len(more)
                if stream.notes_modified:
                    changed = (r.get("lastModifiedDateTime") for r in records if isinstance(r, dict | Typed))
                    modified = max([text for text in (modified, *changed) if type(text) is str], default=None)
                    facts |= {"largest_modified": modified} if modified else {}
                if history is not None:
                    facts["history_start"] = history.isoformat()
                facts["unknown_keys"] = dict(stream.filter.unknown)
                stream.filter.unknown.clear()
                link_kind = "next" if body.next is not None else "delta" if body.delta is not None else "none"
                log.append(Page(this, number, rows, facts, body.next or body.delta, link_kind, self.timing.now()))
                self._count(rows, facts)
                if body.next is None:
                    break
                if log.is_full:
                    await _flushed(log)
                number += 1
        finally:
            await _abandon(coming)
        await _flushed(log)

    def _land(
        self, stream: Stream, log: StreamLog, records: Iterable[Any], history: date | None
    ) -> tuple[list[Row], dict[str, Any], list[Record | Typed]]:
        """Rows and counts of a page, and its records that are landed."""
        rows: list[Row] = []
        landed: list[Record | Typed] = []
        dropped: Counter[str] = Counter()
        received = 0
        payload, record_id, dumps = stream.filter.payload, stream.filter.record_id, orjson.dumps
        for record in records:
            received += 1
            is_typed = isinstance(record, Typed)
            if not is_typed and type(record) is not dict:
                reject = record if isinstance(record, Reject) else Reject.of("not_object", dumps(record))
                rows.append(("reject", None, dumps(asdict(reject))))
            elif not is_typed and stream.is_removal(record):
                rows.append(_removal(stream, record))
            elif (name := record_id(record)) is None:
                reject = Reject.of("no_id", dumps(record))
                rows.append(("reject", None, dumps({**asdict(reject), "filtered": stream.filter(record)})))
            elif history is not None and self._is_before(history, record, name, log):
                dropped["before_history_start"] += 1
            elif stream.drop is not None and (reason := stream.drop(record)):
                dropped[reason] += 1
            else:
                rows.append(("upsert", name, payload(record)))
                landed.append(record)
        return rows, {"received": received, "dropped": dict(dropped)}, landed

    @staticmethod
    def _is_before(history: date, record: Record | Typed, name: str, log: StreamLog) -> bool:
        """Whether mail is too old to be landed; a partial row without its time is when its message never was."""
        text = record.get("receivedDateTime", UNSET)
        if text is UNSET and record.get("internetMessageId", UNSET) is UNSET:
            return name not in log.known_ids
        try:
            at = datetime.fromisoformat(text)
        except (TypeError, ValueError):
            return False
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).date() < history

    async def land_whole(self, stream: Stream, log: StreamLog, records: list[Any], kind: str, **facts: Any) -> None:
        """Land records that were read whole as one complete round of `kind`."""
        this = log.next_round(kind, self.timing.now())
        rows, counts, _ = self._land(stream, log, records, None)
        counts |= {"unknown_keys": dict(stream.filter.unknown), **facts}
        log.append(Page(this, 0, rows, counts, None, "none", self.timing.now()))
        await _flushed(log)
        self._count(rows, counts)

    def _count(self, rows: list[Row], facts: dict[str, Any]) -> None:
        kinds = Counter(op for op, _, _ in rows)
        self.report.rows += kinds["upsert"]
        self.report.removes += kinds["remove"]
        self.report.rejects += kinds["reject"]
        for reason, count in facts["dropped"].items():
            self.report.dropped[reason] = self.report.dropped.get(reason, 0) + count
        self._tell()


def history_start(first_load_days: int, log: StreamLog, this: Round) -> date | None:
    """The day before which mail is not landed: set by the stream's first round, and kept (None: no limit)."""
    if log.state is not None and log.state.round.kind != IMPORT:
        return log.state.history_start
    return this.started_at.date() - timedelta(days=first_load_days) if first_load_days else None


def _removal(stream: Stream, record: Record) -> Row:
    name = record.get("id", record.get(stream.filter.kept.key))
    if type(name) is not str or not name:
        return "reject", None, orjson.dumps(asdict(Reject.of("no_id", orjson.dumps(record))))
    removed = record.get("@removed")
    reason = removed.get("reason") if isinstance(removed, dict) else record.get("reason")
    payload = orjson.dumps({"reason": reason}) if reason in ("deleted", "changed") else None
    return "remove", name.strip().strip("{}").lower() if stream.filter.fold else name, payload


async def _flushed(log: StreamLog) -> None:
    """Make the buffered pages durable; a run that is cancelled meanwhile waits for the file, since the lock goes with the task."""
    if (rows := log.buffered()) is None:
        return
    writing = asyncio.ensure_future(asyncio.to_thread(log.write, rows))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        with suppress(Exception):
            await writing
        raise


async def _abandon(task: asyncio.Task[Any]) -> None:
    """End a request that nobody waits for any more."""
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
    elif not task.cancelled():
        task.exception()


async def together(work: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Run coroutines at the same time; the first failure ends them all and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as failed:
        first: BaseException = failed
        while isinstance(first, BaseExceptionGroup):
            first = min(first.exceptions, key=lambda error: isinstance(error, Exception))
        raise first from None
    return [task.result() for task in tasks]


def refuse_if_all_unauthorised(reader: Reader) -> None:
    """Raise SourceError when no stream could be read because the access token is refused everywhere."""
    if reader.failures and not reader.report.streams and all(failure.status == 401 for failure in reader.failures):
        raise SourceError(f"{reader.client.connection.origin} refuses the access token: check tenant, client id and credential")


def require_hash_key(client: Client, settings: Settings) -> None:
    """A real connection needs the key of `subject_key` (N17)."""
    if not client.connection.is_loopback and not settings.hash_key.get_secret_value():
        raise SourceError("RAPPORT_HASH_KEY is empty: set it to a long random text before the first extraction, and keep it")
