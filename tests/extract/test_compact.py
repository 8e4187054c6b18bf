"""Compaction: fewer files, the same log, whenever it dies."""

import shutil

import pytest

from jobs.extract import compact as compaction
from jobs.extract import log
from jobs.extract.compact import compact
from jobs.extract.files import stream_files, stream_folder, write_durably
from jobs.extract.log import read_state
from tests.extract.test_recovery import Crash, dying_at_file_operation
from tests.extract.world import World, account, assert_holds_the_tenant, guid


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A world after thirteen runs, each of which landed a file a stream."""
    world = World(tmp_path_factory.mktemp("grown"), {"dataverse/accounts.jsonl": [account(1)]})
    world.crm("accounts", "contacts")
    for number in range(12):
        gone = {"id": guid(number % 3), "@removed": {"reason": "deleted"}}
        world.step({"dataverse/accounts.jsonl": [account(number % 5, name=f"v{number}"), gone]})
        world.crm("accounts", "contacts")
    return world


@pytest.fixture
def world(grown, tmp_path, monkeypatch):
    """The grown world with a home of its own."""
    monkeypatch.setattr(grown, "home", shutil.copytree(grown.home, tmp_path / "home"))
    return grown


def test_compaction_merges_files_and_changes_no_row(world):
    folder = stream_folder(world.home, "dataverse", "accounts")
    rows, state = world.rows(), read_state(folder)
    assert compact(world.home, "maintenance") == {"files_before": 26, "files_after": 4}
    assert world.rows().equals(rows) and read_state(folder) == state
    assert len(stream_files(folder)) == 2
    world.crm("accounts", "contacts")
    assert_holds_the_tenant(world)
    assert compact(world.home, "maintenance")["files_after"] == 6


@pytest.mark.parametrize("step", range(1, 22))
def test_compaction_that_dies_leaves_every_row_once(world, monkeypatch, step):
    folder = stream_folder(world.home, "dataverse", "accounts")
    rows = world.rows("accounts")
    with dying_at_file_operation(monkeypatch, step) as (countdown, patched):
        patched.setattr(compaction, "write_durably", countdown.over(write_durably))
        try:
            compact(world.home, "maintenance")
        except Crash:
            assert countdown.left == 0
    world.crm("contacts")
    with log.StreamLog(world.home, "dataverse", "accounts", "run").locked():
        pass
    assert world.rows("accounts").equals(rows)
    compact(world.home, "maintenance")
    assert world.rows("accounts").equals(rows) and len(stream_files(folder)) == 2
