"""Dataverse into the raw log: change tracking, resync, tables that fail, columns asked for."""

import json

import orjson
import polars as pl
import pytest

from jobs.extract import keep, log, overview, parking
from jobs.extract.errors import SourceError
from tests.extract.world import World, account, assert_holds_the_tenant, guid, held


def accounts(*numbers: int, **columns):
    return {"dataverse/accounts.jsonl": [account(n, **columns) for n in numbers]}


def test_every_table_is_read_page_by_page(tmp_path):
    world = World(tmp_path, accounts(*range(8)))
    report = world.crm()
    assert (report.rows, report.streams, report.partial) == (8, len(keep.TABLES), False)
    pages = world.rows("accounts").filter(op="page")
    assert pages["link_kind"].to_list() == ["next", "next", "delta"]
    assert [json.loads(p)["received"] for p in pages["payload"]] == [3, 3, 2]
    assert_holds_the_tenant(world)


def test_second_run_fetches_only_changes(tmp_path):
    world = World(tmp_path, accounts(1, 2, 3, 4))
    world.crm()
    world.step({"dataverse/accounts.jsonl": [account(2, name="New name"), {"id": guid(3), "@removed": {"reason": "deleted"}}]})
    report = world.crm()
    assert (report.rows, report.removes) == (1, 1)
    assert held(world.rows())["accounts"].keys() == {guid(1), guid(2), guid(4)}
    assert world.crm().rows == 0
    assert_holds_the_tenant(world)


def test_n13_ids_are_lower_case_and_links_stay_as_sent(tmp_path):
    world = World(tmp_path, {"dataverse/accounts.jsonl": [{"accountid": "ABCDEF00-0000-4000-8000-000000000001", "name": "A"}]})
    world.crm("accounts")
    upsert = world.rows("accounts").filter(op="upsert")
    assert upsert["record_id"].to_list() == ["abcdef00-0000-4000-8000-000000000001"]
    assert "$deltatoken=" in world.rows("accounts")["link_next"][0] and world.rows("accounts")["link_next"][0].startswith(
        "/dataverse/"
    )


def test_only_columns_of_the_keep_list_are_asked_for_and_landed(tmp_path):
    world = World(tmp_path, accounts(1, description="a long story", new_custom=7, revenue=12.5))
    world.sandbox.faults.switch_on([{"fault": "unknown_column", "column": "surprise"}])
    world.crm("accounts")
    asked = world.sandbox.requests[-1]["query"]["$select"].split(",")
    assert set(asked) == set(keep.TABLES["accounts"].columns)
    page, upsert = (json.loads(text) for text in world.rows("accounts")["payload"])
    assert upsert == {"accountid": guid(1), "name": "Account 1", "statecode": 0, "revenue": 12.5}
    assert page["unknown_keys"] == {"surprise": 1}


def test_columns_named_by_settings_are_asked_for(tmp_path):
    rows = [{"opportunityid": guid(1), "new_region": "north", "new_size": 3, "donotspy": True, "new_other": 1}]
    world = World(tmp_path, {"dataverse/opportunities.jsonl": rows})
    world.given = {
        "similarity_attributes": [{"name": "new_region", "kind": "category"}, {"name": "new_size", "kind": "number"}],
        "privacy_opt_out_flags": ["opportunity.donotspy", "contact.donotemail"],
    }
    world.crm("opportunities")
    landed = json.loads(world.rows("opportunities").filter(op="upsert")["payload"][0])
    assert landed == {"opportunityid": guid(1), "new_region": "north", "new_size": 3, "donotspy": True}


def test_labels_of_dimensions_are_kept_and_no_others(tmp_path):
    label = "@OData.Community.Display.V1.FormattedValue"
    world = World(tmp_path, accounts(1, industrycode=3, **{f"industrycode{label}": "Trade", f"statecode{label}": "Active"}))
    world.crm("accounts")
    landed = json.loads(world.rows("accounts").filter(op="upsert")["payload"][0])
    assert landed[f"industrycode{label}"] == "Trade" and f"statecode{label}" not in landed


def test_n17_subject_becomes_a_key_and_stays_only_when_collected(tmp_path):
    files = {
        "dataverse/emails.jsonl": [{"activityid": guid(1), "subject": "RE: Offer"}, {"activityid": guid(2), "subject": "offer"}]
    }
    world = World(tmp_path, files)
    world.crm("emails")
    payloads = [json.loads(p) for p in world.rows("emails").filter(op="upsert")["payload"]]
    assert payloads[0]["subject_key"] == payloads[1]["subject_key"] and "subject" not in payloads[0]
    collecting = World(tmp_path / "collecting", files)
    collecting.given = {"collect_subjects": True}
    collecting.crm("emails")
    assert json.loads(collecting.rows("emails").filter(op="upsert")["payload"][0])["subject"] == "RE: Offer"


