"""Whatever the source does and wherever a run dies, the raw log ends up saying what the tenant holds: nothing lost, nothing twice."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from jobs.extract import compact, log, overview
from jobs.extract.connection import Connection
from jobs.extract.crm import extract_crm
from jobs.extract.errors import SourceError
from jobs.extract.exchange import extract_group, list_mailboxes
from jobs.extract.resync import resync_stream
from jobs.extract.retention import maintain
from sandbox.faults import HARMLESS
from sandbox.server import Server
from tests.extract.world import (
    BO,
    FOLDERS,
    UNA,
    World,
    account,
    assert_holds_the_tenant,
    event,
    expected,
    held,
    mailbox,
    message,
    settings,
    user,
)

SEEDS = 200
KILLED_SEEDS = 20
FOLDER_IDS = ["Inbox", "Sent", "Below", "Junk", "New"]
PASSING = [*HARMLESS, "change_tracking_off", "clock_skew", "mailbox_concurrency", "unknown_option"]
HEALED = ["moved_away_and_back", "forbidden", "not_found", "read_basic", "sent_without_reply_headers", "wrong_type"]
"""Faults that park a stream, or that only a full round mends."""


class Crash(BaseException):
    """The process dies here."""


class Countdown:
    """Dies at the nth of the calls that it wraps, before that call does anything."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def over(self, real: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise Crash
            return real(*args, **kwargs)

        return wrapped


