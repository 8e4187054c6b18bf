"""From run to run: what is worked out from new rows alone equals a full rebuild, and the snapshot names whatever changed."""

import random
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.extract import compact
from jobs.extract.files import raw_root
from jobs.extract.retention import drop_replaced
from jobs.normalise import raw
from jobs.normalise.snapshot import REACH
from tests.normalise.arrivals import CLEO, Cleaning, batches, random_world
from tests.normalise.home import arrive, changed, land, manifest_of, run, stage, table
from tests.normalise.world import World, mailbox_id


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_rows_and_files_changes_nothing(seed: int, tmp_path: Path) -> None:
    world = random_world(seed)
    expected = run(world, tmp_path / "a")
    assert expected["row_counts"]["activity"] > 10
    random.Random(seed).shuffle(world.rows)
    assert run(world, tmp_path / "b")["tables"] == expected["tables"]


@pytest.mark.parametrize("seed", [*range(10, 14), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(14, 40))])
def test_working_out_what_is_new_equals_a_full_rebuild(seed: int, tmp_path: Path) -> None:
    world = random_world(seed)
    arrived = batches(world, seed, 4)
    opt_out = tmp_path / "out.csv"
    opt_out.write_text("kind,value\n" + ("address,x@y.example\n" if seed % 2 else ""))
    settings = {"privacy_opt_out_file": opt_out, "collect_subjects": seed % 3 == 0}
    grown = tmp_path / "grown"
    before, known = None, None
    for number in range(1, len(arrived) + 1):
        land(world, grown, arrived[:number])
        stage(grown, **settings)
        whole = tmp_path / f"whole-{number}"
        land(world, whole, arrived[:number])
        stage(whole, **settings)
        assert_same(grown, whole)
        assert_balanced(world, arrived[:number], manifest_of(grown))
        now = {name: named_rows(grown, name) for name in REACH}
        if before is not None:
            is_same = manifest_of(grown)["snapshot_id"] == known
            assert_named(before, now, {} if is_same else changed(grown))
        before, known = now, manifest_of(grown)["snapshot_id"]
    last = manifest_of(grown)
    stage(grown, **settings)
    assert manifest_of(grown) == last


@pytest.mark.parametrize("seed", [41, 42, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(43, 60))])
def test_maintenance_between_rounds_changes_nothing(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "FEWEST_FILES", 0)
    chance = random.Random(seed)
    world = random_world(seed, steps=160)
    grown = tmp_path / "grown"
    arrived = batches(world, seed, 8)
    for number, batch in enumerate(arrived, start=1):
        arrive(world, grown, batch, number)
        if chance.random() < 0.3:
            drop_replaced(grown, "maintenance", datetime(2027, 1, 1, tzinfo=UTC))
        if chance.random() < 0.6:
            compact.compact(grown, "maintenance")
        if chance.random() < 0.5 or number == len(arrived):
            whole = tmp_path / f"whole-{number}"
            shutil.copytree(grown / "lake" / "raw", whole / "lake" / "raw")
            stage(grown)
            stage(whole)
            assert_same(grown, whole)


@pytest.mark.parametrize("seed", [60, 61, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(62, 80) if seed != 74)])
def test_dropping_deleted_mail_day_by_day_equals_dropping_it_at_once(seed: int, tmp_path: Path) -> None:
    # In world 74 nothing is dropped.
    world = random_world(seed, drawn=Cleaning)
    arrived = batches(world, seed, 6)
    grown = tmp_path / "grown"
    dropped = 0
    for number in range(1, len(arrived) + 1):
        land(world, grown, arrived[:number])
        stage(grown, drop_deleted_mail=True)
        whole = tmp_path / f"whole-{number}"
        land(world, whole, arrived[:number])
        stage(whole, drop_deleted_mail=True)
        assert_same(grown, whole)
        dropped = max(dropped, manifest_of(whole)["conservation"]["messages"].get("ignored:deleted", 0))
    assert dropped
    stage(grown, drop_deleted_mail=False)
    stage(whole, drop_deleted_mail=False)
    assert_same(grown, whole)


