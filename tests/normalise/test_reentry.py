"""Quarantine and the way back: a record that is mended at the source leaves it, and so does one that is gone (N52, N54)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.normalise.home import run, table
from tests.normalise.world import World, guid, mailbox_id

CLEO, UNA = "cleo@acme.example", "una@ours.example"
NEVER, THEN = "2026-13-45T00:00:00Z", "2026-06-10T10:00:00Z"
BOX = mailbox_id("una")

# Each writes the record with a time; its stream and id.
RECORDS: dict[str, tuple[Callable[[World, str], Any], str, str]] = {
    "mail": (lambda world, at: world.mail("una", "inbox", "m", CLEO, [UNA], at=at), f"messages/{BOX}/inbox", "m"),
    "event": (lambda world, at: world.event("una", "e", UNA, [CLEO], start=at[:-1], end=None), f"calendarView/{BOX}", "e"),
    "email": (lambda world, at: world.crm_mail("crm", (1, UNA), senton=at), "emails", guid("crm")),
    "appointment": (lambda world, at: world.appointment("app", (7, UNA), scheduledstart=at), "appointments", guid("app")),
    "call": (
        lambda world, at: world.call("call", (1, UNA), actualend=at.replace("2026-13-45", "2150-01-01")), "phonecalls", guid("call")),
    "task": (
        lambda world, at: world.add("tasks", guid("task"), scheduledend=at.replace("2026-13-45", "2150-01-01")), "tasks", guid("task")),
}  # fmt: skip


def standing(world: World, home: Path) -> tuple[int, int]:
    """How many records are in quarantine, and how many activities there are; the same at once and from run to run."""
    grown = run(world, home / "grown")
    whole = run(world, home / f"whole-{len(world.rows)}")
    assert (grown["tables"], grown["conservation"]) == (whole["tables"], whole["conservation"])
    assert all(not counts["unbalanced_streams"] for counts in grown["conservation"].values())
    return grown["row_counts"]["quarantine"], grown["row_counts"]["activity"]


@pytest.mark.parametrize("family", RECORDS)
def test_a_record_that_is_mended_leaves_quarantine_and_one_that_breaks_enters_it(family: str, tmp_path: Path) -> None:
    write, stream, name = RECORDS[family]
    world = World()
    write(world, NEVER)
    assert standing(world, tmp_path) == (1, 0)
    (row,) = table(tmp_path / "grown", "quarantine").to_dicts()
    assert (row["stream"], row["record_id"]) == (stream, name)
    world.later()
    write(world, THEN)
    assert standing(world, tmp_path) == (0, 1)
    world.later()
    write(world, NEVER)
    assert standing(world, tmp_path) == (1, 0)


@pytest.mark.parametrize("family", RECORDS)
def test_a_record_that_is_removed_leaves_quarantine(family: str, tmp_path: Path) -> None:
    write, stream, name = RECORDS[family]
    world = World()
    write(world, NEVER)
    assert standing(world, tmp_path) == (1, 0)
    world.later()
    world.remove(stream, name)
    assert standing(world, tmp_path) == (0, 0)


@pytest.mark.parametrize("family", RECORDS)
def test_a_record_that_a_complete_listing_does_not_show_leaves_quarantine(family: str, tmp_path: Path) -> None:
    write, stream, _ = RECORDS[family]
    world = World()
    write(world, NEVER)
    assert standing(world, tmp_path) == (1, 0)
    world.later("full")
    world.end_round(stream)
    assert standing(world, tmp_path) == (0, 0)


TABLES = ("accounts", "contacts", "leads", "opportunities", "systemusers", "teams", "connections", "activityparties", "emails",
          "appointments", "phonecalls", "tasks")  # fmt: skip
STREAMS = [
    *(("dataverse", name) for name in TABLES),
    *(("graph", name) for name in ("users", f"mailFolders/{BOX}", f"messages/{BOX}/inbox", f"calendarView/{BOX}")),
]


@pytest.mark.parametrize(("source", "stream"), STREAMS)
def test_what_could_not_be_taken_in_leaves_quarantine_with_the_next_complete_listing(
    source: str, stream: str, tmp_path: Path
) -> None:
    world = World()
    world.put(source, stream, None, {"reason": "not_json", "length": 7, "sha256": "ab"}, op="reject")
    assert standing(world, tmp_path) == (1, 0)
    world.later("delta")
    world.end_round(stream)
    assert standing(world, tmp_path) == (1, 0)
    world.later("full")
    for row in [row for row in world.rows if row["stream"] == stream and row["op"] == "upsert"]:
        world.repeat(source, stream, row["record_id"], row["payload"])
    world.end_round(stream)
    assert standing(world, tmp_path) == (0, 0)
