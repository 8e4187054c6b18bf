"""From rows of the raw log: quarantine, partial rows, removals, opting out, conservation (N52-N55)."""

import json
from pathlib import Path

import polars as pl
import pytest

from jobs.errors import RapportError
from jobs.normalise.quarantine import REASONS
from jobs.privacy.opt_out import OptOut, read_opt_out
from tests.normalise.world import World, guid, mailbox_id, person

CLEO, DAN = "cleo@acme.example", "dan@acme.example"
UNA, BO = "una@ours.example", "bo@ours.example"
INBOX = f"messages/{mailbox_id('una')}/inbox"
ARCHIVE = f"messages/{mailbox_id('una')}/archive"
CALENDAR = f"calendarView/{mailbox_id('una')}"


def test_n52_reasons_of_quarantine() -> None:
    world = World()
    world.put("graph", INBOX, None, {"reason": "not_json", "length": 7, "sha256": "ab"}, op="reject")
    world.put("graph", INBOX, None, {"reason": "no_id", "length": 9, "sha256": "cd", "filtered": {"a": 1}}, op="reject")
    world.mail("una", "inbox", "m1", CLEO, [UNA], at="2026-13-45T00:00:00Z")
    world.mail("una", "inbox", "m2", CLEO, [UNA], at="1989-12-31T23:59:59Z")
    world.mail("una", "inbox", "m3", CLEO, [UNA], at="1990-01-01T00:00:00Z")
    world.event("una", "e1", UNA, [], start=None)
    world.event("una", "e2", UNA, [], end="2026-06-10T09:59:59")
    world.event("una", "e3", UNA, [], end="2100-01-01T00:00:00")
    world.appointment("app", (7, UNA), scheduledstart=None)
    world.call("call", (1, UNA), actualend="2100-01-01T00:00:00Z")
    world.crm_mail("crm", (1, UNA), senton=None)
    tables = world.tables()
    assert tables.reasons() == sorted(
        ["not_json", "no_id", "no_time", "year_out_of_range", "no_time", "end_before_start", "year_out_of_range", "no_time",
         "year_out_of_range", "no_time"]
    )  # fmt: skip
    assert set(tables.reasons()) <= set(REASONS)
    assert [row["occurred_at"].year for row in tables.activities()] == [1990]
    rejected = tables["quarantine"].filter(reason="no_id").to_dicts()[0]
    assert (rejected["length"], rejected["sha256"], rejected["payload"], rejected["run_id"]) == (9, "cd", '{"a":1}', "run-1")
    unreadable = tables["quarantine"].filter(record_id="m1").to_dicts()[0]
    assert json.loads(unreadable["payload"])["sentDateTime"] == "2026-13-45T00:00:00Z"


def test_n52_a_broken_part_is_ignored_and_the_record_kept() -> None:
    world = World()
    recipients = [person(UNA), {"emailAddress": {"address": 7}}, 5, {"emailAddress": "x"}, None]
    headers = [7, {"name": "X-Autoreply"}, {"name": ["x"], "value": "y"}, {"name": "Precedence", "value": "bulk"}]
    world.mail("una", "inbox", "m1", CLEO, [], toRecipients=recipients, ccRecipients={"emailAddress": {"address": BO}},
               internetMessageHeaders=headers, conversationId={"no": "text"})  # fmt: skip
    world.mail("una", "inbox", "m2", CLEO, [UNA], at="2026-06-11T10:00:00Z", subject_key=5)
    tables = world.tables()
    first, second = tables.activities()
    assert (first["machine_rule"], second["machine_rule"]) == ("precedence_bulk", None)
    assert tables.roles(first["activity_id"]) == {CLEO: "sender", UNA: "to", BO: "cc"}
    assert tables["quarantine"].is_empty()


def test_n52_a_mended_record_leaves_quarantine() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA], at="garbage")
    world.put("graph", INBOX, None, {"reason": "not_json"}, op="reject")
    assert world.tables().reasons() == ["no_time", "not_json"]
    world.later("reconcile")
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    world.end_round(INBOX)
    tables = world.tables()
    assert (tables.reasons(), len(tables.activities())) == ([], 1)


def test_n53_missing_keeps_the_older_value_and_null_overwrites() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA], ccRecipients=[person(DAN)])
    world.later()
    world.put("graph", INBOX, "m1", {"id": "m1", "ccRecipients": None, "bccRecipients": [person(BO)]})
    assert world.tables().roles() == {CLEO: "sender", UNA: "to", BO: "bcc"}