def test_mail_is_not_dropped_while_a_folder_of_earlier_runs_was_never_listed(tmp_path: Path) -> None:
    world = World()
    inbox = f"messages/{mailbox_id('una')}/inbox"
    world.mail("una", "inbox", "m1", CLEO, ["una@ours.example"])
    world.mail("una", "archive", "m2", CLEO, ["una@ours.example"])
    world.end_round(inbox)
    assert run(world, tmp_path, drop_deleted_mail=True)["row_counts"]["activity"] == 2
    world.later()
    world.remove(inbox, "m1")
    assert run(world, tmp_path, drop_deleted_mail=True)["row_counts"]["activity"] == 2
    world.later("reconcile")
    for folder in ("inbox", "archive"):
        world.end_round(f"messages/{mailbox_id('una')}/{folder}")
    assert run(world, tmp_path, drop_deleted_mail=True)["row_counts"]["activity"] == 0


def test_what_compaction_moves_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "FEWEST_FILES", 0)
    world = random_world(0)
    root = raw_root(tmp_path)
    arrived = batches(world, 0, 6)

    def held() -> tuple[dict[str, int], pl.DataFrame, frozenset[str]]:
        files = raw.raw_files(tmp_path)
        log = raw.since(root, files, *known)
        return files, log.held, log.rewritten

    def records(of: list[list[int]]) -> int:
        return sum(world.rows[number]["op"] != "page" for batch in of for number in batch)

    known = {}, pl.DataFrame(schema=raw.STREAMS)
    for number, batch in enumerate(arrived[:3], start=1):
        arrive(world, tmp_path, batch, number)
    files, every, _ = held()
    known = files, raw.streams_of(every)
    compact.compact(tmp_path, "maintenance")
    files, every, rewritten = held()
    assert len(files) < len(known[0])
    assert not rewritten and not every.get_column("is_new").any()
    known = files, raw.streams_of(every)
    for number, batch in enumerate(arrived[3:], start=4):
        arrive(world, tmp_path, batch, number)
        compact.compact(tmp_path, "maintenance")
    files, every, rewritten = held()
    new = every.filter("is_new")
    assert not rewritten and not new.filter(pl.col("length").is_not_null()).is_empty(), "files hold rows of both kinds"
    assert new.get_column("records").sum() == records(arrived[3:])
    assert every.get_column("records").sum() == records(arrived)
    known = files, raw.streams_of(every)
    assert drop_replaced(tmp_path, "maintenance", datetime(2027, 1, 1, tzinfo=UTC))
    _, every, rewritten = held()
    assert (rewritten, set(every.filter("is_new").get_column("source"))) == ({"dataverse"}, {"dataverse"})
    assert every.filter(pl.col("source") == "dataverse").get_column("is_new").all()


def assert_same(grown: Path, whole: Path) -> None:
    left, right = manifest_of(grown), manifest_of(whole)
    for name in right["tables"]:
        if left["tables"][name] != right["tables"][name]:
            assert sorted(map(str, table(grown, name).to_dicts())) == sorted(map(str, table(whole, name).to_dicts())), name
        assert left["tables"][name] == right["tables"][name], name
    assert left["conservation"] == right["conservation"]
    assert left["snapshot_id"] == right["snapshot_id"]


def assert_balanced(world: World, arrived: list[list[int]], manifest: dict[str, Any]) -> None:
    """Every row of the activity streams has one outcome, and none is told twice."""
    received: dict[str, int] = {}
    for number in [number for batch in arrived for number in batch]:
        row = world.rows[number]
        if row["op"] != "page":
            family = row["stream"].split("/")[0]
            received[family] = received.get(family, 0) + 1
    for family, counts in manifest["conservation"].items():
        outcomes = {name: count for name, count in counts.items() if name not in ("received", "unbalanced_streams")}
        assert counts["unbalanced_streams"] == 0, family
        assert counts["received"] == received[family] == sum(outcomes.values()), family
        assert min(outcomes.values(), default=1) > 0


def named_rows(home: Path, name: str) -> dict[str, dict[str, str]]:
    """The rows of a table as texts, receive times left out, with the keys by which a change of theirs is told."""
    frame = table(home, name).drop("ingested_at", strict=False)
    return {str(row): {column: row[column] for column in REACH[name] if row[column] is not None} for row in frame.to_dicts()}


def assert_named(before: dict[str, Any], now: dict[str, Any], told: dict[str, set[tuple[str, str]]]) -> None:
    """The snapshot names every row that came, went or changed, and no table in which none did."""
    for name in REACH:
        different = before[name].keys() ^ now[name].keys()
        keys = {key for row in different for key in (before[name] | now[name])[row].items()}
        assert keys <= told.get(name, set()), name
        assert bool(keys) == bool(told.get(name)), name
