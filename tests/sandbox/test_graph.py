"""Graph: users, folders, messages by delta and by list, calendar views."""

from pathlib import Path

import pytest

from sandbox.graph import FILTERED_LIMIT
from tests.sandbox.world import (
    CALENDAR,
    FOLDERS,
    GRAPH,
    PAGED,
    USER,
    account,
    client,
    delta,
    event,
    ids,
    mailbox,
    message,
    page,
    round_of,
    write,
)

PROPERTIES = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x1042' or id eq 'String 0x1039')"


def test_delta_of_a_folder_follows_changes_moves_and_removals(tmp_path: Path) -> None:
    files = mailbox([message("a", "Inbox"), message("b", "Inbox"), message("c", "Inbox"), message("s", "Sent")])
    files[f"changes/001/graph/{USER}/messages.jsonl"] = [
        {"id": "a", "@removed": {"reason": "deleted"}},
        {"id": "b", "parentFolderId": "Sent"},
        {"id": "c", "subject": "changed"},
        {"id": "s", "@removed": {"reason": "deleted"}},
        message("s", "Sent", subject="back"),
    ]
    sandbox, http = client(write(tmp_path, files))
    rows, inbox = round_of(http, delta())
    assert ids(rows) == ["a", "b", "c"]
    _, sent = round_of(http, delta("sentitems"))
    assert round_of(http, inbox)[0] == []
    sandbox.advance()
    changed, inbox = round_of(http, inbox)
    assert sorted(ids(changed)) == ["-a", "-b", "c"]
    assert next(row for row in changed if row["id"] == "c")["receivedDateTime"]
    moved, _ = round_of(http, sent)
    assert ids(moved) == ["b", "s"] and moved[0]["subject"] == "b"
    assert round_of(http, inbox)[0] == []
    assert sandbox.tenant.records(f"messages/{USER}/Inbox").keys() == {"c"}


def test_r6_rows_of_one_id_are_merged_and_served_in_the_last_folder_alone(tmp_path: Path) -> None:
    rows = [
        message("a", "Inbox", isRead=False, cc=1),
        {"id": "b", "parentFolderId": "Inbox"},
        {"id": "a", "parentFolderId": "Sent", "cc": None},
    ]
    _, http = client(write(tmp_path, mailbox(rows)))
    assert ids(round_of(http, delta())[0]) == ["b"]
    (merged,) = round_of(http, delta("Sent"))[0]
    assert merged["subject"] == "a" and merged["cc"] is None and merged["isRead"] is False


def test_g2_unknown_folders_and_users_serve_nothing_and_a_removed_folder_takes_all_below_along(tmp_path: Path) -> None:
    folders = [*FOLDERS, {"id": "Below", "parentFolderId": "Inbox"}]
    files = mailbox(
        [message("x", "Nowhere"), message("a", "Inbox"), message("b", "Below"), message("c", "Inbox")], folders=folders
    )
    files["graph/ghost/mailFolders.jsonl"] = FOLDERS
    files["graph/ghost/messages.jsonl"] = [message("g", "Inbox")]
    files[f"changes/001/graph/{USER}/mailFolders.jsonl"] = [{"id": "Inbox", "@removed": {"reason": "deleted"}}]
    files[f"changes/001/graph/{USER}/messages.jsonl"] = [{"id": "c", "parentFolderId": "Sent"}]
    files[f"changes/002/graph/{USER}/mailFolders.jsonl"] = FOLDERS
    sandbox, http = client(write(tmp_path, files))
    assert ids(round_of(http, delta())[0]) == ["a", "c"]
    assert http.get(delta("Nowhere")).json()["error"]["code"] == "ErrorItemNotFound"
    assert http.get("/graph/v1.0/users/ghost/mailFolders/Inbox/messages/delta").status_code == 404
    _, link = round_of(http, f"{GRAPH}/mailFolders/delta")
    sandbox.advance()
    assert sorted(ids(round_of(http, link)[0])) == ["-Below", "-Inbox"]
    assert http.get(delta()).status_code == 404 and http.get(delta("Below")).status_code == 404
    (saved,) = round_of(http, delta("Sent"))[0]
    assert saved["subject"] == "c"
    sandbox.advance()
    assert round_of(http, delta())[0] == []


