"""From run to run: what is worked out from new rows alone equals a full rebuild, and the snapshot names whatever changed."""

import random
from pathlib import Path
from typing import Any

import pytest

from jobs.normalise.snapshot import REACH
from tests.normalise.arrivals import batches, random_world
from tests.normalise.home import changed, land, manifest_of, run, stage, table
from tests.normalise.world import World


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
