"""The stage as a whole: files, manifest, what changed, and that order of arrival changes nothing."""

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

import jobs.normalise
from jobs.errors import RapportError
from jobs.extract.log import SCHEMA
from jobs.normalise.crm import TABLES
from jobs.normalise.job import COLUMNS
from jobs.settings import Settings
from tests.normalise.world import World, guid, mailbox_id

CLEO, DAN = "cleo@acme.example", "dan@acme.example"
UNA = "una@ours.example"


def land(world: World, home: Path, batches: list[list[int]] | None = None) -> None:
    """Write the world's rows as the raw log of `home`: the rows of each batch (else of each round) of a stream in a file of its own."""
    frame = world.frame().with_row_index("number")
    numbers = batches or [part.get_column("number").to_list() for part in frame.partition_by("round", maintain_order=True)]
    for place, batch in enumerate(numbers):
        rows = frame.filter(pl.col("number").is_in(batch)).drop("number")
        for (source, stream), part in rows.partition_by("source", "stream", as_dict=True).items():
            folder = home / "lake" / "raw" / source / stream.replace("/", "-")
            folder.mkdir(parents=True, exist_ok=True)
            part.write_parquet(folder / f"{place:06}.parquet")


def run(world: World, home: Path, **settings: Any) -> dict[str, Any]:
    """Run the stage and return the manifest."""
    land(world, home)
    stage(home, **settings)
    return manifest_of(home)


def stage(home: Path, **settings: Any) -> None:
    jobs.normalise.run(home, Settings(_env_file=None, home=home, **settings), "run")


def manifest_of(home: Path) -> dict[str, Any]:
    return json.loads((home / "lake" / "normalised" / "snapshot.json").read_text())


def changed(home: Path, entry: int = 0) -> dict[str, set[tuple[str, str]]]:
    """(column, key) of what an entry of the manifest's `changes` names, by table."""
    frame = pl.read_parquet(home / "lake" / "normalised" / manifest_of(home)["changes"][entry]["file"])
    told: dict[str, set[tuple[str, str]]] = {}
    for table, column, key in frame.iter_rows():
        told.setdefault(table, set()).add((column, key))
    return told


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


def test_a_snapshot_of_an_older_format_is_built_anew(tmp_path: Path) -> None:
    world = small_world()
    manifest = run(world, tmp_path)
    file = tmp_path / "lake" / "normalised" / "snapshot.json"
    file.write_text(json.dumps({name: value for name, value in manifest.items() if name not in ("state", "changes")}))
    again = run(world, tmp_path)
    assert (again["snapshot_id"], again["tables"]) == (manifest["snapshot_id"], manifest["tables"])
    world.later()
    world.mail("una", "inbox", "late", DAN, [UNA], at="2026-05-11T10:00:00Z")
    assert run(world, tmp_path)["row_counts"]["activity"] == 5


def test_a_second_run_waits_for_nobody(tmp_path: Path) -> None:
    run(small_world(), tmp_path)
    with FileLock(tmp_path / "lake" / "normalised" / ".lock"), pytest.raises(RapportError, match="another run"):
        run(small_world(), tmp_path)


def test_a_missing_opt_out_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RapportError, match=r"missing\.csv"):
        run(small_world(), tmp_path, privacy_opt_out_file=tmp_path / "missing.csv")