def test_n53_dataverse_rows_replace_and_parties_live_until_removed() -> None:
    world = World()
    world.call("call", (1, UNA), (2, CLEO), actualdurationminutes=10)
    world.add("phonecalls", guid("call"), statecode=1, actualend="2026-06-10T12:00:00Z")
    world.parties(guid("nowhere"), (1, DAN))
    tables = world.tables()
    assert (tables.one()["duration_minutes"], tables.roles()) == (0.0, {UNA: "from", CLEO: "callee"})
    world.later()
    world.remove("activityparties", next(row["record_id"] for row in world.rows if CLEO in (row["payload"] or "")))
    assert world.tables().roles() == {UNA: "from"}


def test_n54_removed_mail_stays_and_removed_events_and_crm_rows_go() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    world.event("una", "e1", UNA, [CLEO])
    world.call("call", (1, UNA))
    world.crm_mail(
        "crm", (1, CLEO), (2, UNA), messageid="<m1@mid.example>", opencount=2, regardingobjectid=("contact", guid("cleo"))
    )
    world.later()
    for stream, record in ((INBOX, "m1"), (CALENDAR, "e1"), ("phonecalls", guid("call")), ("emails", guid("crm"))):
        world.remove(stream, record)
    row = world.tables().one()
    assert (row["activity_type"], row["source_systems"], row["open_count"], row["regarding_id"]) == ("email", ["graph"], 0, None)


def test_n54_a_full_round_ends_the_membership_of_what_it_does_not_show() -> None:
    world = World()
    world.call("one", (1, UNA))
    world.call("two", (1, UNA))
    world.later("full")
    world.call("one", (1, UNA))
    assert len(world.tables().activities()) == 2
    world.end_round("phonecalls")
    assert world.tables().one()["source_ids"] == [f"dataverse:{guid('one')}"]


def test_n54_drop_deleted_mail_drops_what_a_reconcile_finds_in_no_folder() -> None:
    world = World()
    for name in ("kept", "moved", "gone"):
        world.mail("una", "inbox", name, CLEO, [UNA])
    world.mail("una", "archive", "other", CLEO, [UNA])
    world.later()
    for name in ("moved", "gone"):
        world.remove(INBOX, name)
    world.mail("una", "archive", "moved", CLEO, [UNA])
    assert len(world.tables(drop_deleted_mail=True).activities()) == 4
    world.later("reconcile")
    for folder, stream, names in (("inbox", INBOX, ["kept"]), ("archive", ARCHIVE, ["moved", "other"])):
        for name in names:
            world.mail("una", folder, name, CLEO, [UNA])
        world.end_round(stream)
    assert len(world.tables().activities()) == 4
    kept = {name.rsplit(":")[-1] for row in world.tables(drop_deleted_mail=True).activities() for name in row["source_ids"]}
    assert kept == {"kept", "moved", "other"}


def test_n54_drop_deleted_mail_drops_what_went_with_its_folder() -> None:
    world = World()
    world.folder("una", "project")
    world.mail("una", "inbox", "kept", CLEO, [UNA])
    world.mail("una", "project", "gone", CLEO, [UNA])
    world.mail("una", "project", "broken", CLEO, [UNA], at="garbage")
    world.later("full")
    world.remove(f"mailFolders/{mailbox_id('una')}", "project")
    tables = world.tables(drop_deleted_mail=True)
    assert (len(tables.activities()), tables.reasons()) == (2, [])
    world.mail("una", "inbox", "kept", CLEO, [UNA])
    world.end_round(INBOX)
    assert len(world.tables().activities()) == 2
    assert len(world.tables(drop_deleted_mail=True).activities()) == 1


def opted_out_world() -> World:
    world = World()
    world.contact("cleo", CLEO, emailaddress2="c2@acme.example")
    world.contact("cleo-old", "c3@acme.example", merged=True, masterid=("contact", guid("cleo")))
    world.mail("una", "inbox", "m1", "C2@acme.example", [UNA])
    world.mail("una", "inbox", "m2", DAN, [UNA], bccRecipients=[person("c3@acme.example")], at="2026-06-11T10:00:00Z")
    world.mail("una", "inbox", "m3", DAN, [UNA], at="2026-06-12T10:00:00Z", headers=[("In-Reply-To", "<m1@mid.example>")])
    world.mail(
        "una", "inbox", "m4", "x@y.example", [UNA], at="2026-06-13T10:00:00Z", headers=[("In-Reply-To", "<m1@mid.example>")]
    )
    world.mail("bo", "inbox", "m5", "x@y.example", ["list@y.example"], at="2026-06-14T10:00:00Z")
    world.call("call", (1, UNA), (2, ("contact", guid("cleo-old"))), actualend="2026-06-15T10:00:00Z")
    return world