@contextmanager
def dying_at_file_operation(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[tuple[Countdown, pytest.MonkeyPatch]]:
    """Renaming, syncing and removing files counts down; the patch that lasts as long is there for more."""
    countdown = Countdown(number)
    with monkeypatch.context() as patched:
        for name in ("replace", "fsync", "unlink"):
            patched.setattr(os, name, countdown.over(getattr(os, name)))
        yield countdown, patched


PLACES = ["", "/messages?", "/messages/delta", "/calendarView/", "/mailFolders?", "/users/delta", "/accounts"]
"""Parts of addresses at whose first request a countdown begins; the empty one begins at once."""


class Crasher:
    """Dies at the nth step of a run after a first request for `place`, steps being requests, answers, and file operations.

    Files are not waited for: a crash that leaves the machine running loses nothing that was written.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.place = ""
        self.steps = 0
        for name, real in (("replace", os.replace), ("unlink", os.unlink), ("fsync", lambda file: None)):
            monkeypatch.setattr(os, name, self._dying(real))

    def step(self) -> None:
        self.steps += 1
        if self.left is not None and not self.place:
            self.left -= 1
            if self.left <= 0:
                raise Crash

    def aim(self, place: str, left: int | None) -> None:
        """Die `left` steps after a first request for `place`; None: not at all."""
        self.place, self.left = place, left

    def _dying(self, real: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = real(*args, **kwargs)
            self.step()
            return result

        return wrapped

    def around(self, inner: Any) -> Any:
        class Dying(type(inner)):
            async def handle_async_request(this, request: Any) -> Any:
                if self.place in str(request.url):
                    self.place = ""
                self.step()
                answer = inner.handle_request(request)
                self.step()
                return answer

        return Dying(inner.sandbox)


def random_message(chance: random.Random, number: int, modified: str | None = None, sent: int = 1) -> dict[str, Any]:
    modified = modified or f"2026-05-{chance.randint(1, 29):02d}T12:00:00Z"
    at = f"2026-05-{chance.randint(1, 28):02d}T{chance.randint(0, 23):02d}:00:00Z"
    reply = [{"name": "In-Reply-To", "value": f"<{chance.random()}@mid>"}] if chance.random() < 0.5 else []
    place = chance.choice([*FOLDER_IDS, *["Sent"] * sent])
    more = {"internetMessageHeaders": reply, "lastModifiedDateTime": modified}
    return message(f"m{number}", place, at, subject=f"v{chance.random()}", **more)


def random_event(chance: random.Random, number: int, modified: str = "") -> dict[str, Any]:
    is_occurrence = chance.random() < 0.3
    more = {"type": "occurrence", "seriesMasterId": "master"} if is_occurrence else {}
    return event(
        f"e{number}", f"2026-{chance.randint(4, 8):02d}-{chance.randint(1, 28):02d}", subject=f"v{chance.random()}", **more
    )


def random_account(chance: random.Random, number: int, modified: str = "") -> dict[str, Any]:
    return account(number, name=f"v{chance.random()}")


def random_folder(chance: random.Random, number: int, modified: str = "") -> dict[str, Any]:
    """A folder that appears, moves, or is renamed; the well-known ones stay."""
    name = ["Below", "New"][number]
    return {"id": name, "displayName": f"v{chance.random()}", "parentFolderId": chance.choice(["Root", "Sent", "Inbox"])}


def random_user(chance: random.Random, number: int, modified: str = "") -> dict[str, Any]:
    return user(BO, "bo@ours.example", displayName=f"v{chance.random()}")


def random_tenant(chance: random.Random) -> dict[str, list[Any]]:
    master = event("master", "2026-01-01", type="seriesMaster")
    sent = chance.choice([1, 10])
    files = mailbox(
        [random_message(chance, n, sent=sent) for n in range(chance.randint(0, 14))],
        [master, *(random_event(chance, n) for n in range(chance.randint(0, 9)))],
    )
    bo = [message(f"b{n}", at=f"2026-05-{n + 1:02d}T10:00:00Z") for n in range(4)]
    return {
        **files,
        f"graph/{BO}/mailFolders.jsonl": FOLDERS[:1],
        f"graph/{BO}/messages.jsonl": bo,
        "dataverse/accounts.jsonl": [random_account(chance, n) for n in range(chance.randint(0, 12))],
    }


def random_changes(chance: random.Random, at: datetime) -> dict[str, list[Any]]:
    """Records that come, change, move and go at an instant, with the folders and the mailbox that hold them."""

    def some(most: int, make: Any, key: str, share: float = 0.5) -> list[Any]:
        numbers = chance.sample(range(most), chance.randint(0, round(most * share)))
        made = [make(chance, n, f"{at:%Y-%m-%dT%H:%M:%SZ}") for n in numbers]
        return [{"id": r[key], "@removed": {"reason": "deleted"}} if chance.random() < 0.3 else r for r in made]

    return {
        f"graph/{UNA}/mailFolders.jsonl": some(2, random_folder, "id") if chance.random() < 0.3 else [],
        f"graph/{UNA}/messages.jsonl": some(18, random_message, "id"),
        f"graph/{UNA}/events.jsonl": some(12, random_event, "id"),
        "graph/users.jsonl": some(1, random_user, "id", 1) if chance.random() < 0.3 else [],
        "dataverse/accounts.jsonl": some(15, random_account, "accountid"),
    }


def run_until_done(world: World, crasher: Crasher, chance: random.Random, crashes: int) -> int:
    """Both extractors, then maintenance or a resync, dying now and then and started again; returns how often they died."""

    def tidy() -> None:
        if chance.random() < 0.5:
            maintain(world.settings, "maintenance", world.clock.at)
        elif marks := overview.watermarks(world.home):
            mark = chance.choice(marks)
            resync_stream(world.home, mark["source"], mark["stream"], world.settings, world.clock.at)

    died = 0
    for work in (lambda: world.crm("accounts", "contacts"), world.exchange, tidy):
        for attempt in range(crashes + 1):
            place = chance.choice(PLACES) if work is not tidy else ""
            crasher.aim(place, chance.randint(1, 40 if place or work is tidy else 120) if attempt < crashes else None)
            try:
                work()
            except Crash:
                died += 1
            except SourceError:
                continue
    crasher.aim("", None)
    return died


def drill(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> tuple[int, Counter[str]]:
    """A tenant that changes under faults and crashes, then one clean run; returns crashes, and faults that struck by name."""
    chance = random.Random(seed)
    world = World(folder, random_tenant(chance))
    world.clock.seed = seed
    crasher = Crasher(monkeypatch)
    world.transport = crasher.around(world.transport)
    is_healed = chance.random() < 0.5
    sizes = {"page_size": chance.randint(1, 4), "crm_page_size": chance.randint(1, 4)}
    world.given = {
        **sizes,
        "keep_raw_days": chance.choice([0, 1]),
        "reconcile_days": chance.choice([1, 7] if is_healed else [0, 1, 7]),
    }
    monkeypatch.setattr(log, "BUFFER_PAGES", chance.randint(1, 3))
    monkeypatch.setattr(compact, "FEWEST_FILES", 2)
    died, struck = 0, Counter()
    for _ in range(chance.randint(1, 3)):
        faults = chance.sample(PASSING + HEALED * is_healed, chance.randint(1, 6))
        world.sandbox.faults.switch_on([{"fault": name, "rate": chance.choice([0.05, 0.3])} for name in faults], seed)
        died += run_until_done(world, crasher, chance, chance.randint(0, 2))
        struck.update({fault["fault"]: fault["struck"] for fault in world.sandbox.faults.counts()})
        world.step(random_changes(chance, world.clock.at))
        world.clock.pass_by(hours=chance.choice([1, 30]))
    world.sandbox.faults.switch_on([])
    world.clock.pass_by(days=8 if is_healed else 2)
    reports = [world.crm("accounts", "contacts"), world.exchange()]
    assert not any(report.partial for report in reports)
    assert_holds_the_tenant(world)
    assert_references_are_landed(world)
    assert_each_page_is_landed_once(world)
    return died, struck


def assert_references_are_landed(world: World) -> None:
    rows = world.rows().filter((pl.col("op") == "upsert") & pl.col("stream").str.starts_with("messageHeaders/"))
    found = {
        (stream, name): orjson.loads(payload)
        for stream, name, payload in rows.select("stream", "record_id", "payload").iter_rows()
    }
    box = world.sandbox.tenant.mailbox(UNA)
    for folder in ("Sent", "Below", "New"):
        if "sentitems" not in box.path(folder, world.sandbox.tenant.step):
            continue
        for name, record in world.sandbox.tenant.records(f"messages/{UNA}/{folder}").items():
            if headers := record.get("internetMessageHeaders"):
                (kept,) = found[f"messageHeaders/{UNA}/{folder}", name]["singleValueExtendedProperties"]
                assert kept == {"id": "String 0x1042", "value": headers[0]["value"]}


def assert_each_page_is_landed_once(world: World) -> None:
    rows = world.rows()
    assert rows.select("source", "stream", "round", "page", "row").is_duplicated().sum() == 0
    number = pl.col("page")
    pages = (
        rows.filter(op="page")
        .group_by("stream", "round")
        .agg(number.min().alias("first"), number.max().alias("last"), number.len())
    )
    assert (pages["last"] - pages["first"] + 1).to_list() == pages["page"].to_list()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_raw_log_replays_to_the_tenant_through_faults_and_crashes(tmp_path, monkeypatch, seed):
    drill(tmp_path, monkeypatch, seed)


def test_the_drill_really_crashes_and_its_faults_strike(tmp_path, monkeypatch):
    died, struck = 0, Counter()
    for seed in range(1000, 1012):
        with monkeypatch.context() as patched:
            more_died, more_struck = drill(tmp_path / str(seed), patched, seed)
        died, struck = died + more_died, struck + more_struck
    assert died > 12 and struck.total() > 100 and len(+struck) > 20


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2000, 4000))
def test_raw_log_replays_to_the_tenant_for_thousands_of_seeds(tmp_path, monkeypatch, seed):
    drill(tmp_path, monkeypatch, seed)


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.extract.world"])


def extract_all(url: str, home: Path) -> None:
    """Both extractors in a process of their own."""
    given = settings(home, page_size=2, crm_page_size=2)
    extract_crm(Connection(url + "/dataverse"), home, given, "run", tables=("accounts", "contacts"))
    graph = Connection(url + "/graph")
    extract_group(graph, list_mailboxes(graph, home, given, "run"), home, given, "run")


def killed_drill(folder: Path, seed: int, kills: int) -> None:
    """Real processes, killed at random moments; the last one runs to its end."""
    chance = random.Random(seed)
    files = {**random_tenant(chance), "dataverse/accounts.jsonl": [account(n) for n in range(20)]}
    world = World(folder, files)
    with Server(world.folder) as server:
        server.sandbox.faults.switch_on([{"fault": "slow", "seconds": 0.002}, {"fault": "truncated", "rate": 0.02}], seed)
        for left in range(kills, -1, -1):
            process = PROCESSES.Process(target=extract_all, args=(server.url, world.home))
            process.start()
            if left:
                until = len(server.sandbox.requests) + chance.randint(1, 60)
                while len(server.sandbox.requests) < until and process.is_alive():
                    time.sleep(0.001)
                time.sleep(chance.random() / 50)
                process.kill()
            process.join(timeout=120)
            assert process.exitcode in ((0, -signal.SIGKILL) if left else (0,))
    found = held(world.rows())
    streams = ["accounts", "users", *(f"messages/{UNA}/{each}" for each in FOLDER_IDS if each != "New")]
    for stream in streams:
        assert found[stream] == expected(world, stream)
    assert len(found["accounts"]) == 20
    assert_each_page_is_landed_once(world)


@pytest.mark.parametrize("seed", range(KILLED_SEEDS))
def test_a_process_killed_at_any_moment_loses_nothing(tmp_path, seed):
    killed_drill(tmp_path, seed, kills=2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_processes_killed_again_and_again_lose_nothing(tmp_path, seed):
    killed_drill(tmp_path, seed, kills=6)
