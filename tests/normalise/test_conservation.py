"""Conservation of counts: every received row has one outcome, and a row that is lost between stages is seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.normalise import mail_update, meetings, other_update, raw
from jobs.normalise.shelf import Finished
from tests.normalise.home import land, manifest_of, run, stage
from tests.normalise.world import World

CLEO, UNA = "cleo@acme.example", "una@ours.example"


def first_day() -> World:
    world = World()
    for number in range(3):
        world.mail("una", "inbox", f"m{number}", CLEO, [UNA])
        world.event("una", f"e{number}", UNA, [CLEO])
        world.crm_mail(f"crm{number}", (1, UNA), (2, CLEO))
        world.appointment(f"app{number}", (7, UNA), (5, CLEO))
        world.call(f"call{number}", (1, UNA), (2, CLEO))
        world.add("tasks", f"{number:08}-0000-4000-8000-000000000000", statecode=1, actualend="2026-06-10T10:00:00Z")
    return world


def next_day(world: World) -> None:
    world.later()
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    world.mail("una", "inbox", "late", CLEO, [UNA], at="never")
    world.event("una", "e1", UNA, [CLEO, "dan@acme.example"])
    world.remove("phonecalls", world.call("call1", (1, UNA)))
    world.crm_mail("crm9", (1, UNA), statecode=0)
    world.add("tasks", "00000000-0000-4000-8000-000000000000", statecode=0)


FAMILIES = {"messages", "calendarView", "emails", "appointments", "phonecalls", "tasks"}


def unbalanced(conservation: dict[str, dict[str, int]]) -> set[str]:
    """Kinds of streams whose rows are not all accounted for."""
    told = ("received", "unbalanced_streams")
    return {
        family
        for family, counts in conservation.items()
        if counts["unbalanced_streams"] or counts["received"] != sum(n for name, n in counts.items() if name not in told)
    }


def test_every_row_is_accounted_for_at_once_and_from_day_to_day(tmp_path: Path) -> None:
    world = first_day()
    first = run(world, tmp_path)["conservation"]
    assert (set(first), unbalanced(first)) == (FAMILIES, set())
    next_day(world)
    second = run(world, tmp_path)["conservation"]
    assert unbalanced(second) == set()
    assert {family: counts["received"] for family, counts in second.items()} == {
        "messages": 5, "calendarView": 4, "emails": 4, "appointments": 3, "phonecalls": 5, "tasks": 4
    }  # fmt: skip
    assert second["phonecalls"] == {"kept": 2, "received": 5, "removed": 2, "duplicate": 1, "unbalanced_streams": 0}
    assert second["emails"] == {"ignored:state": 1, "kept": 3, "received": 4, "unbalanced_streams": 0}
    assert second == run(world, tmp_path / "at-once")["conservation"]


def lose_copy(copies: Callable[..., Any]) -> Callable[..., Any]:
    """`dataverse_copies` of meetings without the last one."""

    def losing(*given: Any) -> Any:
        found = copies(*given)
        return type(found)(**{**vars(found), "copies": found.copies.filter(pl.col("copy") < pl.col("copy").max())})

    return losing


def lose_fresh(fresh: Callable[..., Any]) -> Callable[..., Any]:
    """`_fresh` copies of mail without the last one."""

    def losing(*given: Any) -> Any:
        found = fresh(*given)
        return {**found, "copy": found["copy"].head(-1)}

    return losing


def lose_row(read: Callable[..., pl.DataFrame]) -> Callable[..., pl.DataFrame]:
    """`_read` of raw rows that loses one call."""
    is_lost = (pl.col("stream") == "phonecalls") & (pl.col("payload").str.contains("2026-06-10")) & (pl.col("row") == 3)
    return lambda *given: read(*given).filter(~is_lost)


def twice(update: Callable[..., Any]) -> Callable[..., Any]:
    """`update` of the other activities that tells a task twice."""

    def task_in(copies: pl.LazyFrame) -> pl.LazyFrame:
        return copies.filter(pl.col("stream") == "tasks").head(1)

    def telling(*given: Any) -> Any:
        found = update(*given)
        months = {
            month: {**tables, "copy": Finished(pl.concat([tables["copy"].rows, task_in(tables["copy"].rows)]))}
            for month, tables in found.months.items()
        }
        return type(found)(**{**vars(found), "months": months})

    return telling


@pytest.mark.parametrize(
    ("module", "name", "defect", "lost"),
    [
        (mail_update, "_fresh", lose_fresh, {"messages", "emails"}),
        (meetings, "dataverse_copies", lose_copy, {"appointments"}),
        (raw, "_read", lose_row, {"phonecalls"}),
        (other_update, "update", twice, {"tasks"}),
    ],
)
def test_a_row_that_is_lost_or_told_twice_between_stages_is_seen(
    module: Any, name: str, defect: Any, lost: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, defect(getattr(module, name)))
    assert unbalanced(run(first_day(), tmp_path)["conservation"]) == lost


def test_a_copy_that_is_lost_on_a_later_day_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = first_day()
    run(world, tmp_path)
    next_day(world)
    monkeypatch.setattr(mail_update, "_members", lambda fresh, replaced, *rest: replaced.head(0))
    world.mail("bo", "inbox", "again", CLEO, [UNA], message_id="<m0@mid.example>")
    assert unbalanced(run(world, tmp_path)["conservation"]) == {"messages"}


def test_rows_that_a_killed_compaction_left_in_two_files_are_read_once(tmp_path: Path) -> None:
    world = first_day()
    world.later()
    world.mail("una", "inbox", "m1", CLEO, [UNA], at="2026-06-11T10:00:00Z")
    expected = run(world, tmp_path / "a")
    land(world, tmp_path / "b")
    folder = next(file.parent for file in (tmp_path / "b").rglob("000001.parquet"))
    both = [pl.read_parquet(folder / f"{number:06}.parquet") for number in (0, 1)]
    pl.concat(both).write_parquet(folder / "000000.parquet")
    rows = both[0].height + both[1].height
    (folder / "merge.json").write_text(json.dumps({"into": "000000.parquet", "rows": rows, "merged": ["000001.parquet"]}))
    stage(tmp_path / "b")
    assert manifest_of(tmp_path / "b")["conservation"] == expected["conservation"]
    (folder / "merge.json").write_text(json.dumps({"into": "000000.parquet", "rows": rows + 1, "merged": ["000001.parquet"]}))
    both[0].write_parquet(folder / "000000.parquet")
    stage(tmp_path / "b")
    assert manifest_of(tmp_path / "b")["snapshot_id"] == expected["snapshot_id"]