@pytest.mark.parametrize(
    ("opt_out", "days"),
    [
        (OptOut(), [10, 11, 12, 13, 14, 15]),
        (OptOut(ids=frozenset([guid("cleo")])), [12, 13, 14]),
        (OptOut(addresses=frozenset([DAN])), [10, 13, 14, 15]),
        (OptOut(domains=frozenset(["y.example"])), [10, 11, 12, 15]),
        (OptOut(domains=frozenset(["example"])), [10, 11, 12, 13, 14, 15]),
        (OptOut(ids=frozenset([guid("una")])), [14]),
    ],
)
def test_n55_opted_out_people_are_on_no_activity(opt_out: OptOut, days: list[int]) -> None:
    assert [row["occurred_at"].day for row in opted_out_world().tables(opt_out=opt_out).activities()] == days


def test_n55_an_opted_out_mailbox_is_not_read_and_its_mail_links_no_thread() -> None:
    tables = opted_out_world().tables(opt_out=OptOut(ids=frozenset([guid("bo")])))
    assert [row["occurred_at"].day for row in tables.activities()] == [10, 11, 12, 13, 15]
    # m3 and m4 answer m1, whose id counts as one that is not in the data.
    assert opted_out_world().tables(opt_out=OptOut(addresses=frozenset(["c2@acme.example"]))).threads() == [1, 1, 2]


def test_n55_flags_opt_their_records_out() -> None:
    world = World()
    world.contact("cleo", CLEO, donotbulkemail=True)
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    assert len(world.tables().activities()) == 1
    assert world.tables(opt_out_flags={"contacts": ["donotbulkemail"]}).activities() == []


def test_n55_the_opt_out_file(tmp_path: Path) -> None:
    file = tmp_path / "opt-out.csv"
    file.write_text(f"kind,value\naddress, SMTP:Cleo@Acme.example\nuser,{{{guid('una').upper()}}}\ndomain,@ACME.example\n\n")
    listed = read_opt_out(file)
    assert (listed.addresses, listed.ids, listed.domains) == ({CLEO}, {guid("una")}, {"acme.example"})
    assert not read_opt_out(None)
    for text, part in (
        ("kind,value\nrobot,x\n", "line 2"),
        ("a,b\n", "first line"),
        ("kind,value\naddress,nobody\n", "'nobody'"),
    ):
        file.write_text(text)
        with pytest.raises(RapportError, match=part):
            read_opt_out(file)
    with pytest.raises(RapportError, match="cannot be read"):
        read_opt_out(tmp_path / "none.csv")


def test_every_row_of_a_stream_is_accounted_for() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    world.mail("una", "inbox", "m1", CLEO, [UNA], at="2026-06-11T10:00:00Z")
    world.mail("una", "inbox", "draft", CLEO, [UNA], isDraft=True)
    world.mail("una", "inbox", "bad", CLEO, [UNA], at="never")
    world.mail("una", "inbox", "dan", DAN, [UNA])
    world.put("graph", INBOX, None, {"reason": "not_json"}, op="reject")
    world.event("una", "master", UNA, [], type="seriesMaster")
    world.event("una", "gone", UNA, [])
    world.call("call", (1, UNA))
    world.later()
    world.remove(CALENDAR, "gone")
    told = world.normalised(opt_out=OptOut(addresses=frozenset([DAN]))).conservation
    counts = {(stream, outcome): n for stream, outcome, n in told.iter_rows()}
    assert counts == {
        (INBOX, "kept"): 1, (INBOX, "duplicate"): 1, (INBOX, "superseded"): 1, (INBOX, "ignored:draft"): 1,
        (INBOX, "quarantined:no_time"): 1, (INBOX, "ignored:opted_out"): 1, (INBOX, "quarantined:rejected"): 1,
        (CALENDAR, "ignored:master"): 1, (CALENDAR, "removed"): 2, ("phonecalls", "kept"): 1,
    }  # fmt: skip
    rows = world.frame().filter(pl.col("op") != "page", pl.col("stream").is_in([INBOX, CALENDAR, "phonecalls"]))
    assert told.get_column("row_count").sum() == rows.height
