"""The stage as a whole: files, manifest, what changed."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

from jobs.errors import RapportError
from jobs.extract.files import COLUMNS, SCHEMA
from jobs.normalise import raw
from jobs.normalise.crm import TABLES
from tests.normalise.home import changed, manifest_of, run
from tests.normalise.world import World, guid

CLEO, DAN = "cleo@acme.example", "dan@acme.example"
UNA = "una@ours.example"


def small_world() -> World:
    world = World()
    world.contact("cleo", CLEO)
    for month in (4, 5, 6):
        world.mail("una", "inbox", f"m{month}", CLEO, [UNA], at=f"2026-{month:02}-10T10:00:00Z")
    world.call("call", (1, UNA), actualend=None)
    return world


def test_every_table_is_there_and_typed_even_when_empty(tmp_path: Path) -> None:
    manifest = run(World(users=()), tmp_path)
    assert {f"crm_{name}" for name in TABLES} < set(manifest["tables"])
    root = tmp_path / "lake" / "normalised"
    activity = pl.read_parquet([root / file for file in manifest["tables"]["activity"]])
    assert (activity.height, activity.schema["occurred_at"], activity.schema["source_ids"]) == (
        0, pl.Datetime("us", "UTC"), pl.List(pl.String))  # fmt: skip
    assert manifest["tier"] == "basic"


def test_activities_lie_in_the_folder_of_their_month(tmp_path: Path) -> None:
    manifest = run(small_world(), tmp_path)
    months = [file.split("/")[1] for file in manifest["tables"]["activity"]]
    assert months == ["month=2026-04", "month=2026-05", "month=2026-06", "month=none"]
    assert manifest["row_counts"]["activity"] == 4
    assert manifest["conservation"]["messages"] == {"kept": 3, "received": 3, "unbalanced_streams": 0}
    assert (manifest["tier"], manifest["changes"], manifest["previous_id"]) == ("enhanced", [], None)


def test_only_months_that_change_are_written_and_the_snapshot_names_the_activities(tmp_path: Path) -> None:
    world = small_world()
    before = run(world, tmp_path)
    assert run(world, tmp_path) == before
    world.later()
    world.mail("una", "inbox", "late", DAN, [UNA], at="2026-05-11T10:00:00Z")
    after = run(world, tmp_path)
    root = tmp_path / "lake" / "normalised"
    new = set(after["tables"]["activity"]) - set(before["tables"]["activity"])
    assert [file.split("/")[1] for file in new] == ["month=2026-05"]
    assert after["previous_id"] == before["snapshot_id"]
    late = pl.read_parquet([root / f for f in new]).filter(pl.col("source_ids").list.first().str.ends_with("late"))
    assert changed(tmp_path)["activity"] == {("activity_id", name) for name in late.get_column("activity_id")}
    assert all((root / file).exists() for files in before["tables"].values() for file in files)


def test_a_run_with_nothing_new_reads_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = small_world()
    before = run(world, tmp_path)
    read: list[Any] = []
    monkeypatch.setattr(raw, "read_raw", lambda *given, read_raw=raw.read_raw: read.append(given) or read_raw(*given))
    assert run(world, tmp_path) == before
    assert not read
    assert run(world, tmp_path, internal_domains=["acme.example"])["internal_domains"] == ["acme.example"]
    assert read


def test_files_of_older_snapshots_are_removed(tmp_path: Path) -> None:
    world = small_world()
    manifests = []
    for number in range(3):
        world.mail("una", "inbox", f"more{number}", DAN, [UNA])
        manifests.append(run(world, tmp_path))
    root = tmp_path / "lake" / "normalised"
    held = {file.relative_to(root).as_posix() for file in root.rglob("*.parquet")}
    listed = {file for manifest in manifests[1:] for files in manifest["tables"].values() for file in files}
    assert listed <= held
    assert not held & (set(manifests[0]["tables"]["activity"]) - listed)


def test_a_changed_contact_or_internal_domain_rewrites_no_activity(tmp_path: Path) -> None:
    world = small_world()
    before = run(world, tmp_path)
    world.later()
    world.contact("cleo", "other@acme.example")
    after = run(world, tmp_path, internal_domains=["acme.example"])
    for name in ("activity", "activity_participant", "activity_party", "activity_thread"):
        assert after["tables"][name] == before["tables"][name]
    assert after["tables"]["person_address"] != before["tables"]["person_address"]
    assert after["internal_domains"] == ["acme.example"]


def test_a_changed_record_is_named_with_what_it_names_and_named(tmp_path: Path) -> None:
    world = small_world()
    for account in ("acme", "globex"):
        world.add("accounts", guid(account), name=account)
    world.contact("dan", DAN, parentcustomerid=("account", guid("acme")))
    world.add("connections", guid("tie"), record1id=("contact", guid("dan")), record2id=("opportunity", guid("deal")))
    first = run(world, tmp_path)
    world.later()
    world.contact("dan", "dan@globex.example", parentcustomerid=("account", guid("globex")))
    run(world, tmp_path)
    assert changed(tmp_path) == {
        "crm_contact": {
            ("contactid", guid("dan")), ("master_id", guid("dan")),
            ("parentcustomerid", guid("acme")), ("parentcustomerid", guid("globex")),
        },
        "person_address": {("address", DAN), ("address", "dan@globex.example")},
        "record_address": {("record_id", guid("dan")), ("address", DAN), ("address", "dan@globex.example")},
    }  # fmt: skip
    world.later()
    world.remove("connections", guid("tie"))
    run(world, tmp_path)
    ends = {("record1id", guid("dan")), ("record2id", guid("deal"))}
    assert changed(tmp_path) == {"crm_connection": {("connectionid", guid("tie")), *ends}}
    assert changed(tmp_path, 1)["record_address"]
    assert manifest_of(tmp_path)["changes"][1]["since"] == first["snapshot_id"]


def without_state(manifest: dict[str, Any], root: Path) -> None:
    manifest.pop("state")
    manifest.pop("changes")


def older_state(manifest: dict[str, Any], root: Path) -> None:
    (root / manifest["state"]).write_text(json.dumps({"months": {"2026-05": {"copy": "state/copy/x.parquet"}}, "side": {}}))


def damaged_state(manifest: dict[str, Any], root: Path) -> None:
    (root / manifest["state"]).write_text("{")


def lost_state_file(manifest: dict[str, Any], root: Path) -> None:
    next(root.glob("state/record/contact/*.parquet")).unlink()


def lost_table_file(manifest: dict[str, Any], root: Path) -> None:
    (root / manifest["tables"]["crm_contact"][0]).unlink()


@pytest.mark.parametrize("harm", [without_state, older_state, damaged_state, lost_state_file, lost_table_file])
def test_a_snapshot_that_cannot_be_built_upon_is_built_anew(harm: Any, tmp_path: Path) -> None:
    world = small_world()
    manifest = run(world, tmp_path)
    root = tmp_path / "lake" / "normalised"
    harmed = dict(manifest)
    harm(harmed, root)
    (root / "snapshot.json").write_text(json.dumps(harmed))
    again = run(world, tmp_path)
    assert (again["snapshot_id"], again["tables"]) == (manifest["snapshot_id"], manifest["tables"])
    assert all((root / file).is_file() for files in again["tables"].values() for file in files)
    world.later()
    world.mail("una", "inbox", "late", DAN, [UNA], at="2026-05-11T10:00:00Z")
    assert run(world, tmp_path)["row_counts"]["activity"] == 5


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"snapshot_id": "x", "tables": 5}'])
def test_a_damaged_manifest_is_named(text: str, tmp_path: Path) -> None:
    run(small_world(), tmp_path)
    (tmp_path / "lake" / "normalised" / "snapshot.json").write_text(text)
    with pytest.raises(RapportError, match=r"snapshot\.json is damaged: remove it"):
        run(small_world(), tmp_path)


def test_a_second_run_waits_for_nobody(tmp_path: Path) -> None:
    run(small_world(), tmp_path)
    with FileLock(tmp_path / "lake" / "normalised" / ".lock"), pytest.raises(RapportError, match="another run"):
        run(small_world(), tmp_path)


def test_a_missing_opt_out_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RapportError, match=r"missing\.csv"):
        run(small_world(), tmp_path, privacy_opt_out_file=tmp_path / "missing.csv")


def test_the_raw_columns_are_those_of_the_log() -> None:
    assert pl.from_arrow(SCHEMA.empty_table()).schema == pl.Schema(COLUMNS)