def test_g2_broken_lines_are_served_once_as_they_stand_each_on_its_own_line(tmp_path: Path) -> None:
    broken = ['{"id": "cut', "[1,2,3]", '"text"', '{"subject":"no id"}', "null"]
    files = mailbox([message("a", "Inbox"), *broken, message("b", "Sent")])
    files[f"changes/001/graph/{USER}/messages.jsonl"] = ["{later"]
    sandbox, http = client(write(tmp_path, files))
    body = http.get(delta()).content
    for line in broken:
        assert sum(got.rstrip(b",") == line.encode() for got in body.split(b"\n")) == 1
    assert ids(round_of(http, delta("Sent"))[0]) == ["b"]
    link = body.decode().partition('deltaLink":"')[2].partition('"')[0]
    sandbox.advance()
    assert http.get(link).content.split(b"\n")[1:2] == [b"{later"]


def test_g2_a_line_with_half_a_surrogate_pair_is_served_in_its_own_folder(tmp_path: Path) -> None:
    half = '{"id": "b", "parentFolderId": "Sent", "subject": "cut \\ud83d"}'
    partial = '{"id": "b", "isDraft": false}'
    _, http = client(write(tmp_path, mailbox([message("a", "Inbox"), half, partial])))
    assert ids(round_of(http, delta())[0]) == ["a"]
    assert b'"isDraft": false' in http.get(delta("Sent")).content
    listed = f"{GRAPH}/mailFolders/Sent/messages?$expand=singleValueExtendedProperties($filter=id eq 'String 0x1042')"
    assert http.get(listed).status_code == 200


def test_n14_folders_above_themselves_are_listed_and_names_are_known_in_any_case(tmp_path: Path) -> None:
    folders = [
        {"id": "Self", "parentFolderId": "Self", "wellKnownName": "JunkEmail"},
        {"id": "A", "parentFolderId": "B"},
        {"id": "B", "parentFolderId": "A"},
        {"id": "Below", "parentFolderId": "B"},
    ]
    _, http = client(write(tmp_path, mailbox([], folders=folders)))
    assert ids(round_of(http, f"{GRAPH}/mailFolders")[0]) == ["Self", "A", "B"]
    assert page(http, f"{GRAPH}/mailFolders/junkemail")["id"] == "Self"


def test_folders_hide_well_known_names_and_hidden_ones_unless_asked(tmp_path: Path) -> None:
    folders = [
        *FOLDERS,
        {"id": "Below", "displayName": "Below", "parentFolderId": "Inbox", "childFolderCount": 9},
        {"id": "Hidden", "parentFolderId": "Root", "isHidden": True},
        {"@odata.type": "#microsoft.graph.mailSearchFolder", "id": "Search", "parentFolderId": "Root"},
    ]
    _, http = client(write(tmp_path, mailbox([], folders=folders)))
    top, _ = round_of(http, f"{GRAPH}/mailFolders")
    assert ids(top) == ["Inbox", "Sent", "Search"] and top[2]["@odata.type"].endswith("mailSearchFolder")
    assert not any("wellKnownName" in row for row in top)
    assert [row["childFolderCount"] for row in top] == [1, 0, 0]
    assert "Hidden" in ids(round_of(http, f"{GRAPH}/mailFolders?includeHiddenFolders=true")[0])
    assert ids(round_of(http, f"{GRAPH}/mailFolders/Inbox/childFolders")[0]) == ["Below"]
    assert page(http, f"{GRAPH}/mailFolders/sentitems?$select=id")["id"] == "Sent"
    assert http.get(f"{GRAPH}/mailFolders/archive").status_code == 404


def test_message_delta_selects_and_shows_headers_only_when_named(tmp_path: Path) -> None:
    rows = [message("a", "Inbox", internetMessageHeaders=[{"name": "X", "value": "y"}], singleValueExtendedProperties=[])]
    _, http = client(write(tmp_path, mailbox(rows)))
    plain = round_of(http, delta())[0][0]
    assert "internetMessageHeaders" not in plain and "singleValueExtendedProperties" not in plain
    (row,), link = round_of(http, delta() + "?$select=subject,internetMessageHeaders")
    assert row.keys() == {"id", "subject", "internetMessageHeaders"}
    assert "select" not in link