@pytest.mark.parametrize("after", [0, 1])
def test_expired_token_starts_the_table_over(tmp_path, after):
    world = World(tmp_path, accounts(*range(7)))
    world.crm("accounts")
    world.step(
        {
            "dataverse/accounts.jsonl": [
                *(account(n, name="again") for n in range(6)),
                {"id": guid(6), "@removed": {"reason": "deleted"}},
            ]
        }
    )
    world.sandbox.faults.switch_on([{"fault": "dead_token", "stream": "accounts", "times": 1, "after": after}])
    world.crm("accounts")
    kinds = world.rows("accounts").unique("round").sort("round")["round_kind"].to_list()
    assert kinds == (["full", "full"] if after == 0 else ["full", "delta", "full"])
    assert world.rows("accounts").filter(pl.col("row") == 0).group_by("round").agg(pl.col("page").min())["page"].max() == 0
    assert_holds_the_tenant(world)


def test_table_without_change_tracking_is_listed_whole_each_run(tmp_path):
    world = World(tmp_path, accounts(1, 2, 3, 4))
    world.sandbox.faults.switch_on([{"fault": "change_tracking_off", "stream": "accounts"}])
    assert world.crm("accounts", "contacts").rows == 4
    world.step({"dataverse/accounts.jsonl": [{"id": guid(3), "@removed": {"reason": "deleted"}}]})
    world.crm("accounts", "contacts")
    assert world.rows("accounts").filter(op="page")["link_kind"].to_list() == ["next", "none", "none"]
    assert_holds_the_tenant(world)


def test_tracking_switched_on_during_a_listing_starts_the_table_over(tmp_path):
    world = World(tmp_path, accounts(*range(9)))
    off = {"fault": "change_tracking_off", "stream": "accounts"}
    world.sandbox.faults.switch_on([off, {"fault": "server_error", "stream": "accounts", "after": 2}])
    assert world.crm("accounts").partial
    world.sandbox.faults.switch_on([])
    world.clock.pass_by(days=1)
    assert not world.crm("accounts").partial
    assert world.rows("accounts").filter(op="page")["link_kind"].to_list()[-1] == "delta"
    assert_holds_the_tenant(world)


def test_reconcile_reads_the_table_whole_again_and_heals_it(tmp_path):
    world = World(tmp_path, accounts(1, 2))
    world.crm("accounts")
    world.step({"dataverse/accounts.jsonl": [{"id": guid(2), "@removed": {"reason": "deleted"}}]})
    world.sandbox.faults.switch_on([{"fault": "empty_delta", "stream": "accounts"}])
    world.crm("accounts")
    world.sandbox.faults.switch_on([])
    world.clock.pass_by(days=7)
    world.crm("accounts")
    assert world.rows("accounts")["round_kind"][-1] == "reconcile"
    assert_holds_the_tenant(world)


def test_forbidden_table_parks_alone_until_its_next_try(tmp_path):
    world = World(tmp_path, {**accounts(1), "dataverse/contacts.jsonl": [{"contactid": guid(5)}]})
    world.sandbox.faults.switch_on([{"fault": "forbidden", "stream": "accounts"}])
    report = world.crm()
    assert [stream for stream, _, _ in report.parked] == ["accounts"] and report.rows == 1
    assert "403" in report.parked[0][1]
    marks = {m["stream"]: m["parked_reason"] for m in overview.watermarks(world.home)}
    assert marks["accounts"] is not None and marks["contacts"] is None
    world.sandbox.faults.switch_on([])
    before = world.asked("accounts")
    assert world.crm().partial and world.asked("accounts") == before
    world.clock.pass_by(days=1, minutes=1)
    assert not world.crm().partial and parking.parked(world.home) == []


def test_refused_column_parks_the_table_and_is_named(tmp_path):
    world = World(tmp_path, accounts(1))
    world.sandbox.faults.switch_on([{"fault": "column_missing", "stream": "accounts", "column": "websiteurl"}])
    report = world.crm()
    assert report.parked[0][0] == "accounts" and "websiteurl" in report.parked[0][1]


def test_n52_broken_lines_are_rejected_and_the_rest_of_the_page_is_read(tmp_path):
    lines = [account(1), '{"accountid": "cut', "[1, 2]", {"name": "nameless"}, account(2)]
    world = World(tmp_path, {"dataverse/accounts.jsonl": lines})
    world.given = {"crm_page_size": 100}
    report = world.crm("accounts")
    assert (report.rows, report.rejects) == (2, 3)
    rejects = [orjson.loads(p) for p in world.rows("accounts").filter(op="reject")["payload"]]
    assert sorted(r["reason"] for r in rejects) == ["no_id", "not_json", "not_object"]
    cut = next(r for r in rejects if r["reason"] == "not_json")
    assert cut["length"] == len('{"accountid": "cut') and len(cut["sha256"]) == 64 and "filtered" not in cut
    assert next(r for r in rejects if r["reason"] == "no_id")["filtered"] == {"name": "nameless"}


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    world = World(tmp_path, accounts(1))
    with (
        log.StreamLog(world.home, "dataverse", "accounts", "other").locked(),
        pytest.raises(SourceError, match="another run is extracting dataverse accounts"),
    ):
        world.crm("accounts")


def test_unwritable_home_is_one_clear_error(tmp_path):
    world = World(tmp_path, accounts(1), home=tmp_path / "file" / "home")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SourceError, match="cannot write to"):
        world.crm("accounts")


def test_refused_token_everywhere_is_an_error_of_the_connection(tmp_path):
    world = World(tmp_path, accounts(1), token="right")
    with pytest.raises(SourceError, match="refuses the access token"):
        world.crm()
