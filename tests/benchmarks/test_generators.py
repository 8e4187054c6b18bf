"""The generators of the benchmarks: the sizes asked for, sound references, the same content for a seed."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from benchmarks.deals import deal_table
from benchmarks.lake import Lake
from benchmarks.raw_log import RawLog
from jobs.extract.overview import read_pages, watermarks


def content(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    home = tmp_path_factory.mktemp("raw")
    world = RawLog(copies=5_000, new_copies=50)
    assert (world.write(home), world.write_day(home)) == (5_000, 50)
    marks = watermarks(home)
    assert marks and all(mark["last_complete_round_started_at"] for mark in marks)
    return read_pages(home).collect()


def test_raw_log_has_pages_and_records(raw: pl.DataFrame) -> None:
    assert set(raw["op"]) == {"page", "upsert"}
    for row in raw.iter_rows(named=True):
        payload = json.loads(row["payload"])
        assert (row["row"] == 0) == (row["op"] == "page") == (row["link_kind"] is not None)
        if row["op"] == "upsert" and row["source"] == "graph":
            assert payload["id"] == row["record_id"]
    pages = raw.filter(op="page").with_columns(received=pl.col("payload").str.json_path_match("$.received").cast(int))
    assert pages["received"].sum() == raw.filter(op="upsert").height


def test_raw_mail_is_threaded_and_copied(raw: pl.DataFrame) -> None:
    mail = raw.filter(pl.col("stream").str.starts_with("messages/"), op="upsert")
    assert mail["record_id"].is_unique().all()
    messages = [json.loads(text) for text in mail["payload"]]
    ids = {message["internetMessageId"] for message in messages}
    assert 0.4 < len(ids) / len(messages) < 0.8
    headers = [{h["name"]: h["value"] for h in message.get("internetMessageHeaders", [])} for message in messages]
    parents = [h["In-Reply-To"] for h in headers if "In-Reply-To" in h]
    assert len(parents) > 500
    assert sum(parent in ids for parent in parents) > 0.9 * len(parents)
    assert any("List-Unsubscribe" in h for h in headers) and any("Auto-Submitted" in h for h in headers)
    listed = raw.filter(round_kind="list", op="upsert")
    assert set(listed["record_id"]) <= set(mail["record_id"])


def test_raw_log_is_the_same_for_a_seed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        RawLog(copies=1_000, new_copies=20).write(tmp_path / name)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_lake_is_whole(tmp_path: Path) -> None:
    lake = Lake(activities=20_000)
    rows = lake.write(tmp_path)
    root = tmp_path / "lake" / "normalised"
    manifest = json.loads((root / "snapshot.json").read_text())
    tables = {
        name: pl.concat(pl.read_parquet(root / file, hive_partitioning=False) for file in files)
        for name, files in manifest["tables"].items()
    }
    assert {name: frame.height for name, frame in tables.items()} == rows == manifest["row_counts"]
    assert rows["activity"] == 20_000
    assert 2.8 < rows["activity_participant"] / rows["activity"] < 3.1
    activity, people = tables["activity"], tables["activity_participant"]
    assert activity["activity_id"].is_unique().all()
    assert set(people["activity_id"]) == set(activity["activity_id"])
    assert not people.select(pl.struct("activity_id", "address").is_duplicated().any()).item()
    assert set(people["address"]) <= set(tables["person_address"]["address"])
    assert set(tables["activity_thread"]["activity_id"]) == set(activity.filter(activity_type="email")["activity_id"])
    deals = set(tables["crm_opportunity"]["opportunityid"])
    assert set(activity.filter(regarding_type="opportunity")["regarding_id"]) <= deals
    assert set(tables["crm_opportunity"]["parentaccountid"]) <= set(tables["crm_account"]["accountid"])
    ends = tables["crm_connection"]
    assert (
        set(ends.filter(record1id_type="opportunity")["record1id"])
        == set(ends.filter(record2id_type="opportunity")["record2id"])
        == deals
    )


def test_lake_of_a_day_names_what_changed(tmp_path: Path) -> None:
    lake = Lake(activities=5_000)
    lake.write(tmp_path)
    before = content(tmp_path)
    assert lake.write_day(tmp_path, 100)["activity"] == 5_100
    root = tmp_path / "lake" / "normalised"
    manifest = json.loads((root / "snapshot.json").read_text())
    [step] = manifest["changes"]
    assert manifest["previous_id"] == step["since"] == "base"
    changed = pl.read_parquet(root / step["file"])
    new = pl.read_parquet(root / manifest["tables"]["activity"][-1], hive_partitioning=False)
    assert set(changed["key"]) == set(new["activity_id"]) and new.height == 100
    after = content(tmp_path)
    assert all(after[name] == digest for name, digest in before.items() if not name.endswith("snapshot.json"))


def test_deals_have_planted_attributes() -> None:
    deals = deal_table(50, 200, 100)
    assert dict(deals["state"].value_counts().iter_rows()) == {"open": 50, "won": 200, "lost": 100}
    assert deals["opportunity_id"].is_unique().all()
    assert deals.filter(state="open")["close_date"].null_count() == 50
    assert deals.equals(deal_table(50, 200, 100))
    closed = deals.filter(pl.col("state") != "open").with_columns(
        is_good=pl.col("estimated_value").is_between(20_000, 80_000), won=pl.col("state") == "won"
    )
    share = dict(closed.drop_nulls("is_good").group_by("is_good").agg(pl.col("won").mean()).iter_rows())
    assert share[True] > share[False] + 0.15
