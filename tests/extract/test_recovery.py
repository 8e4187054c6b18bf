"""Whatever the source does and wherever a run dies, the raw log ends up saying what the tenant holds: nothing lost, nothing twice."""

import os
import random
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from jobs.extract import log
from jobs.extract.errors import SourceError
from sandbox.faults import HARMLESS
from sandbox.server import Server
from tests.extract.world import FOLDERS, UNA, World, account, assert_holds_the_tenant, event, expected, held, mailbox, message

SEEDS = 60
FOLDER_IDS = ["Inbox", "Sent", "Below", "Junk"]
# a feed that repeats itself leaves out what came and went in between, so what it holds is no longer the tenant's
PASSING = [name for name in HARMLESS if name != "equal_delta_link"]
PLAIN_FOLDERS = [{k: v for k, v in folder.items() if v != "inbox"} for folder in FOLDERS]


class Crash(BaseException):
    """The process dies here."""


class Crasher:
    """Dies at the nth step of a run, steps being requests, answers, and file operations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.steps = 0
        for name in ("replace", "fsync"):
            real = getattr(os, name)
            monkeypatch.setattr(log.os, name, self._dying(real))

    def step(self) -> None:
        self.steps += 1
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                raise Crash

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
                self.step()
                answer = inner.handle_request(request)
                self.step()
                return answer

        return Dying(inner.sandbox)


def random_message(chance: random.Random, number: int, modified: str = "2026-05-29T00:00:00Z") -> dict[str, Any]:
    at = f"2026-05-{chance.randint(1, 28):02d}T{chance.randint(0, 23):02d}:00:00Z"
    reply = (
        {"internetMessageHeaders": [{"name": "In-Reply-To", "value": f"<{chance.random()}@mid>"}]}
        if chance.random() < 0.5
        else {}
    )
    return message(
        f"m{number}", chance.choice(FOLDER_IDS), at, subject=f"v{chance.random()}", **reply, lastModifiedDateTime=modified
    )


def random_event(chance: random.Random, number: int, modified: str = "") -> dict[str, Any]:
    is_occurrence = chance.random() < 0.3
    more = {"type": "occurrence", "seriesMasterId": "master"} if is_occurrence else {}
    return event(
        f"e{number}", f"2026-{chance.randint(4, 8):02d}-{chance.randint(1, 28):02d}", subject=f"v{chance.random()}", **more
    )


def random_account(chance: random.Random, number: int, modified: str = "") -> dict[str, Any]:
    return account(number, name=f"v{chance.random()}")


def random_tenant(chance: random.Random) -> dict[str, list[Any]]:
    master = event("master", "2026-01-01", type="seriesMaster")
    files = mailbox(
        [random_message(chance, n) for n in range(chance.randint(0, 14))],
        [master, *(random_event(chance, n) for n in range(chance.randint(0, 9)))],
        PLAIN_FOLDERS,
    )
    return {**files, "dataverse/accounts.jsonl": [random_account(chance, n) for n in range(chance.randint(0, 12))]}


def random_changes(chance: random.Random, at: datetime) -> dict[str, list[Any]]:
    """Records that come, change, move and go at an instant."""

    def some(most: int, make: Any, key: str) -> list[Any]:
        numbers = chance.sample(range(most), chance.randint(0, most // 2))
        made = [make(chance, n, f"{at:%Y-%m-%dT%H:%M:%SZ}") for n in numbers]
        return [{"id": r[key], "@removed": {"reason": "deleted"}} if chance.random() < 0.3 else r for r in made]

    return {
        f"graph/{UNA}/messages.jsonl": some(18, random_message, "id"),
        f"graph/{UNA}/events.jsonl": some(12, random_event, "id"),
        "dataverse/accounts.jsonl": some(15, random_account, "accountid"),
    }


def run_until_done(world: World, crasher: Crasher, chance: random.Random, crashes: int) -> int:
    """Both extractors, dying now and then and started again; returns how often they died."""
    died = 0
    for extract in (lambda: world.crm("accounts", "contacts"), world.exchange):
        for attempt in range(crashes + 1):
            crasher.left = chance.randint(1, 120) if attempt < crashes else None
            try:
                extract()
            except Crash:
                died += 1
            except SourceError:
                continue
    crasher.left = None
    return died


def drill(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> tuple[int, int]:
    """A tenant that changes under faults and crashes, then one clean run; returns crashes and faults that struck."""
    chance = random.Random(seed)
    world = World(folder, random_tenant(chance))
    world.clock.seed = seed
    crasher = Crasher(monkeypatch)
    world.transport = crasher.around(world.transport)
    sizes = {"page_size": chance.randint(1, 4), "crm_page_size": chance.randint(1, 4)}
    world.given = {**sizes, "reconcile_days": chance.choice([0, 1, 7])}
    monkeypatch.setattr(log, "BUFFER_PAGES", chance.randint(1, 3))
    died = struck = 0
    for _ in range(chance.randint(1, 3)):
        faults = chance.sample(PASSING, chance.randint(1, 6))
        world.sandbox.faults.switch_on([{"fault": name, "rate": chance.choice([0.05, 0.3])} for name in faults], seed)
        died += run_until_done(world, crasher, chance, chance.randint(0, 2))
        struck += sum(fault["struck"] for fault in world.sandbox.faults.counts())
        world.step(random_changes(chance, world.clock.at))
        world.clock.pass_by(hours=chance.choice([1, 30]))
    world.sandbox.faults.switch_on([])
    world.clock.pass_by(days=2)
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
    for folder in ("Sent", "Below"):
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
    outcomes = [drill(tmp_path / str(seed), monkeypatch, seed) for seed in range(1000, 1005)]
    assert sum(died for died, _ in outcomes) > 3 and sum(struck for _, struck in outcomes) > 20


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2000, 4000))
def test_raw_log_replays_to_the_tenant_for_thousands_of_seeds(tmp_path, monkeypatch, seed):
    drill(tmp_path, monkeypatch, seed)


RUN = """
import sys
from pathlib import Path
from jobs.extract.connection import Connection
from jobs.extract.crm import extract_crm
from jobs.extract.exchange import extract_group, list_mailboxes
from tests.extract.world import settings
url, home = sys.argv[1], Path(sys.argv[2])
given = settings(home, page_size=2, crm_page_size=2)
extract_crm(Connection(url + "/dataverse"), home, given, "run")
graph = Connection(url + "/graph")
extract_group(graph, list_mailboxes(graph, home, given, "run"), home, given, "run")
"""


def killed_drill(folder: Path, seed: int, kills: int) -> None:
    """Real processes, killed at random moments; the last one runs to its end."""
    chance = random.Random(seed)
    files = {**random_tenant(chance), "dataverse/accounts.jsonl": [account(n) for n in range(60)]}
    world = World(folder, files)
    world.given = {"page_size": 2, "crm_page_size": 2}
    with Server(world.folder) as server:
        server.sandbox.faults.switch_on([{"fault": "slow", "seconds": 0.01}])
        for left in range(kills, -1, -1):
            process = subprocess.Popen([sys.executable, "-c", RUN, server.url, str(world.home)], cwd=Path(__file__).parents[2])
            if left:
                seen = len(server.sandbox.requests)
                while len(server.sandbox.requests) == seen and process.poll() is None:
                    time.sleep(0.005)
                time.sleep(chance.random())
                process.kill()
                process.wait()
            else:
                assert process.wait(timeout=120) == 0
    found = held(world.rows())
    assert found["accounts"] == expected(world, "accounts") and len(found["accounts"]) == 60
    for mail_folder in FOLDER_IDS:
        stream = f"messages/{UNA}/{mail_folder}"
        assert found[stream] == expected(world, stream)
    assert_each_page_is_landed_once(world)


def test_a_process_killed_at_any_moment_loses_nothing(tmp_path):
    killed_drill(tmp_path, 1, kills=3)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_processes_killed_again_and_again_lose_nothing(tmp_path, seed):
    killed_drill(tmp_path, seed, kills=6)