def test_message_delta_refuses_expand_and_other_filters(tmp_path: Path) -> None:
    _, http = client(write(tmp_path, mailbox([message("a", "Inbox")])))
    refused = http.get(delta() + f"?{PROPERTIES}")
    assert refused.status_code == 500 and "Value cannot be null" in refused.json()["error"]["message"]
    assert http.get(delta() + "?$filter=isRead eq true").status_code == 400
    assert http.get(delta() + "?$orderby=subject").status_code == 400
    unsupported = http.get(f"{GRAPH}/messages/delta").json()["error"]["message"]
    assert unsupported == "Change tracking is not supported against 'microsoft.graph.message'."
    assert len(round_of(http, delta() + "?$top=1")[0]) == 1


def test_filtered_delta_tracks_the_newest_5000_only(tmp_path: Path) -> None:
    rows = [message(f"m{n:05d}", "Inbox", at=f"2026-06-{1 + n // 1000:02d}T10:00:00Z") for n in range(FILTERED_LIMIT + 1000)]
    _, http = client(write(tmp_path, mailbox(rows)))
    big = {"prefer": "odata.maxpagesize=1000"}
    found, _ = round_of(http, delta() + "?$filter=receivedDateTime ge 2026-01-01T00:00:00Z", big)
    assert len(found) == FILTERED_LIMIT and min(ids(found)) == "m01000"
    assert len(round_of(http, delta() + "?$filter=receivedDateTime gt 2026-06-05T10:00:00Z", big)[0]) == 1000
    assert len(round_of(http, delta(), big)[0]) == FILTERED_LIMIT + 1000


def test_list_pass_gives_extended_properties_given_or_from_headers(tmp_path: Path) -> None:
    given = [{"id": "String 0x1039", "value": "<r>"}, {"id": "String 0x1035", "value": "<own>"}]
    rows = [
        message("late", "Sent", at="2026-06-20T00:00:00Z", internetMessageHeaders=[{"name": "in-reply-to", "value": "<h>"}]),
        message("early", "Sent", at="2026-06-01T00:00:00Z"),
        message("mid", "Sent", at="2026-06-10T00:00:00Z", singleValueExtendedProperties=given),
    ]
    _, http = client(write(tmp_path, mailbox(rows)))
    base = f"{GRAPH}/mailFolders/Sent/messages?$select=id&$orderby=lastModifiedDateTime&{PROPERTIES}"
    found, _ = round_of(http, f"{base}&$filter=lastModifiedDateTime ge 2026-06-02T00:00:00Z")
    assert ids(found) == ["mid", "late"]
    assert found[0]["singleValueExtendedProperties"] == [given[0]]
    assert found[1]["singleValueExtendedProperties"] == [{"id": "String 0x1042", "value": "<h>"}]
    assert "singleValueExtendedProperties" not in round_of(http, base)[0][0]
    refused = http.get(f"{base}&$filter=receivedDateTime ge 2026-06-02T00:00:00Z")
    assert refused.json()["error"]["code"] == "InefficientFilter"


def test_n36_calendar_view_shows_what_overlaps_and_no_masters(tmp_path: Path) -> None:
    events = [
        event("in", "2026-06-10T10:00:00.0000000", "2026-06-10T11:00:00.0000000"),
        event("across", "2026-05-31T23:00:00", "2026-06-01T00:30:00"),
        event("before", "2026-05-31T23:00:00", "2026-06-01T00:00:00"),
        event("after", "2026-07-01T00:00:00", "2026-07-01T01:00:00"),
        event("odd", "when?", "2026-07-09T01:00:00"),
        {
            "id": "zone",
            "start": {"dateTime": "2026-07-01T01:00:00", "timeZone": "Europe/Berlin"},
            "end": {"dateTime": "2026-07-01T02:00:00", "timeZone": "Europe/Berlin"},
        },
        {
            "id": "windows zone",
            "start": {"dateTime": "2026-07-01T02:00:00", "timeZone": "W. Europe Standard Time"},
            "end": {"dateTime": "2026-07-01T03:00:00", "timeZone": "W. Europe Standard Time"},
        },
        {"id": "endless", "start": {"dateTime": "2026-05-31T23:00:00", "timeZone": ""}},
        event("master", "2026-06-10T10:00:00", "2026-06-10T11:00:00", type="seriesMaster"),
        event("occurrence", "2026-06-11T10:00:00", "2026-06-11T11:00:00", type="occurrence", seriesMasterId="master"),
    ]
    _, http = client(write(tmp_path, mailbox([], events)))
    assert ids(round_of(http, CALENDAR)[0]) == ["in", "across", "odd", "zone", "occurrence"]
    assert page(http, f"{GRAPH}/events/master")["type"] == "seriesMaster"
    assert http.get(f"{GRAPH}/events/none").status_code == 404
    assert http.get(f"{GRAPH}/calendarView/delta").json()["error"]["code"] == "ErrorInvalidParameter"
    assert http.get(f"{CALENDAR}&$select=id").status_code == 400
    wide = f"{GRAPH}/calendarView/delta?startDateTime=2020-01-01T00:00:00Z&endDateTime=2026-01-01T00:00:00Z"
    assert http.get(wide).status_code == 400


