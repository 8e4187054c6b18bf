"""Mail that is worked out in portions, with little memory, is what it is when it is worked out at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from jobs.normalise import mail_update, monthly, shards, threads
from jobs.normalise.monthly import OUTPUTS
from jobs.normalise.shelf import Shelf, shelf_in
from jobs.normalise.side_by_side import side_by_side
from jobs.normalise.tables import Normalised, Rules, normalised
from tests.normalise.world import World

CLEO, DAN = "cleo@acme.example", "dan@acme.example"


def many_mails() -> World:
    """Twelve threads over half a year: sent and received copies, replies, and copies without a message id beside such with one."""
    world = World()
    for number in range(12):
        first = datetime(2026, 1, 3, 9, tzinfo=UTC) + timedelta(days=14 * number)
        for place in range(3):
            at = (first + timedelta(days=place)).strftime("%Y-%m-%dT%H:%M:%SZ")
            to = ["una@ours.example", "bo@ours.example"]
            mail = {"author": CLEO, "to": to, "at": at, "subject": f"Subject {number % 4}"}
            headers = [("References", f"<t{number}p0@mid.example>")] if place else None
            name = f"t{number}p{place}"
            world.mail("una", "inbox", id=name, headers=headers, **mail)
            message_id = None if number % 3 == 0 else f"<{name}@mid.example>"
            world.mail("bo", "inbox", id=f"{name}b", message_id=message_id, **mail)
        world.mail("cem", "sentitems", id=f"alone{number}", author="cem@ours.example", to=[DAN], message_id=None, at=at)
    world.crm_mail("tracked", (1, CLEO), (2, "una@ours.example"), messageid="<t5p0@mid.example>")
    return world


def published(result: Normalised) -> dict[str, dict[str, object]]:
    return {month: {name: tables[name].rows.collect() for name in OUTPUTS} for month, tables in result.mail.months.items()}


@pytest.mark.parametrize("rows", [1, 7, 30])
def test_portions_on_disk_give_what_one_portion_in_memory_gives(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = many_mails()
    expected = published(world.normalised())
    assert sum(len(tables["activity"]) for tables in expected.values()) == 48, "every copy without an id found its email"
    monkeypatch.setattr(mail_update, "SHARD_ROWS", rows)
    monkeypatch.setattr(shards, "WAITING_BYTES", 1000)
    for module, name in ((threads, "ROWS_AT_A_TIME"), (monthly, "MANY_ROWS")):
        monkeypatch.setattr(module, name, rows)
    with shelf_in(tmp_path) as shelf:
        shelf.memory_bytes = 0
        found = published(normalised(world.raw(), Rules(), shelf=shelf))
        assert any(tmp_path.rglob("*.piece"))
    assert not any(tmp_path.iterdir()), "nothing is left behind"
    assert list(found) == list(expected)
    for month, tables in expected.items():
        for name, table in tables.items():
            assert_frame_equal(found[month][name], table)


def test_a_shelf_forgets_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / "shelf-left").mkdir()
    (tmp_path / "shelf-left" / "0.piece").touch()
    with shelf_in(tmp_path) as shelf:
        assert isinstance(shelf, Shelf)
        assert not (tmp_path / "shelf-left").exists()


def test_memory_of_frames_that_were_taken_is_free_for_others(tmp_path: Path) -> None:
    frame = pl.DataFrame({"number": list(range(1000))})
    shelf = Shelf(tmp_path, memory_bytes=int(frame.estimated_size()))
    first, second = shelf.put(frame), shelf.put(frame)
    assert len([*tmp_path.iterdir()]) == 1, "one fits into memory"
    for taken in (shelf.take([first]), shelf.take([second])):
        assert_frame_equal(taken[0], frame)
    shelf.put(frame)
    assert len([*tmp_path.iterdir()]) == 1
    shelf.put(frame)
    assert len([*tmp_path.iterdir()]) == 2


def test_items_are_worked_on_two_at_a_time_and_answered_in_order() -> None:
    asked, meet = [], Barrier(2, timeout=30)

    def items() -> Iterator[int]:
        for number in range(6):
            asked.append(number)
            yield number

    def work(number: int) -> int:
        meet.wait()
        return number * number

    answers = side_by_side(work, items())
    assert next(answers) == 0
    assert len(asked) <= 3, "what is not yet needed is not asked for"
    assert [*answers] == [1, 4, 9, 16, 25]


def test_an_error_in_one_item_ends_the_whole() -> None:
    def work(number: int) -> int:
        return 1 // (number - 2)

    with pytest.raises(ZeroDivisionError):
        [*side_by_side(work, range(9))]
