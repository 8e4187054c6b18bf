"""Tiny tenants, runs of the extractors against the sandbox in this process, and what the raw log then says."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from jobs.extract import keep, landing, overview
from jobs.extract.client import Timing
from jobs.extract.connection import Connection
from jobs.extract.crm import extract_crm
from jobs.extract.exchange import SENT, UNCOUNTED_FOLDERS, calendar_window, extract_group, list_mailboxes
from jobs.extract.streams import Report
from jobs.normalise.job import normalise
from jobs.normalise.replay import ended, last_known, last_shown
from jobs.settings import Settings
from sandbox.company.generate import AS_OF
from sandbox.server import Sandbox, Transport

UNA = "20000000-0000-4000-8000-00000000000a"
BO = "20000000-0000-4000-8000-00000000000b"
START = datetime(2026, 6, 1, 8, tzinfo=UTC)
CONSENT = {"who": "the works council", "when": "2026-05-01", "scope": "all"}


class Clock:
    """A clock that only waiting moves."""

    def __init__(self, at: datetime = START, seed: int = 0) -> None:
        self.at = at
        self.waits: list[float] = []
        self.seed = seed

    def pass_by(self, **span: float) -> None:
        self.at += timedelta(**span)

    @property
    def timing(self) -> Timing:
        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)
            self.at += timedelta(seconds=seconds)

        def now() -> datetime:
            self.at += timedelta(microseconds=1)
            return self.at

        return Timing(now, lambda: (self.at - START).total_seconds(), sleep, random.Random(self.seed))


def settings(home: Path, **given: Any) -> Settings:
    """Settings of a test: small pages, the whole of mail, consent given."""
    usual = {"first_load_days": 0, "page_size": 3, "crm_page_size": 3, "exchange_consent": CONSENT, "max_requests": 8}
    return Settings(_env_file=None, home=home, **{**usual, **given})


def write(folder: Path, files: dict[str, list[Any]]) -> Path:
    """A tenant folder; a file's items are records, or lines where they are text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tenant.json").write_text(json.dumps({"name": "tiny", "time_zone": "UTC"}))
    for name, rows in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return folder


def guid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def account(number: int, **columns: Any) -> dict[str, Any]:
    return {"@odata.etag": 'W/"1"', "accountid": guid(number), "name": f"Account {number}", "statecode": 0, **columns}


def person(name: str) -> dict[str, Any]:
    return {"emailAddress": {"name": name.title(), "address": f"{name}@ours.example"}}


def message(name: str, folder: str = "Inbox", at: str = "2026-05-10T10:00:00Z", **keys: Any) -> dict[str, Any]:
    usual = {
        "id": name,
        "parentFolderId": folder,
        "internetMessageId": f"<{name}@mid>",
        "subject": f"About {name}",
        "from": person("una"),
        "isDraft": False,
    }
    return {**usual, "receivedDateTime": at, "sentDateTime": at, "lastModifiedDateTime": at, **keys}


def event(name: str, day: str = "2026-06-10", **keys: Any) -> dict[str, Any]:
    times = {edge: {"dateTime": f"{day}T{hour}:00:00.0000000", "timeZone": "UTC"} for edge, hour in (("start", 10), ("end", 11))}
    return {
        "id": name,
        "type": "singleInstance",
        "seriesMasterId": None,
        "subject": f"About {name}",
        "attendees": [],
        **times,
        **keys,
    }


FOLDERS = [
    {"id": "Inbox", "displayName": "Inbox", "parentFolderId": "Root", "wellKnownName": "inbox"},
    {"id": "Sent", "displayName": "Sent", "parentFolderId": "Root", "wellKnownName": "sentitems"},
    {"id": "Below", "displayName": "Of this year", "parentFolderId": "Sent"},
    {"id": "Junk", "displayName": "Junk", "parentFolderId": "Root", "wellKnownName": "junkemail", "isHidden": True},
    {"id": "Found", "displayName": "Found", "parentFolderId": "Root", "@odata.type": "#microsoft.graph.mailSearchFolder"},
]


def user(name: str = UNA, address: str = "una@ours.example", **keys: Any) -> dict[str, Any]:
    return {"id": name, "mail": address, "userPrincipalName": address, "displayName": "Una", "userType": "Member", **keys}


def mailbox(messages: list[Any], events: list[Any] | None = None, folders: list[Any] | None = None) -> dict[str, list[Any]]:
    """The files of a tenant with one user."""
    return {
        "graph/users.jsonl": [user()],
        f"graph/{UNA}/mailFolders.jsonl": FOLDERS if folders is None else folders,
        f"graph/{UNA}/messages.jsonl": messages,
        f"graph/{UNA}/events.jsonl": events or [],
    }


