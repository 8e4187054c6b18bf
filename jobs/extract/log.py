"""The raw log: append-only Parquet files, one folder a stream, and the state of a stream as its last durable page says.

A page row carries in its payload what
later rounds need to know of earlier ones, so that one small file tells the whole state.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from jobs.extract.errors import SourceError, StreamBusy
from jobs.extract.files import COLUMNS, SCHEMA, clean_up, stream_files, stream_folder, write_durably

FULL_KINDS = ("full", "reconcile")
IMPORT = "import"
BUFFER_BYTES = 8 * 2**20
BUFFER_PAGES = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[str, str | None, bytes | None]
"""op, record id, payload of one record."""


@dataclass(frozen=True)
class Round:
    """One pass over a stream; `window_start` and `window_end` are a calendar's."""

    number: int
    kind: str
    started_at: datetime
    window_start: datetime | None = None
    window_end: datetime | None = None


@dataclass(frozen=True)
class Page:
    """One page of a round as it is landed; `facts` are its counts."""

    round: Round
    number: int
    rows: list[Row]
    facts: dict[str, Any]
    link_next: str | None
    link_kind: str
    received_at: datetime


@dataclass(frozen=True)
class State:
    """What the last durable page of a stream says.

    `last_complete_at`, `last_full_at`: start of the last round that ended, of the last full one that did. `history_start`: mail
    received before this day is not landed. `modified_to`: largest lastModifiedDateTime seen by complete list rounds. `folders`: what
    a mailbox's folders were when last landed (digests, and ids by well-known name).
    """

    round: Round
    page: int
    link_next: str | None
    link_kind: str
    last_complete_at: datetime | None = None
    last_full_at: datetime | None = None
    history_start: date | None = None
    modified_to: str | None = None
    folders: dict[str, Any] | None = None
    received_at: datetime | None = None

    @property
    def is_to_start_over(self) -> bool:
        """Whether the stream was asked to be read whole again (`resync`)."""
        return self.link_kind == "next" and self.link_next is None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise SourceError(
            f"cannot write to {folder}: {error.strerror or error}; free space or set RAPPORT_HOME to another folder"
        ) from None


class StreamLog:
    """The log of one stream: its state, and pages that are appended and made durable by `flush`.

    Use it inside `locked()`. Raises SourceError when another run holds the stream or the folder cannot be written.
    """

    def __init__(self, home: Path, source: str, stream: str, run_id: str) -> None:
        self.source, self.stream, self.run_id = source, stream, run_id
        self.folder = stream_folder(home, source, stream)
        self.state: State | None = None
        self._pages: list[Page] = []
        self._states: list[State] = []
        self._bytes = 0
        self._known_ids: set[str] | None = None

    @contextmanager
    def locked(self) -> Iterator["StreamLog"]:
        """Hold the stream's lock, with its state read; what was not flushed is forgotten at the end."""
        with _writing(self.folder), suppress(FileExistsError):
            self.folder.mkdir(parents=True)
        lock = FileLock(self.folder / "stream.lock", timeout=0)
        try:
            with _writing(self.folder):
                lock.acquire()
        except Timeout:
            raise StreamBusy(f"another run is extracting {self.source} {self.stream}: wait for it to end") from None
        try:
            with _writing(self.folder):
                is_begun = clean_up(self.folder)
            self.state = read_state(self.folder) if is_begun else None
            yield self
        finally:
            self._pages.clear()
            self._states.clear()
            self._bytes = 0
            lock.release()

    @property
    def is_full(self) -> bool:
        """Whether enough is buffered for a file."""
        return self._bytes >= BUFFER_BYTES or len(self._pages) >= BUFFER_PAGES

    def next_round(self, kind: str, started_at: datetime, window: tuple[datetime, datetime] | None = None) -> Round:
        """A round after the last one."""
        return Round((self.state.round.number if self.state else 0) + 1, kind, started_at, *(window or (None, None)))

    def append(self, page: Page) -> None:
        """Buffer a page; it counts only once `flush` has returned."""
        self.state = _after(self.state, page)
        self._pages.append(page)
        if self._known_ids is not None:
            self._known_ids.update(name for op, name, _ in page.rows if op == "upsert" and name is not None)
        self._states.append(self.state)
        self._bytes += sum(len(payload) for _, _, payload in page.rows if payload is not None)

    def flush(self) -> None:
        """Make the buffered pages durable in one file."""
        if (rows := self.buffered()) is not None:
            self.write(rows)

    def write(self, rows: pa.Table) -> None:
        """Make the rows that are `buffered` durable."""
        first = self._pages[0]
        path = self.folder / f"{first.round.number:08d}-{first.number:08d}.parquet"
        with _writing(self.folder):
            write_durably(path, rows)
        self._pages.clear()
        self._states.clear()
        self._bytes = 0

    @property
    def known_ids(self) -> set[str]:
        """Ids of the records that were ever landed."""
        if self._known_ids is None:
            self._known_ids = {name for page in self._pages for op, name, _ in page.rows if op == "upsert" and name is not None}
            for file in stream_files(self.folder):
                landed = pl.DataFrame(pq.ParquetFile(file).read(columns=["op", "record_id"], use_threads=False))
                self._known_ids.update(landed.filter(pl.col("op") == "upsert")["record_id"])
        return self._known_ids

    def buffered(self) -> pa.Table | None:
        """The pages to be flushed, before the rows of each the row of the page itself; None when there are none.

        Built by Polars, because pyarrow would load pandas to look at Python values.
        """
        if not self._pages:
            return None
        columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
        for page, state in zip(self._pages, self._states, strict=True):
            count = len(page.rows) + 1
            everywhere = {
                "source": self.source,
                "stream": self.stream,
                "round": page.round.number,
                "round_kind": page.round.kind,
                "page": page.number,
                "round_started_at": _microseconds(page.round.started_at),
                "window_start": _microseconds(page.round.window_start),
                "window_end": _microseconds(page.round.window_end),
                "run_id": self.run_id,
                "received_at": _microseconds(page.received_at),
            }
            for name, value in everywhere.items():
                columns[name] += [value] * count
            columns["row"] += range(count)
            facts = orjson.dumps({**page.facts, **_carried(state)})
            for name, values in zip(
                ("op", "record_id", "payload"), zip(("page", None, facts), *page.rows, strict=True), strict=True
            ):
                columns[name] += values
            columns["link_next"] += [page.link_next, *[None] * (count - 1)]
            columns["link_kind"] += [page.link_kind, *[None] * (count - 1)]
        kinds = {**COLUMNS, "payload": pl.Binary}
        series = {name: pl.Series(values, dtype=kinds[name]) for name, values in columns.items()}
        series["payload"] = series["payload"].cast(pl.String)
        return pa.Table.from_arrays([each.to_arrow() for each in series.values()], SCHEMA.names)


