"""Maintenance of the raw log changes no result, whatever else is running."""

import json
import shutil

import pytest
from filelock import FileLock

from jobs.errors import RapportError
from jobs.extract import compact, overview
from jobs.extract.files import stream_folder
from jobs.extract.log import StreamLog
from jobs.extract.retention import drop_replaced, maintain
from jobs.normalise.job import normalise
from tests.extract.test_recovery import Crash, dying_at_file_operation
from tests.extract.world import UNA, World, account, assert_holds_the_tenant, guid, mailbox, message


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Accounts and mail that changed over three weeks of daily runs, with a complete listing a week."""
    world = World(
        tmp_path_factory.mktemp("grown"),
        {"dataverse/accounts.jsonl": [account(1), account(2)], **mailbox([message("m1"), message("m2")])},
    )
    world.given = {"reconcile_days": 7, "keep_raw_days": 10}
    gone = {"id": guid(2), "@removed": {"reason": "deleted"}}
    for day in range(22):
        world.crm("accounts", "contacts")
        world.exchange()
        mail = [message("m1", subject=f"v{day}"), message(f"day{day}")]
        mail += [{"id": "m2", "@removed": {"reason": "deleted"}}] if day == 3 else []
        accounts = [account(1, name=f"v{day}"), *([gone] if day == 3 else [])]
        world.step({"dataverse/accounts.jsonl": accounts, f"graph/{UNA}/messages.jsonl": mail})
        world.clock.pass_by(days=1)
    world.crm("accounts", "contacts")
    return world


@pytest.fixture
def world(grown, tmp_path, monkeypatch):
    """The grown world with a home of its own."""
    monkeypatch.setattr(grown, "home", shutil.copytree(grown.home, tmp_path / "home"))
    return grown


def normalised(world):
    """The files of the normalised lake by table; they are named by their content."""
    normalise(world.home, world.settings, "run")
    return json.loads((world.home / "lake" / "normalised" / "snapshot.json").read_text())["tables"]


def on_disk(world):
    return set(overview.read_pages(world.home).collect()["payload"])


def test_replaced_rows_go_after_their_days_and_no_result_changes(world):
    before, payloads = normalised(world), on_disk(world)
    done = maintain(world.settings, "maintenance", world.clock.at)
    assert done["rows_dropped"] > 15 and done["files_after"] < done["files_before"]
    assert normalised(world) == before
    lost = {text for text in payloads - on_disk(world) if text and "accountid" in text}
    assert any(guid(2) in text for text in lost) and any('"v2"' in text for text in lost)
    assert not any('"v15"' in text or "internetMessageId" in text for text in lost)
    world.clock.pass_by(hours=1)
    assert not world.crm("accounts", "contacts").partial and not world.exchange().partial
    assert_holds_the_tenant(world)
    assert maintain(world.settings, "maintenance", world.clock.at)["rows_dropped"] == 0


def test_everything_stays_on_request(world):
    rows = world.rows()
    maintain(world.settings.model_copy(update={"keep_raw_days": 0}), "maintenance", world.clock.at)
    assert world.rows().equals(rows)


@pytest.mark.parametrize("step", range(1, 40, 9))
def test_maintenance_that_dies_changes_no_result(world, monkeypatch, step):
    before = normalised(world)
    with dying_at_file_operation(monkeypatch, step), pytest.raises(Crash):
        maintain(world.settings, "maintenance", world.clock.at)
    assert normalised(world) == before
    maintain(world.settings, "maintenance", world.clock.at)
    assert normalised(world) == before


def test_maintenance_waits_for_nobody(tmp_path, monkeypatch):
    world = World(tmp_path, {"dataverse/accounts.jsonl": [account(1)]})
    world.crm("accounts", "contacts")
    for held, text in (("locks/maintenance.lock", "maintaining"), ("lake/normalised/.lock", "normalising")):
        (world.home / held).parent.mkdir(parents=True, exist_ok=True)
        with FileLock(world.home / held), pytest.raises(RapportError, match=text):
            maintain(world.settings, "maintenance", world.clock.at)
    monkeypatch.setattr(compact, "FEWEST_FILES", 0)
    with StreamLog(world.home, "dataverse", "accounts", "run").locked():
        assert drop_replaced(world.home, "maintenance", world.clock.at) == 0
        maintain(world.settings, "maintenance", world.clock.at)
    assert stream_folder(world.home, "dataverse", "accounts").exists()