class World:
    """A tenant in the sandbox and a home to extract it into. `files` None: `folder` is a tenant folder already."""

    def __init__(
        self, folder: Path, files: dict[str, list[Any]] | None, home: Path | None = None, at: datetime = START, **options: Any
    ) -> None:
        self.home = home or folder / "home"
        self.folder = folder if files is None else write(folder / "tenant", files)
        self.sandbox = Sandbox(self.folder, **options)
        self.clock = Clock(at)
        self.transport: Any = Transport(self.sandbox)
        self.given: dict[str, Any] = {}
        self.runs = 0
        self._settings: tuple[dict[str, Any], Settings] | None = None

    @property
    def settings(self) -> Settings:
        wanted = {"home": self.home, **self.given}
        if self._settings is None or self._settings[0] != wanted:
            self._settings = wanted, settings(**wanted)
        return self._settings[1]

    def connection(self, part: str) -> Connection:
        return Connection(f"http://127.0.0.1/{part}", transport=self.transport)

    def step(self, files: dict[str, list[Any]]) -> None:
        """Let the tenant change."""
        write(self.folder / "changes" / f"{self.sandbox.tenant.step + 1:03d}", files)
        assert self.sandbox.advance()["advanced"]

    def crm(self, *tables: str) -> Report:
        self.runs += 1
        more = {"tables": tables} if tables else {}
        return extract_crm(
            self.connection("dataverse"), self.home, self.settings, f"run-{self.runs}", timing=self.clock.timing, **more
        )

    def exchange(self) -> Report:
        self.runs += 1
        run, graph, timing = f"run-{self.runs}", self.connection("graph"), self.clock.timing
        found = list_mailboxes(graph, self.home, self.settings, run, crm=self.connection("dataverse"), timing=timing)
        return extract_group(graph, found, self.home, self.settings, run, timing=timing)

    def rows(self, stream: str | None = None) -> pl.DataFrame:
        found = overview.read_pages(self.home).sort("source", "stream", "round", "page", "row").collect()
        return found.filter(pl.col("stream") == stream) if stream else found

    def asked(self, stream: str) -> int:
        return self.sandbox.request_counts[stream]


def held(rows: pl.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """What the log says each stream holds: payloads by id."""
    calendars = rows.filter(pl.col("stream").str.starts_with("calendarView/"))
    others = rows.filter(~pl.col("stream").str.starts_with("calendarView/"))
    found: dict[str, dict[str, dict[str, Any]]] = {stream: {} for stream in rows["stream"].unique()}
    for source, part in (("dataverse", others), ("graph", others), ("graph", calendars)):
        own = part.filter(pl.col("source") == source)
        if own.is_empty():
            continue
        known = last_known(
            own, ["stream", "record_id"], merge=source == "graph", restart=not own["stream"][0].startswith("messages")
        )
        key = ["stream", "record_id"]
        shown = last_shown(own, key)
        if part is calendars:
            shown = shown.join(_spans(known), on=key, how="left")
        there = known.join(shown, on=key, how="semi").join(ended(shown, own, key, timed=part is calendars), on=key, how="anti")
        for stream, name, payload in there.select(*key, "payload").iter_rows():
            found[stream][name] = orjson.loads(payload)
    return found


def _spans(known: pl.DataFrame) -> pl.DataFrame:
    def at(edge: str) -> pl.Expr:
        return (
            pl.col("payload")
            .str.json_path_match(f"$.{edge}.dateTime")
            .str.slice(0, 19)
            .str.to_datetime("%Y-%m-%dT%H:%M:%S", time_zone="UTC", time_unit="us")
        )

    return known.select("stream", "record_id", start_at=at("start"), end_at=at("end"))


def expected(world: World, stream: str) -> dict[str, dict[str, Any]]:
    """What a stream holds at the source, as the landing filter leaves it."""
    kind = stream.partition("/")[0]
    if kind in keep.TABLES:
        reduce = landing.table_filter(keep.TABLES[kind], world.settings)
    else:
        reduce = {
            "users": landing.user_filter,
            "mailFolders": landing.folder_filter,
            "messages": landing.message_filter,
            "calendarView": landing.event_filter,
        }[kind](world.settings)
    window = calendar_window(world.clock.at, world.settings) if kind == "calendarView" else None
    records = world.sandbox.tenant.records(stream, window)
    return {reduce.record_id(record): reduce(record) for record in records.values()}


def assert_holds_the_tenant(world: World) -> None:
    """The raw log replays to exactly what the tenant holds, stream by stream; of streams that are gone nothing is left there."""
    found = held(world.rows())
    live = {mark["stream"] for mark in overview.watermarks(world.home)}
    for stream in found.keys() - live:
        assert stream.startswith("messageHeaders/") or not expected(world, stream), stream
    streams = [name for name in found.keys() & live if not name.startswith("messageHeaders/")]
    for stream in streams:
        kind = stream.partition("/")[0]
        is_master = (lambda record: record.get("type") == "seriesMaster") if kind == "calendarView" else (lambda record: False)
        ours = {name: record for name, record in found[stream].items() if not is_master(record)}
        theirs = expected(world, stream)
        if kind == "mailFolders":
            asked = {SENT, *UNCOUNTED_FOLDERS, *world.settings.skip_folders}
            known = {name: well for name, record in theirs.items() if (well := record.get("wellKnownName")) in asked}
            theirs = {name: {**record, "wellKnownName": known.get(name)} for name, record in theirs.items()}
        assert ours.keys() == theirs.keys(), (stream, ours.keys() ^ theirs.keys())
        for name, record in theirs.items():
            master = found[stream].get(record.get("seriesMasterId") or "", {})
            thin = {key: master[key] for key in record if key not in ours[name] and key in master}
            assert {**thin, **ours[name]} == record, (stream, name)


def world_of(tenant: Path, home: Path) -> World:
    """A generated company, all of which is extracted."""
    world = World(tenant, None, home, at=AS_OF)
    window = {"calendar_past_days": 1460, "calendar_future_days": 365}
    world.given = {"replayed_tenant": True, "as_of": AS_OF, "page_size": 20, "crm_page_size": 20, **window}
    return world


def normalised(world: World) -> dict[str, pl.DataFrame]:
    """The normalised tables of a world in one order, without when and how often rows came."""
    normalise(world.home, world.settings, "run")
    lake = world.home / "lake" / "normalised"
    found = json.loads((lake / "snapshot.json").read_text())["tables"]
    frames = {name: pl.concat(pl.read_parquet(lake / file) for file in files) for name, files in found.items() if files}
    del frames["conservation"]
    return {name: frame.drop("ingested_at", strict=False).sort(pl.all()) for name, frame in frames.items()}