def _microseconds(at: datetime | None) -> int | None:
    """An instant as Polars stores it, which takes long to find that out."""
    return None if at is None else (at - EPOCH) // timedelta(microseconds=1)


def _after(before: State | None, page: Page) -> State:
    """The state once `page` is durable."""
    is_complete = page.link_kind in ("delta", "none") and page.round.kind != IMPORT
    is_full = is_complete and page.round.kind in FULL_KINDS
    known = before or State(page.round, -1, None, "none")
    given = page.facts.get("history_start")
    if page.link_kind == "next" and page.link_next is None:
        known = replace(known, modified_to=None, folders=None)
    modified = [text for text in (known.modified_to, page.facts.get("largest_modified")) if text]
    return replace(
        known,
        round=page.round,
        page=page.number,
        link_next=page.link_next,
        link_kind=page.link_kind,
        last_complete_at=page.round.started_at if is_complete else known.last_complete_at,
        last_full_at=page.round.started_at if is_full else known.last_full_at,
        history_start=known.history_start or (date.fromisoformat(given) if given else None),
        modified_to=max(modified) if is_complete and modified else known.modified_to,
        folders=page.facts.get("folders", known.folders),
        received_at=page.received_at,
    )


def _carried(state: State) -> dict[str, Any]:
    carried = {
        "last_complete_at": state.last_complete_at,
        "last_full_at": state.last_full_at,
        "history_start": state.history_start,
        "modified_to": state.modified_to,
        "folders": state.folders,
    }
    return {name: value for name, value in carried.items() if value is not None}


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def read_state(folder: Path) -> State | None:
    """The state of the stream in `folder`, None before its first page. Raises SourceError when its last file is damaged."""
    files = stream_files(folder)
    if not files:
        return None
    wanted = [
        "round",
        "round_kind",
        "page",
        "op",
        "payload",
        "link_next",
        "link_kind",
        "round_started_at",
        "window_start",
        "window_end",
        "received_at",
    ]
    try:
        table = pq.ParquetFile(files[-1]).read(columns=wanted, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{files[-1]} cannot be read ({type(error).__name__}): restore it, or remove it to fetch its pages again"
        ) from None
    pages = pl.DataFrame(table).filter(pl.col("op") == "page")
    last = pages.sort("round", "page").row(-1, named=True)
    facts = orjson.loads(last["payload"])
    return State(
        Round(last["round"], last["round_kind"], last["round_started_at"], last["window_start"], last["window_end"]),
        last["page"],
        last["link_next"],
        last["link_kind"],
        _instant(facts.get("last_complete_at")),
        _instant(facts.get("last_full_at")),
        date.fromisoformat(facts["history_start"]) if facts.get("history_start") else None,
        facts.get("modified_to"),
        facts.get("folders"),
        last["received_at"],
    )
