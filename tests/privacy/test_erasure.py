"""Erasing a person, and telling what is held about one."""

import json
import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import jobs.normalise
from jobs import clock
from jobs.errors import RapportError
from jobs.extract.files import SCHEMA, raw_root, stream_folder
from jobs.privacy import erasure
from jobs.privacy.erasure import erase, erasing, held_about, receipts
from jobs.privacy.person import read_person
from jobs.publish.catalogue import read_catalogue
from jobs.publish.versions import Published, verify
from tests.normalise.world import World, guid, mailbox_id
from tests.publish.marts import settings
from tests.publish.test_protocol import publish_one

CLEO, DAN, UNA = "cleo@acme.example", "dan@acme.example", "una@ours.example"
C1 = "c1"


def world():
    """Cleo, contact c1, writes, is written to and meets; Dan does so without her. Both Cleos are one person."""
    world = World()
    world.add("contacts", C1, fullname="Cleo", emailaddress1=CLEO, statecode=0)
    world.add("contacts", "old", fullname="Cleo", emailaddress1="cleo@old.example", merged=True, masterid=C1, statecode=1)
    world.add("contacts", "d1", fullname="Dan", emailaddress1=DAN, statecode=0)
    world.add("accounts", "a1", name="Acme", statecode=0, primarycontactid=("contact", C1))
    world.mail("una", "inbox", "m1", "Cleo@ACME.example", [UNA])
    world.mail("una", "inbox", "m2", DAN, [UNA])
    world.mail("bo", "inbox", "m3", DAN, ["bo@ours.example", "cleo@old.example"])
    world.event("una", "e1", UNA, [CLEO])
    world.event("una", "e2", UNA, [DAN])
    world.crm_mail("one", (1, ("systemuser", guid("una"))), (2, ("contact", C1)))
    world.crm_mail("two", (1, ("systemuser", guid("una"))), (2, ("contact", "d1")))
    world.put("graph", f"messages/{mailbox_id('una')}/inbox", "m1", {"id": "m1", "isRead": True})
    return world


def land(world, home):
    for stream in sorted({row["stream"] for row in world.rows}):
        world.end_round(stream)
    for (source, stream), part in world.frame().partition_by("source", "stream", as_dict=True).items():
        folder = stream_folder(home, source, stream)
        folder.mkdir(parents=True, exist_ok=True)
        part.write_parquet(folder / "00000001-00000000.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with a raw log, its normalised lake, and two versions; whom to erase stands in person.csv."""
    home = tmp_path_factory.mktemp("made")
    land(world(), home)
    jobs.normalise.run(home, settings(home), "run")
    publish_one(home, "r1")
    publish_one(home, "r2", sent=2)
    (home / "person.csv").write_text(f"kind,value\ncontact,{C1.upper()}\n")
    return home


@pytest.fixture
def home(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "home", symlinks=True))


def raw(home):
    return pl.concat([pl.read_parquet(f, hive_partitioning=False) for f in raw_root(home).rglob("*.parquet")]).cast(
        dict.fromkeys(["page", "row"], pl.Int64)
    )


def erased(home, rebuild=None):
    def publish_what_is_left():
        jobs.normalise.run(home, settings(home), "r3")
        publish_one(home, "r3", contacts=1)

    marts = read_catalogue(settings(home).dbt_project_dir / "models" / "marts")
    person = read_person(home, home / "person.csv")
    return erase(home, person, marts, "request 7", rebuild or publish_what_is_left, clock.now)


def assert_erased(home):
    rows = raw(home)
    told = " ".join(rows.get_column("payload").drop_nulls()).lower()
    assert "cleo" not in told and '"c1"' not in told
    ids = set(rows.get_column("record_id").drop_nulls())
    assert {"m2", "e2", "a1", "d1", guid("two")} <= ids and not {"m1", "m3", "e1", C1, "old", guid("one")} & ids
    snapshot = json.loads((home / "lake" / "normalised" / "snapshot.json").read_text())
    assert all(counts["unbalanced_streams"] == 0 for counts in snapshot["conservation"].values())
    lake = [pl.read_parquet(f, hive_partitioning=False) for f in (home / "lake" / "normalised").rglob("*.parquet")]
    assert not any("cleo" in str(frame.rows()).lower() for frame in lake)
    (version,) = Published(home).versions()
    assert verify(version) == [] and version.manifest["run_id"] == "r3"
    day = pl.read_parquet(
        home / "lake" / "history" / "kpi" / "as_of_date=2026-07-05" / "kpi_history.parquet", hive_partitioning=False
    )
    assert C1 not in day.get_column("record_id").to_list() and day.height == 1
    assert not erasing(home).exists()
    assert [f.name for f in (home / "quality").iterdir()] == ["r3"]