def test_n33_a_changed_master_brings_its_occurrences_along(tmp_path: Path) -> None:
    times = "2026-06-10T10:00:00", "2026-06-10T11:00:00"
    events = [
        event("m", *times, type="seriesMaster"),
        event("o", *times, type="occurrence", seriesMasterId="m"),
        event("out", *times),
    ]
    files = mailbox([], events)
    later = "2026-08-10T10:00:00", "2026-08-10T11:00:00"
    files[f"changes/001/graph/{USER}/events.jsonl"] = [{"id": "m", "isCancelled": True}, event("out", *later)]
    sandbox, http = client(write(tmp_path, files))
    _, link = round_of(http, CALENDAR)
    sandbox.advance()
    assert ids(round_of(http, link)[0]) == ["o", "-out"]
    assert page(http, f"{GRAPH}/events/m")["isCancelled"] is True


def test_users_by_list_delta_name_settings_and_groups(tmp_path: Path) -> None:
    other = USER[:-1] + "b"
    files = mailbox([])
    files["graph/users.jsonl"] += [{"id": other, "mail": None, "mailboxSettings": {"userPurpose": "room"}}]
    files["graph/groups.jsonl"] = [{"id": "G", "members": [other, "nobody"]}]
    files["changes/001/graph/users.jsonl"] = [{"id": other, "@removed": {"reason": "changed"}}]
    sandbox, http = client(write(tmp_path, files, {"time_zone": "Europe/Berlin"}))
    assert ids(round_of(http, "/graph/v1.0/users?$select=mail&$top=1")[0]) == [USER, other]
    rows, link = round_of(http, "/graph/v1.0/users/delta?$select=id,mail")
    assert rows[0] == {"id": USER, "mail": "una@ours.example"}
    assert page(http, "/graph/v1.0/users/UNA@ours.example")["id"] == USER
    assert page(http, f"{GRAPH}/mailboxSettings")["timeZone"] == "Europe/Berlin"
    assert page(http, f"/graph/v1.0/users/{other.upper()}/mailboxSettings")["userPurpose"] == "room"
    assert ids(round_of(http, "/graph/v1.0/groups/g/members")[0]) == [other]
    sandbox.advance()
    assert round_of(http, link)[0] == [{"id": other, "@removed": {"reason": "changed"}}]
    assert http.get("/graph/v1.0/users/nobody").json()["error"]["code"] == "Request_ResourceNotFound"


def test_tokens_of_another_stream_are_gone(tmp_path: Path) -> None:
    _, http = client(write(tmp_path, mailbox([message("a", "Inbox")])))
    _, link = round_of(http, delta())
    reply = http.get(link.replace("mailFolders/Inbox", "mailFolders/Sent"), headers=PAGED)
    assert reply.status_code == 410 and reply.json()["error"]["code"] == "SyncStateNotFound"


@pytest.mark.parametrize("path", ["users", f"users/{USER}/mailFolders"])
def test_a_tenant_without_users_has_no_graph(tmp_path: Path, path: str) -> None:
    _, http = client(write(tmp_path, {"dataverse/accounts.jsonl": [account(1)]}))
    assert http.get(f"/graph/v1.0/{path}").status_code == 404
