"""The raw log as state: cursors, durability, watermarks."""

import json
import os
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from jobs.extract import overview, parking
from jobs.extract.errors import SourceError
from jobs.extract.files import SCHEMA, stream_folder
from jobs.extract.log import Page, StreamLog, read_state
from tests.extract.world import START


def page(at, this, number, *, link="/next", kind="next", rows=(), **facts):
    return Page(
        this,
        number,
        [("upsert", name, b"{}") for name in rows],
        {"received": len(rows), "dropped": {}, "unknown_keys": {}, **facts},
        link,
        kind,
        at,
    )


def test_a_page_counts_only_once_it_is_durable(tmp_path):
    with StreamLog(tmp_path, "graph", "users", "r").locked() as stream:
        this = stream.next_round("full", START)
        stream.append(page(START, this, 0, rows=["a"]))
        assert read_state(stream.folder) is None
        stream.flush()
        stream.append(page(START, this, 1, link="/lost"))
    state = read_state(stream.folder)
    assert (state.round.number, state.page, state.link_next) == (1, 0, "/next")


def test_the_last_page_tells_all_that_later_rounds_need(tmp_path):
    later = START + timedelta(hours=1)
    with StreamLog(tmp_path, "graph", "messages/u/F", "r").locked() as stream:
        stream.append(page(START, stream.next_round("full", START), 0, link="/d", kind="delta", history_start="2025-06-01"))
        stream.flush()
    with StreamLog(tmp_path, "graph", "messages/u/F", "r").locked() as stream:
        this = stream.next_round("delta", later)
        stream.append(page(later, this, 0))
        stream.append(page(later, this, 1, link="/e"))
        stream.flush()
    state = read_state(stream.folder)
    assert (state.last_complete_at, state.last_full_at, state.history_start.isoformat()) == (START, START, "2025-06-01")
    assert (state.round.kind, state.page, state.link_next, state.link_kind) == ("delta", 1, "/e", "next")


def test_what_an_unfinished_list_has_seen_moves_no_cursor(tmp_path):
    stream = StreamLog(tmp_path, "graph", "messageHeaders/u/F", "r")
    with stream.locked():
        stream.append(page(START, stream.next_round("list", START), 0, largest_modified="2026-05-02T00:00:00Z"))
        stream.flush()
    assert read_state(stream.folder).modified_to is None
    with stream.locked():
        this = stream.next_round("list", START)
        stream.append(page(START, this, 0, largest_modified="2026-05-02T00:00:00Z"))
        stream.append(page(START, this, 1, link=None, kind="none", largest_modified="2026-05-03T00:00:00Z"))
        stream.flush()
    assert read_state(stream.folder).modified_to == "2026-05-03T00:00:00Z"


def test_rows_have_the_columns_and_order_of_the_log(tmp_path):
    with StreamLog(tmp_path, "dataverse", "accounts", "run-1").locked() as stream:
        this = stream.next_round("full", START)
        stream.append(page(START, this, 0, rows=["a", "b"]))
        stream.append(page(START, this, 1, link="/d", kind="delta"))
        stream.flush()
    (file,) = stream.folder.glob("*.parquet")
    table = pq.read_table(file)
    assert table.schema.names == SCHEMA.names and table.schema.types == SCHEMA.types
    assert table["row"].to_pylist() == [0, 1, 2, 0] and table["op"].to_pylist() == ["page", "upsert", "upsert", "page"]
    assert table["link_next"].to_pylist() == ["/next", None, None, "/d"]
    assert json.loads(table["payload"][0].as_py())["received"] == 2


def test_streams_that_differ_by_case_or_hold_odd_characters_have_folders_of_their_own(tmp_path):
    names = ["messages/u/AAMk=", "messages/u/aamk=", "messages/u/../../etc", "messages/u/a/b"]
    folders = {stream_folder(tmp_path, "graph", name) for name in names}
    assert len(folders) == 4
    assert all(
        folder.parent == tmp_path / "lake" / "raw" / "graph" / "messages" / "u" and ".." not in folder.name for folder in folders
    )


def test_a_damaged_file_is_named(tmp_path):
    folder = stream_folder(tmp_path, "graph", "users")
    folder.mkdir(parents=True)
    (folder / "00000001-00000000.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match=r"00000001-00000000\.parquet cannot be read"):
        read_state(folder)


def test_leftovers_of_a_crash_are_removed(tmp_path):
    stream = StreamLog(tmp_path, "graph", "users", "r")
    stream.folder.mkdir(parents=True)
    leftover = stream.folder / ".00000001-00000000.parquet.tmp"
    leftover.write_bytes(b"half")
    with stream.locked():
        assert not leftover.exists()


def test_full_disk_is_one_clear_error_and_leaves_the_state(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with StreamLog(tmp_path, "graph", "users", "r").locked() as stream:
        stream.append(page(START, stream.next_round("full", START), 0))
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SourceError, match=r"cannot write to .*users: No space left on device"):
            stream.flush()
    assert read_state(stream.folder) is None


def test_watermarks_name_live_streams_and_why_others_are_parked(tmp_path):
    for name in ("mailFolders/u", "messages/u/F", "calendarView/u", "calendarView/v"):
        with StreamLog(tmp_path, "graph", name, "r").locked() as stream:
            stream.append(page(START, stream.next_round("full", START), 0, link="/d", kind="delta"))
            stream.flush()
    parking.park(tmp_path, "graph", "mailFolders/u", "HTTP 403", START, timedelta(days=1))
    parking.park(tmp_path, "dataverse", "leads", "HTTP 403", START, timedelta(days=1))
    parking.retire(stream_folder(tmp_path, "graph", "calendarView/v"), "graph", "calendarView/v", "gone", START)
    marks = {
        mark["stream"]: (mark["last_complete_round_started_at"], mark["parked_reason"]) for mark in overview.watermarks(tmp_path)
    }
    assert marks == {name: (START, "HTTP 403") for name in ("mailFolders/u", "messages/u/F", "calendarView/u")} | {
        "leads": (None, "HTTP 403")
    }


def test_parking_again_keeps_since_when(tmp_path):
    parking.park(tmp_path, "graph", "users", "one", START, timedelta(hours=1))
    mark = parking.park(tmp_path, "graph", "users", "two", START + timedelta(hours=2), timedelta(hours=1))
    assert (mark.since, mark.next_try, mark.reason) == (START, START + timedelta(hours=3), "two")
    assert parking.parked(tmp_path) == [mark]


def test_an_empty_home_reads_as_an_empty_log(tmp_path):
    assert (
        overview.read_pages(tmp_path).collect().height == 0
        and overview.watermarks(tmp_path) == []
        and overview.history_start(overview.read_pages(tmp_path).collect()) is None
    )