def random_world(seed: int) -> World:
    """A few dozen records of every kind, with copies, partial rows, removals, moved people and folders, and many ties."""
    chance = random.Random(seed)
    world = World()
    people = [UNA, "bo@ours.example", "cem@ours.example", "alias@ours.example", CLEO, DAN, "x@y.example"]

    def contact() -> None:
        world.contact(chance.choice(["cleo", "cleo2", "dan"]), chance.choice([CLEO, DAN, "new@acme.example"]),
                      modifiedon=f"2026-05-0{chance.randint(1, 3)}T00:00:00Z")  # fmt: skip

    for _ in range(3):
        contact()
    for round_number in range(3):
        if round_number:
            world.later()
        for _ in range(25):
            user = chance.choice(["una", "bo", "cem"])
            number = chance.randint(1, 8)
            at = f"2026-0{chance.randint(4, 6)}-10T10:00:{chance.randint(0, 3):02}Z"
            sender, to = chance.choice(people), chance.sample(people, 2)
            box = mailbox_id(user)
            headers = [("In-Reply-To", f"<{chance.randint(1, 12)}@mid.example>")] if chance.random() < 0.3 else None
            party = chance.choice([to[0], ("contact", guid("cleo")), ("systemuser", guid("bo"))])
            kind = chance.random()
            if kind < 0.42:
                folder = chance.choice(["inbox", "sentitems", "junkemail", "extra"])
                mid = f"<{number}@mid.example>" if chance.random() < 0.7 else None
                sent = None if chance.random() < 0.05 else at
                world.mail(user, folder, f"{user}-{number}", sender, to, at=sent, message_id=mid, headers=headers,
                           conversationId=f"c{chance.randint(1, 4)}")  # fmt: skip
            elif kind < 0.50:
                world.put("graph", f"messages/{box}/inbox", f"{user}-{number}", {"id": "x", "ccRecipients": None})
            elif kind < 0.54:
                world.remove(f"messages/{box}/inbox", f"{user}-{number}")
            elif kind < 0.58:
                value = {"id": "String 0x1042", "value": f"<{chance.randint(1, 12)}@mid.example>"}
                world.put(
                    "graph", f"messageHeaders/{box}/sentitems", f"{user}-{number}", {"singleValueExtendedProperties": [value]}
                )
            elif kind < 0.62:
                world.folder(user, "extra", parent=chance.choice(["inbox", "sentitems", "junkemail"]))
            elif kind < 0.66:
                world.graph_user(user, otherMails=chance.choice([[], ["alias@ours.example"]]))
            elif kind < 0.70:
                world.put("graph", f"messages/{box}/inbox", None, {"reason": "not_json", "length": 3}, op="reject")
            elif kind < 0.78:
                answer = chance.choice(["accepted", "declined", "none"])
                world.event(user, f"{user}-e{number}", sender, to, uid=f"uid{number}", lastModifiedDateTime=at, response=answer)
            elif kind < 0.88:
                mid = chance.choice([None, f"<{number}@mid.example>"])
                world.crm_mail(f"crm{number}", (1, sender), (2, party), messageid=mid, senton=at, opencount=chance.randint(0, 2))
            elif kind < 0.92:
                world.call(f"call{number}", (1, sender), (2, party), regardingobjectid=("contact", guid("cleo")))
            elif kind < 0.95:
                contact()
            else:
                stream, record = chance.choice([(f"calendarView/{box}", f"{user}-e{number}"), ("emails", guid(f"crm{number}"))])
                world.remove(stream, record)
        if chance.random() < 0.5:
            world.end_round(f"messages/{mailbox_id('una')}/inbox")
    return world


def contents(manifest: dict[str, Any]) -> dict[str, list[str]]:
    return manifest["tables"]


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_rows_and_files_changes_nothing(seed: int, tmp_path: Path) -> None:
    world = random_world(seed)
    expected = run(world, tmp_path / "a")
    assert expected["row_counts"]["activity"] > 10
    random.Random(seed).shuffle(world.rows)
    assert contents(run(world, tmp_path / "b")) == contents(expected)


@pytest.mark.parametrize("seed", range(10, 13))
def test_working_out_what_is_new_equals_a_full_rebuild(seed: int, tmp_path: Path) -> None:
    world = random_world(seed)
    chance = random.Random(seed)
    order = list(range(len(world.rows)))
    cuts = sorted(chance.sample(range(20, len(order)), 3))
    batches = [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    opt_out = tmp_path / "out.csv"
    opt_out.write_text("kind,value\n" + ("address,x@y.example\n" if seed % 2 else ""))
    for number in range(1, len(batches) + 1):
        part = World(users=(), rows=world.rows[: sum(map(len, batches[:number]))])
        land(part, tmp_path / "day-by-day", batches[:number])
        stage(tmp_path / "day-by-day", privacy_opt_out_file=opt_out)
        land(part, tmp_path / f"at-once-{number}")
        stage(tmp_path / f"at-once-{number}", privacy_opt_out_file=opt_out)
        grown, whole = manifest_of(tmp_path / "day-by-day"), manifest_of(tmp_path / f"at-once-{number}")
        assert_same(tmp_path, number, contents(grown), contents(whole))
        assert grown["conservation"] == whole["conservation"]
        assert grown["snapshot_id"] == whole["snapshot_id"]


def assert_same(tmp_path: Path, number: int, grown: dict[str, list[str]], whole: dict[str, list[str]]) -> None:
    for name in whole:
        if grown[name] != whole[name]:
            left, right = (
                pl.concat([pl.read_parquet(home / "lake" / "normalised" / file, hive_partitioning=False) for file in files])
                for home, files in ((tmp_path / "day-by-day", grown[name]), (tmp_path / f"at-once-{number}", whole[name]))
            )
            assert (
                left.sort(pl.all().cast(pl.String, strict=False) if not left.is_empty() else left.columns).to_dicts()
                == right.to_dicts()
            ), name
        assert grown[name] == whole[name], name


def test_the_raw_columns_are_those_of_the_log() -> None:
    assert pl.from_arrow(SCHEMA.empty_table()).schema == pl.Schema(COLUMNS)
