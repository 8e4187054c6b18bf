"""Microsoft Graph into the raw log: users, folders, mail per folder, calendar windows, the list pass, who is read."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from jobs.extract import overview, parking
from jobs.extract.errors import SourceError
from jobs.extract.exchange import Mailbox, calendar_window, extract_mailbox, list_mailboxes
from jobs.extract.files import stream_folder
from tests.extract.world import (
    BO,
    FOLDERS,
    START,
    UNA,
    World,
    assert_holds_the_tenant,
    event,
    held,
    mailbox,
    message,
    settings,
    user,
)

INBOX, SENT, BELOW, JUNK = (f"messages/{UNA}/{folder}" for folder in ("Inbox", "Sent", "Below", "Junk"))
CALENDAR = f"calendarView/{UNA}"
REPLY = [{"name": "In-Reply-To", "value": "<first@mid>"}]


def gone(name):
    return {"id": name, "@removed": {"reason": "deleted"}}


def test_nothing_is_read_without_consent(tmp_path):
    world = World(tmp_path, mailbox([message("m1")]))
    world.given = {"exchange_consent": None}
    assert list_mailboxes(world.connection("graph"), world.home, world.settings, "run", timing=world.clock.timing) == []
    assert len(world.sandbox.requests) == 0
    with pytest.raises(SourceError, match="RAPPORT_EXCHANGE_CONSENT"):
        extract_mailbox(world.connection("graph"), Mailbox(UNA), world.home, world.settings, "run", timing=world.clock.timing)


def test_n14_all_folders_but_search_folders_are_read(tmp_path):
    world = World(tmp_path, mailbox([message("m1"), message("m2", "Sent"), message("m3", "Below"), message("m4", "Junk")]))
    report = world.exchange()
    assert not report.partial
    streams = set(world.rows()["stream"])
    assert {INBOX, SENT, BELOW, JUNK} <= streams and f"messages/{UNA}/Found" not in streams
    folders = held(world.rows())[f"mailFolders/{UNA}"]
    assert {name: folder["wellKnownName"] for name, folder in folders.items()} == {
        "Inbox": None, "Sent": "sentitems", "Below": None, "Junk": "junkemail", "Found": None,
    }  # fmt: skip
    assert not any("displayName" in folder for folder in folders.values())
    assert_holds_the_tenant_but_names(world)


def assert_holds_the_tenant_but_names(world):
    """The inbox is not asked for by name, so its well-known name is not landed."""
    for line in world.sandbox.tenant.mailbox(UNA).folders.at(world.sandbox.tenant.step).values():
        if b'"inbox"' in line.raw:
            line.raw = line.raw.replace(b'"inbox"', b"null")
    assert_holds_the_tenant(world)


def test_every_page_is_asked_with_the_preferences(tmp_path):
    world = World(tmp_path, mailbox([message(f"m{n}") for n in range(9)]))
    world.exchange()
    asked = [r for r in world.sandbox.requests if r["stream"].startswith(("messages", "calendar", "mailFolders"))]
    assert len([r for r in asked if r["stream"] == INBOX]) == 3
    assert all('IdType="ImmutableId"' in r["prefer"] for r in asked)
    assert all("odata.maxpagesize=3" in r["prefer"] for r in asked if r["stream"] == INBOX)
    first = next(r for r in asked if r["stream"] == INBOX)["query"]["$select"].split(",")
    assert not {"body", "bodyPreview", "uniqueBody", "isRead", "hasAttachments"} & set(first)
    assert "$top" not in first and "$filter" not in first


def test_second_run_fetches_only_changes(tmp_path):
    world = World(tmp_path, mailbox([message("m1"), message("m2")], [event("e1")]))
    world.exchange()
    world.step({f"graph/{UNA}/messages.jsonl": [message("m2", "Below"), message("m3", subject="Late"), gone("m1")]})
    report = world.exchange()
    assert (report.rows, report.removes) == (2, 2)
    found = held(world.rows())
    assert (found[INBOX].keys(), found[BELOW].keys()) == ({"m3"}, {"m2"})
    assert world.exchange().rows == 0
    assert_holds_the_tenant_but_names(world)


@pytest.mark.parametrize("code", ["SyncStateNotFound", "syncStateNotFound", "resyncRequired", "resyncChangesUploadDifferences"])
def test_dead_token_starts_that_folder_over(tmp_path, code):
    world = World(tmp_path, mailbox([message("m1"), message("m2"), message("s1", "Sent")]))
    world.exchange()
    world.step({f"graph/{UNA}/messages.jsonl": [gone("m1")]})
    world.sandbox.faults.switch_on([{"fault": "dead_token", "stream": INBOX, "times": 1, "code": code}])
    assert not world.exchange().partial
    kinds = world.rows(INBOX).unique("round").sort("round")["round_kind"].to_list()
    assert kinds == ["full", "full"] and world.rows(SENT).unique("round")["round_kind"].sort().to_list() == ["delta", "full"]
    assert_holds_the_tenant_but_names(world)


def test_token_that_dies_in_mid_round_starts_over(tmp_path):
    world = World(tmp_path, mailbox([message(f"m{n}") for n in range(10)]))
    world.sandbox.faults.switch_on([{"fault": "dead_token", "stream": INBOX, "times": 1, "after": 2}])
    world.exchange()
    assert world.rows(INBOX)["round"].max() == 2
    assert_holds_the_tenant_but_names(world)


def test_equal_delta_link_repeats_changes_without_harm(tmp_path):
    world = World(tmp_path, mailbox([message("m1")], [event("e1")]))
    world.exchange()
    world.step({f"graph/{UNA}/messages.jsonl": [message("m2"), gone("m1")], f"graph/{UNA}/events.jsonl": [event("e2")]})
    world.sandbox.faults.switch_on([{"fault": "equal_delta_link"}])
    reports = [world.exchange() for _ in range(3)]
    assert [(report.rows, report.removes, report.partial) for report in reports] == [(2, 1, False)] * 3
    assert_holds_the_tenant_but_names(world)


def test_partial_rows_merge_and_never_replace(tmp_path):
    world = World(tmp_path, mailbox([message("m1"), message("m2")]))
    world.exchange()
    world.sandbox.faults.switch_on([{"fault": "partial_row", "stream": INBOX}])
    world.exchange()
    assert world.rows(INBOX).filter(op="upsert").height == 3
    assert_holds_the_tenant_but_names(world)


def test_first_load_drops_old_mail_and_counts_it(tmp_path):
    mails = [message("old", at="2025-05-31T23:59:59Z"), message("kept", at="2025-06-01T00:00:00Z"), message("timeless", at=None)]
    world = World(tmp_path, mailbox(mails))
    world.given = {"first_load_days": 365}
    report = world.exchange()
    assert report.dropped["before_history_start"] == 1
    assert held(world.rows())[INBOX].keys() == {"kept", "timeless"}
    assert overview.history_start(overview.read_pages(world.home).collect()).isoformat() == "2025-06-01"
    # the day is fixed: a later run with other settings keeps it, and a partial row of mail that was never landed stays out
    world.clock.pass_by(days=3)
    world.given = {"first_load_days": 30}
    world.step(
        {f"graph/{UNA}/messages.jsonl": [message("late", at="2025-06-01T12:00:00Z"), message("later", at="2025-01-01T00:00:00Z")]}
    )
    world.exchange()
    assert held(world.rows())[INBOX].keys() == {"kept", "timeless", "late"}
    assert overview.history_start(overview.read_pages(world.home).collect()).isoformat() == "2025-06-01"


def test_partial_row_of_mail_that_was_never_landed_stays_out(tmp_path):
    world = World(tmp_path, mailbox([message("old", at="2020-01-01T00:00:00Z"), message("new")]))
    world.given = {"first_load_days": 365}
    world.exchange()
    world.sandbox.faults.switch_on([{"fault": "partial_row", "stream": INBOX}])
    for _ in range(6):
        world.exchange()
    assert set(world.rows(INBOX).filter(op="upsert")["record_id"]) == {"new"}
    assert world.rows(INBOX).filter(op="upsert").height > 1


def test_first_mail_request_has_no_filter_so_that_more_than_5000_are_tracked(tmp_path):
    world = World(tmp_path, mailbox([message("m1")]))
    world.given = {"first_load_days": 365}
    world.exchange()
    assert all("$filter" not in r["query"] for r in world.sandbox.requests if r["stream"] == INBOX)


def test_list_pass_brings_references_of_sent_mail(tmp_path):
    mails = [
        message("m1", internetMessageHeaders=REPLY),
        message("s1", "Sent", internetMessageHeaders=REPLY),
        message("s2", "Below", internetMessageHeaders=REPLY),
    ]
    world = World(tmp_path, mailbox([*mails, message("s3", "Sent")]))
    world.sandbox.faults.switch_on([{"fault": "sent_without_reply_headers"}])
    world.exchange()
    rows = world.rows().filter(pl.col("stream").str.starts_with("messageHeaders/"))
    assert set(rows["stream"]) == {f"messageHeaders/{UNA}/Sent", f"messageHeaders/{UNA}/Below"}
    landed = [json.loads(p) for p in rows.filter(op="upsert")["payload"]]
    assert {r["id"] for r in landed} == {"s1", "s2"}
    assert landed[0]["singleValueExtendedProperties"] == [{"id": "String 0x1042", "value": "<first@mid>"}]
    assert rows.filter(op="page")["round_kind"].unique().to_list() == ["list"] and rows.filter(op="page")[
        "link_kind"
    ].to_list() == ["none", "none"]


def test_list_pass_reads_on_from_the_latest_change_with_an_overlap(tmp_path):
    at = ["2026-05-01T10:00:00Z", "2026-05-02T10:00:00Z", "2026-05-02T10:04:00Z"]
    world = World(tmp_path, mailbox([message(f"s{n}", "Sent", at=a, internetMessageHeaders=REPLY) for n, a in enumerate(at)]))
    world.exchange()
    world.step({f"graph/{UNA}/messages.jsonl": [message("s9", "Sent", at="2026-05-03T10:00:00Z", internetMessageHeaders=REPLY)]})
    world.exchange()
    stream = f"messageHeaders/{UNA}/Sent"
    second = world.rows(stream).filter(pl.col("round") == 2)
    assert set(second.filter(op="upsert")["record_id"]) == {"s1", "s2", "s9"}
    assert (
        next(r for r in reversed(world.sandbox.requests) if r["stream"] == stream)["query"]["$filter"]
        == "lastModifiedDateTime ge 2026-05-02T09:59:00Z"
    )


def test_read_basic_makes_no_list_pass(tmp_path):
    world = World(tmp_path, mailbox([message("s1", "Sent")]))
    world.given = {"mail_profile": "Mail.ReadBasic.All"}
    world.sandbox.faults.switch_on([{"fault": "read_basic"}])
    assert not world.exchange().partial
    assert world.asked(f"messageHeaders/{UNA}/Sent") == 0


def test_n33_masters_that_occurrences_name_are_landed_with_them(tmp_path):
    series = {"type": "seriesMaster", "isCancelled": False}
    events = [event("master", "2020-01-01", **series), event("unused", "2020-01-01", **series)]
    events += [event(f"o{n}", f"2026-06-0{n}", type="occurrence", seriesMasterId="master") for n in (3, 4)]
    events += [event("orphan", type="occurrence", seriesMasterId="lost"), event("single")]
    world = World(tmp_path, mailbox([], events))
    world.sandbox.faults.switch_on([{"fault": "thin_occurrences", "stream": CALENDAR}])
    world.exchange()
    landed = set(world.rows(CALENDAR).filter(op="upsert")["record_id"])
    assert landed == {"master", "o3", "o4", "orphan", "single"}
    assert world.rows(CALENDAR).filter(op="upsert", record_id="master").height == 1
    selected = next(r for r in world.sandbox.requests if r["path"].endswith("/events/master"))["query"]["$select"]
    assert "body" not in selected and "location" not in selected


def test_n52_a_master_with_half_a_surrogate_pair_is_landed_and_parks_nothing(tmp_path):
    master = event("master", "2020-01-01", type="seriesMaster", subject="cut \ud83d")
    world = World(tmp_path, mailbox([], [master, event("o1", type="occurrence", seriesMasterId="master")]))
    assert not world.exchange().parked
    assert set(world.rows(CALENDAR).filter(op="upsert")["record_id"]) == {"master", "o1"}


@pytest.mark.parametrize("reconcile_days", [7, 0])
def test_n36_calendar_window_slides_with_a_full_round_and_keeps_held_meetings(tmp_path, reconcile_days):
    world = World(tmp_path, mailbox([], [event("held", "2025-05-01"), event("soon", "2026-06-10"), event("far", "2026-12-01")]))
    world.given = {"reconcile_days": reconcile_days}
    world.exchange()
    first = world.rows(CALENDAR)
    assert first["window_start"][0] == START.replace(microsecond=0) - timedelta(days=400)
    assert set(first.filter(op="upsert")["record_id"]) == {"held", "soon"}
    world.clock.pass_by(days=8)
    world.exchange()
    second = world.rows(CALENDAR).filter(pl.col("round") == 2)
    assert (second["round_kind"][0], set(second.filter(op="upsert")["record_id"])) == ("reconcile", {"soon", "far"})
    # the meeting of May 2025 lies outside the new window: that it is not shown there does not end it
    assert held(world.rows())[CALENDAR].keys() == {"held", "soon", "far"}


def test_calendar_window_stays_in_a_delta_round(tmp_path):
    world = World(tmp_path, mailbox([], [event("e1"), event("e2")]))
    world.exchange()
    world.step({f"graph/{UNA}/events.jsonl": [gone("e1"), event("e3", "2026-06-12")]})
    world.sandbox.faults.switch_on([{"fault": "removed_outside_window", "stream": CALENDAR}])
    world.clock.pass_by(days=1)
    world.exchange()
    assert world.rows(CALENDAR)["window_start"].n_unique() == 1
    assert held(world.rows())[CALENDAR].keys() == {"e2", "e3"}


def test_n36_window_of_a_replayed_tenant_lies_around_its_as_of(tmp_path):
    given = settings(
        tmp_path, replayed_tenant=True, as_of="2026-07-06T00:00:00Z", calendar_past_days=1460, calendar_future_days=365
    )
    at = datetime(2026, 7, 6, tzinfo=UTC)
    assert calendar_window(START, given) == (at - timedelta(days=1460), at + timedelta(days=365))


def test_past_window_is_never_shorter_than_mail_and_never_longer_than_allowed(tmp_path):
    start, _ = calendar_window(START, settings(tmp_path, first_load_days=600))
    assert START - start == timedelta(days=600)
    start, end = calendar_window(START, settings(tmp_path, calendar_past_days=3000))
    assert end - start == timedelta(days=1825)


def test_opted_in_selection_by_list_group_and_role(tmp_path):
    files = mailbox([message("m1")])
    files["graph/users.jsonl"] = [user(), user(BO, "bo@ours.example")]
    files["graph/groups.jsonl"] = [{"id": "sales", "members": [BO]}]
    files["dataverse/roles.jsonl"] = [{"roleid": "r1", "name": "Sales"}, {"roleid": "r2", "name": "Other"}]
    files["dataverse/systemuserrolescollection.jsonl"] = [
        {"systemuserroleid": "x1", "systemuserid": "u1", "roleid": "r2"},
        {"systemuserroleid": "x2", "systemuserid": "u2", "roleid": "r1"},
    ]
    files["dataverse/systemusers.jsonl"] = [
        {"systemuserid": "u1", "azureactivedirectoryobjectid": UNA},
        {"systemuserid": "u2", "azureactivedirectoryobjectid": BO},
    ]
    world = World(tmp_path, files)

    def chosen(**given):
        world.given = given
        found = list_mailboxes(
            world.connection("graph"),
            world.home,
            world.settings,
            "run",
            crm=world.connection("dataverse"),
            timing=world.clock.timing,
        )
        return [each.user_id for each in found]

    assert chosen() == [UNA, BO]
    assert chosen(mailboxes=["Bo@Ours.example"]) == [BO]
    assert chosen(mailboxes=[UNA.upper()]) == [UNA]
    assert chosen(mailbox_group="sales") == [BO]
    assert chosen(mailbox_role="Sales") == [BO]
    with pytest.raises(SourceError, match=r"nobody@ours\.example"):
        chosen(mailboxes=["nobody@ours.example"])
    with pytest.raises(SourceError, match="Ghosts"):
        chosen(mailbox_role="Ghosts")
    with pytest.raises(SourceError, match="RAPPORT_MAILBOX_GROUP"):
        chosen(mailbox_group="ghosts")


def test_rooms_and_equipment_are_skipped(tmp_path):
    files = mailbox([message("m1")])
    files["graph/users.jsonl"] = [user(), user(BO, "room@ours.example", mailboxSettings={"userPurpose": "room"})]
    world = World(tmp_path, files)
    world.exchange()
    assert not any(BO in stream for stream in world.rows()["stream"].unique())


def test_mailbox_that_is_no_longer_selected_leaves_the_watermarks(tmp_path):
    files = mailbox([message("m1")])
    files["graph/users.jsonl"] = [user(), user(BO, "bo@ours.example")]
    world = World(tmp_path, files)
    world.exchange()
    assert any(BO in mark["stream"] for mark in overview.watermarks(world.home))
    world.given = {"mailboxes": [UNA]}
    world.exchange()
    assert not any(BO in mark["stream"] for mark in overview.watermarks(world.home)) and parking.parked(world.home) == []
    world.given = {}
    world.exchange()
    assert any(BO in mark["stream"] for mark in overview.watermarks(world.home))


@pytest.mark.parametrize(("fault", "more"), [("forbidden", {}), ("not_found", {}), ("server_error", {})])
def test_mailbox_that_cannot_be_read_parks_alone(tmp_path, fault, more):
    files = mailbox([message("m1")])
    files["graph/users.jsonl"] = [user(), user(BO, "bo@ours.example")]
    world = World(tmp_path, files)
    world.exchange()
    world.sandbox.faults.switch_on([{"fault": fault, "stream": f"*/{BO}*", **more}])
    report = world.exchange()
    assert [stream for stream, _, _ in report.parked] == [f"mailFolders/{BO}"]
    marks = {mark["stream"]: mark["parked_reason"] for mark in overview.watermarks(world.home)}
    assert marks[CALENDAR] is None and marks[f"calendarView/{BO}"] is not None
    world.sandbox.faults.switch_on([])
    world.clock.pass_by(days=1, minutes=1)
    assert not world.exchange().partial


def test_user_without_a_mailbox_is_left_out_but_a_missing_one_is_parked(tmp_path):
    files = mailbox([message("m1")])
    guest = "20000000-0000-4000-8000-00000000000c"
    files["graph/users.jsonl"] = [user(), user(BO, "bo@ours.example"), user(guest, "guest@theirs.example", userType="Guest")]
    world = World(tmp_path, files)
    world.sandbox.faults.switch_on([{"fault": "not_found", "stream": f"*/{who}*"} for who in (BO, guest)])
    assert [stream for stream, _, _ in world.exchange().parked] == [f"mailFolders/{BO}"]


def test_folder_that_disappears_is_retired_without_parking(tmp_path):
    world = World(tmp_path, mailbox([message("m1"), message("s1", "Below")]))
    world.exchange()
    world.step({f"graph/{UNA}/mailFolders.jsonl": [gone("Below")]})
    assert not world.exchange().partial
    assert BELOW not in {mark["stream"] for mark in overview.watermarks(world.home)}
    assert "Below" not in held(world.rows())[f"mailFolders/{UNA}"]


@pytest.mark.parametrize("code", ["ResourceNotFound", "MailboxNotEnabledForRESTAPI"])
def test_folder_of_which_nobody_can_say_whether_it_is_there_is_parked_and_stops_no_other(tmp_path, code):
    world = World(tmp_path, mailbox([message("m1"), message("j1", "Junk")]))
    world.exchange()
    before = world.asked(f"mailFolders/{UNA}")
    world.exchange()
    for_the_list = world.asked(f"mailFolders/{UNA}") - before
    world.step({f"graph/{UNA}/messages.jsonl": [message("m2"), message("j2", "Junk")]})
    lost = {"fault": "not_found", "code": code}
    world.sandbox.switch_on([{**lost, "stream": INBOX}, {**lost, "stream": f"mailFolders/{UNA}", "after": for_the_list}])
    assert [(stream, reason) for stream, reason, _ in world.exchange().parked] == [(INBOX, f"HTTP 404 {code}")]
    assert "j2" in held(world.rows())[JUNK]


def test_skipped_folders_are_not_read(tmp_path):
    world = World(tmp_path, mailbox([message("m1"), message("s1", "Sent"), message("s2", "Below")]))
    world.given = {"skip_folders": ["sentitems"]}
    world.exchange()
    assert {s for s in world.rows()["stream"].unique() if s.startswith("messages/")} == {INBOX, JUNK}


def test_hidden_folders_are_left_out_on_request(tmp_path):
    world = World(tmp_path, mailbox([message("m1"), message("j1", "Junk")]))
    world.given = {"hidden_folders": False}
    world.exchange()
    assert {s for s in world.rows()["stream"].unique() if s.startswith("messages/")} == {INBOX, SENT, BELOW}


def test_folders_are_landed_again_only_when_they_change(tmp_path):
    world = World(tmp_path, mailbox([message("m1")]))
    world.exchange()
    asked = world.asked(f"mailFolders/{UNA}")
    world.exchange()
    folders = world.rows(f"mailFolders/{UNA}")
    assert folders.filter(pl.col("round") == 2).height == 1
    assert world.asked(f"mailFolders/{UNA}") - asked < asked
    world.step({f"graph/{UNA}/mailFolders.jsonl": [{**FOLDERS[2], "parentFolderId": "Root"}]})
    world.exchange()
    assert held(world.rows())[f"mailFolders/{UNA}"]["Below"]["parentFolderId"] == "Root"


def test_n14_a_well_known_folder_that_comes_later_is_known_by_its_name(tmp_path):
    world = World(tmp_path, mailbox([message("m1")], folders=FOLDERS[:2]))
    world.exchange()
    world.step({f"graph/{UNA}/mailFolders.jsonl": [FOLDERS[3]]})
    world.exchange()
    assert held(world.rows())[f"mailFolders/{UNA}"]["Junk"]["wellKnownName"] == "junkemail"


def test_folders_that_settings_come_to_skip_are_read_no_more(tmp_path):
    world = World(tmp_path, mailbox([message("m1")]))
    world.exchange()
    world.given = {"skip_folders": ["inbox"]}
    world.exchange()
    assert parking.read(stream_folder(world.home, "graph", INBOX)).is_retired


def test_ids_that_differ_in_case_alone_are_two_messages(tmp_path):
    world = World(tmp_path, mailbox([message("AAMkAGa="), message("AAMkAGA=")]))
    world.exchange()
    assert held(world.rows())[INBOX].keys() == {"AAMkAGa=", "AAMkAGA="}


def test_at_most_four_requests_of_a_mailbox_at_a_time(tmp_path):
    folders = [*FOLDERS, *({"id": f"F{n}", "displayName": "x", "parentFolderId": "Root"} for n in range(20))]
    world = World(tmp_path, mailbox([message(f"m{n}", f"F{n}") for n in range(20)], folders=folders))
    under_way, most = 0, 0
    inner = world.transport

    class Counting(type(inner)):
        async def handle_async_request(self, request):
            nonlocal under_way, most
            import asyncio

            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1
            return inner.handle_request(request)

    world.transport = Counting(world.sandbox)
    world.exchange()
    assert most == 4


@pytest.mark.parametrize(
    "line",
    [
        f"user,{BO.upper()}",
        "user,00000000-0000-4000-8000-000000000001",
        "address,B.Alias@ours.example",
        "domain,bo.example",
        "flag",
    ],
)
def test_n55_mailbox_of_someone_who_opted_out_is_never_read(tmp_path, line):
    files = mailbox([message("m1")])
    files["graph/users.jsonl"] = [
        user(),
        user(BO, "bo@bo.example", proxyAddresses=["SMTP:bo@bo.example", "smtp:b.alias@ours.example"]),
    ]
    files["dataverse/systemusers.jsonl"] = [
        {
            "systemuserid": "{00000000-0000-4000-8000-000000000001}",
            "azureactivedirectoryobjectid": f"{{{BO.upper()}}}",
            "new_private": True,
        },
        {"systemuserid": "00000000-0000-4000-8000-000000000002", "azureactivedirectoryobjectid": UNA, "new_private": False},
    ]
    world = World(tmp_path, files)
    world.given = (
        {"privacy_opt_out_flags": ["systemuser.new_private"]}
        if line == "flag"
        else {"privacy_opt_out_file": tmp_path / "opt_out.csv"}
    )
    (tmp_path / "opt_out.csv").write_text(f"kind,value\n{line}\n")
    if line == "flag" or line.endswith("0001"):
        with pytest.raises(SourceError, match="run extract_crm first"):
            world.exchange()
    world.crm("systemusers")
    world.exchange()
    assert not any(BO in request["path"] for request in world.sandbox.requests)
    assert world.asked(INBOX) == 1
