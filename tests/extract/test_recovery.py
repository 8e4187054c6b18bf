"""Whatever the source does and wherever a run dies, the raw log ends up saying what the tenant holds: nothing lost, nothing twice."""

import os
import random
from typing import Any

import polars as pl
import pytest

from jobs.extract import log
from jobs.extract.errors import SourceError
from sandbox.faults import HARMLESS
from tests.extract.world import FOLDERS, UNA, World, account, assert_holds_the_tenant, event, mailbox, message

SEEDS = 60
FOLDER_IDS = ["Inbox", "Sent", "Below", "Junk"]
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


def random_message(chance: random.Random, number: int) -> dict[str, Any]:
    at = f"2026-05-{chance.randint(1, 28):02d}T{chance.randint(0, 23):02d}:00:00Z"
    return message(f"m{number}", chance.choice(FOLDER_IDS), at=at, subject=f"v{chance.random()}")


def random_event(chance: random.Random, number: int) -> dict[str, Any]:
    is_occurrence = chance.random() < 0.3
    more = {"type": "occurrence", "seriesMasterId": "master"} if is_occurrence else {}
    return event(
        f"e{number}", f"2026-{chance.randint(4, 8):02d}-{chance.randint(1, 28):02d}", subject=f"v{chance.random()}", **more
    )


def random_tenant(chance: random.Random) -> dict[str, list[Any]]:
    master = event("master", "2026-01-01", type="seriesMaster")
    files = mailbox(
        [random_message(chance, n) for n in range(chance.randint(0, 14))],
        [master, *(random_event(chance, n) for n in range(chance.randint(0, 9)))],
        PLAIN_FOLDERS,
    )
    return {**files, "dataverse/accounts.jsonl": [account(n) for n in range(chance.randint(0, 12))]}


def random_changes(chance: random.Random) -> dict[str, list[Any]]:
    """Records that come, change, move and go."""

    def some(most: int, make: Any, key: str) -> list[Any]:
        made = [make(chance, n) for n in chance.sample(range(most), chance.randint(0, most // 2))]
        return [{"id": r[key], "@removed": {"reason": "deleted"}} if chance.random() < 0.3 else r for r in made]

    return {
        f"graph/{UNA}/messages.jsonl": some(18, random_message, "id"),
        f"graph/{UNA}/events.jsonl": some(12, random_event, "id"),
        "dataverse/accounts.jsonl": some(15, lambda c, n: account(n, name=f"v{c.random()}"), "accountid"),
    }


def run_until_done(world: World, crasher: Crasher, chance: random.Random, crashes: int) -> None:
    """Both extractors, dying now and then and started again."""
    for extract in (lambda: world.crm("accounts", "contacts"), world.exchange):
        for attempt in range(crashes + 1):
            crasher.left = chance.randint(1, 120) if attempt < crashes else None
            try:
                extract()
            except (Crash, SourceError):
                continue
    crasher.left = None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_raw_log_replays_to_the_tenant_through_faults_and_crashes(tmp_path, monkeypatch, seed):
    chance = random.Random(seed)
    world = World(tmp_path, random_tenant(chance))
    world.clock.seed = seed
    crasher = Crasher(monkeypatch)
    world.transport = crasher.around(world.transport)
    world.given = {
        "page_size": chance.randint(1, 4),
        "crm_page_size": chance.randint(1, 4),
        "reconcile_days": chance.choice([0, 1, 7]),
    }
    monkeypatch.setattr(log, "BUFFER_PAGES", chance.randint(1, 3))
    for _ in range(chance.randint(1, 3)):
        faults = chance.sample(HARMLESS, chance.randint(1, 6))
        world.sandbox.faults.switch_on([{"fault": name, "rate": chance.choice([0.05, 0.3])} for name in faults], seed)
        run_until_done(world, crasher, chance, chance.randint(0, 2))
        world.step(random_changes(chance))
        world.clock.pass_by(hours=chance.choice([1, 30]))
    world.sandbox.faults.switch_on([])
    world.clock.pass_by(days=2)
    reports = [world.crm("accounts", "contacts"), world.exchange()]
    assert not any(report.partial for report in reports)
    assert_holds_the_tenant(world)
    assert_each_page_is_landed_once(world)


def assert_each_page_is_landed_once(world: World) -> None:
    rows = world.rows()
    assert rows.select("source", "stream", "round", "page", "row").is_duplicated().sum() == 0
    pages = (
        rows.filter(op="page")
        .group_by("stream", "round")
        .agg(first=pl.col("page").min(), last=pl.col("page").max(), count=pl.len())
    )
    assert (pages["last"] - pages["first"] + 1).to_list() == pages["count"].to_list()