def test_a_person_leaves_every_layer_and_others_stay(home):
    receipt = erased(home)
    assert_erased(home)
    assert receipt["versions"] == 2 and receipt["history_rows"] == 1 and receipt["raw_rows"] > 8
    told = receipts(home).read_text().lower()
    assert json.loads(told)["reference"] == "request 7" and not any(word in told for word in ("cleo", 'c1"', "acme"))


def test_rows_that_stay_keep_their_types_and_their_other_values(home):
    before = raw(home)
    erased(home)
    after = raw(home)
    same = before.join(after, on=before.columns, how="semi", nulls_equal=True)
    assert same.height == after.height - 1
    account = json.loads(after.filter(pl.col("record_id") == "a1").get_column("payload").item())
    assert account["name"] == "Acme" and account["_primarycontactid_value"] is None
    assert all(
        pl.read_parquet_schema(f) == pl.from_arrow(SCHEMA.empty_table()).schema for f in raw_root(home).rglob("inbox/*.parquet")
    )


@pytest.mark.parametrize("files", [1, 2, 3])
def test_an_erasure_that_was_stopped_goes_on_with_all_that_it_knew(home, monkeypatch, files):
    write, written = erasure.write_durably, []

    def stops(path, table):
        if len(written) == files:
            raise KeyboardInterrupt
        written.append(path)
        write(path, table)

    monkeypatch.setattr(erasure, "write_durably", stops)
    with pytest.raises(KeyboardInterrupt):
        erased(home)
    assert erasing(home).exists()
    monkeypatch.setattr(erasure, "write_durably", write)
    erased(home)
    assert_erased(home)


def test_a_rebuild_that_fails_leaves_the_mark(home):
    def fails():
        raise RapportError("the gate failed")

    with pytest.raises(RapportError):
        erased(home, fails)
    assert erasing(home).exists() and erasing(home).parent.stat().st_mode & 0o077 == 0 and not receipts(home).exists()
    erased(home)
    assert_erased(home)


def test_a_rebuild_that_publishes_nothing_is_no_erasure(home):
    with pytest.raises(RapportError, match="published nothing, readers still see the person"):
        erased(home, lambda: jobs.normalise.run(home, settings(home), "r3"))
    assert erasing(home).exists() and len(Published(home).versions()) == 2 and not receipts(home).exists()


def test_a_colleague_goes_with_the_mailbox(home):
    (home / "person.csv").write_text(f"kind,value\nuser,{guid('bo')}\n")
    erased(home)
    assert not list(raw_root(home).glob(f"graph/*/{mailbox_id('bo')}*"))
    assert "bo@ours.example" not in " ".join(raw(home).get_column("payload").drop_nulls())
    assert "m2" in raw(home).get_column("record_id").to_list()


def test_all_that_is_held_about_a_person_is_told(home):
    told = held_about(home, read_person(home, home / "person.csv"))
    assert (told["ids"], told["addresses"]) == (["c1", "old"], ["cleo@acme.example", "cleo@old.example"])
    assert {row["record_id"] for row in told["raw"]} >= {C1, "old", "m1", "m3", "e1", "a1"}
    assert not {"m2", "e2", "d1"} & {row["record_id"] for row in told["raw"]}
    assert [row["contact_id"] for row in told["marts"]["kpi_contact"]] == [C1]
    assert told["marts"]["kpi_history"][0]["as_of_date"] == date(2026, 7, 5)
    json.dumps(told, default=str)


@pytest.mark.parametrize(("text", "message"), [("domain,acme.example", "a domain is no person"), ("", "names nobody")])
def test_a_file_that_names_no_person_is_refused(tmp_path: Path, text, message):
    file = tmp_path / "person.csv"
    file.write_text(f"kind,value\n{text}\n")
    with pytest.raises(RapportError, match=message):
        read_person(tmp_path, file)
