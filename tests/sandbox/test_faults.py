"""Each fault, seen from a client."""

import contextlib
import email.utils
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from jobs.errors import RapportError
from sandbox.faults import DEAD_TOKEN_CODES, FAULTS, HARMLESS
from sandbox.server import Sandbox
from tests.sandbox.world import (
    API,
    CALENDAR,
    GRAPH,
    TRACKED,
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

INBOX = f"messages/{USER}/Inbox"


@pytest.fixture
def tenant(tmp_path: Path) -> Path:
    reply_headers = [{"name": "In-Reply-To", "value": "<x>"}, {"name": "X", "value": "y"}]
    times = ("2026-06-10T10:00:00", "2026-06-10T11:00:00")
    files = mailbox(
        [message(name, "Inbox", isDraft=False) for name in "abcd"] + [message("s", "Sent", internetMessageHeaders=reply_headers)],
        [
            event("m", *times, type="seriesMaster", sensitivity="private", attendees=[1]),
            event("o", *times, type="occurrence", seriesMasterId="m", sensitivity="private", attendees=[]),
            event("far", "2026-09-10T10:00:00", "2026-09-10T11:00:00"),
        ],
    )
    files["dataverse/accounts.jsonl"] = [account(1), account(2), account(3)]
    files[f"changes/001/graph/{USER}/messages.jsonl"] = [message("e", "Inbox")]
    files["changes/001/dataverse/accounts.jsonl"] = [account(4)]
    return write(tmp_path / "tenant", files)


def world(tenant: Path, *names: str, stream: str = "*", seed: int = 0, **more: Any) -> tuple[Sandbox, httpx.Client]:
    """A sandbox with faults of these names on."""
    sandbox, http = client(tenant)
    sandbox.switch_on([{"fault": name, "stream": stream, **more} for name in names], seed)
    return sandbox, http


def later_round(tenant: Path, name: str, **more: Any) -> tuple[Sandbox, httpx.Client, str]:
    """After a first round of the inbox and one change, with the fault on: the deltaLink to follow."""
    sandbox, http = client(tenant)
    _, link = round_of(http, delta())
    sandbox.advance()
    sandbox.switch_on([{"fault": name, **more}])
    return sandbox, http, link


def codes(http: httpx.Client, url: str, times: int, **options: Any) -> list[int]:
    return [http.get(url, **options).status_code for _ in range(times)]


def test_switches_spare_strike_and_count_by_stream_and_seed(tenant: Path) -> None:
    sandbox, http = world(tenant, "server_error", stream="messages/*", after=1, times=2)
    assert codes(http, delta(), 5) == [200, 500, 500, 200, 200]
    assert codes(http, delta("Sent"), 2) == [200, 500] and codes(http, f"{API}/accounts", 1) == [200]
    (count,) = sandbox.faults.counts()
    assert (count["seen"], count["struck"]) == (7, 3) and count["by_stream"][INBOX] == 2

    def pattern(seed: int, others: int) -> list[int]:
        _, http = world(tenant, "server_error", rate=0.5, seed=seed)
        codes(http, f"{API}/accounts", others)
        return codes(http, delta(), 40)

    assert pattern(1, 0) == pattern(1, 7) != pattern(2, 0)
    assert 8 < pattern(1, 0).count(500) < 32
    sandbox.switch_on([])
    assert codes(http, delta(), 3) == [200] * 3


def test_unknown_faults_and_parameters_are_refused_by_name(tenant: Path) -> None:
    sandbox, _ = client(tenant)
    with pytest.raises(RapportError, match="no fault 'trottled'"):
        sandbox.switch_on([{"fault": "trottled"}])
    with pytest.raises(RapportError, match="throttled has no parameter wait"):
        sandbox.switch_on([{"fault": "throttled", "wait": 3}])


@pytest.mark.parametrize(
    ("kind", "expected"), [("integer", "1"), ("decimal", "2.128"), ("long", "300"), ("none", None), ("7.5", "7.5")]
)
def test_throttled(tenant: Path, kind: str, expected: str | None) -> None:
    _, http = world(tenant, "throttled", retry_after=kind)
    for url, code in ((delta(), "ApplicationThrottled"), (f"{API}/accounts", "0x80072322")):
        reply = http.get(url)
        assert reply.status_code == 429 and reply.headers.get("retry-after") == expected
        assert reply.json()["error"]["code"] == code


def test_throttled_until_a_date(tenant: Path) -> None:
    _, http = world(tenant, "throttled", retry_after="date", seconds=120)
    reply = http.get(delta())
    until = email.utils.parsedate_to_datetime(reply.headers["retry-after"])
    assert 118 <= (until - email.utils.parsedate_to_datetime(reply.headers["date"])).total_seconds() <= 122


def test_global_rate(tenant: Path) -> None:
    sandbox, http = world(tenant, "global_rate", requests=3, window=60)
    assert codes(http, delta(), 2) + codes(http, f"{API}/accounts", 2) == [200, 200, 200, 429]
    assert 0 < float(http.get(delta()).headers["retry-after"]) <= 60
    assert sandbox.faults.counts()[0]["struck"] == 2


def test_unauthorized_once_for_ever_and_until_refreshed(tenant: Path) -> None:
    assert codes(world(tenant, "unauthorized", times=1)[1], delta(), 3) == [401, 200, 200]
    assert codes(world(tenant, "unauthorized")[1], delta(), 3) == [401] * 3
    _, http = world(tenant, "unauthorized", until_refreshed=True)
    old, new = ({"authorization": f"Bearer {name}"} for name in ("old", "new"))
    assert codes(http, delta(), 2, headers=old) == [401, 401]
    assert codes(http, delta(), 1, headers=new) + codes(http, delta(), 1, headers=old) == [200, 401]


def test_forbidden_names_the_privilege_of_a_table_and_parks_one_mailbox(tenant: Path) -> None:
    _, http = world(tenant, "forbidden", stream=f"*{USER}*")
    assert codes(http, f"{API}/accounts", 1) == [200]
    reply = http.get(delta())
    assert reply.status_code == 403 and reply.json()["error"]["code"] == "ErrorAccessDenied"
    _, http = world(tenant, "forbidden", stream="accounts", privilege="prvReadAccount")
    error = http.get(f"{API}/accounts").json()["error"]
    assert error["code"] == "0x80040220" and "missing prvReadAccount privilege" in error["message"]


def test_not_found_alternates(tenant: Path) -> None:
    _, http = world(tenant, "not_found", stream=f"mailFolders/{USER}")
    found = [http.get(f"{GRAPH}/mailFolders").json()["error"]["code"] for _ in range(3)]
    assert found == ["MailboxNotEnabledForRESTAPI", "ResourceNotFound", "MailboxNotEnabledForRESTAPI"]


@pytest.mark.parametrize("status", [502, 503, 504, 509])
def test_unavailable(tenant: Path, status: int) -> None:
    _, http = world(tenant, "unavailable", status=status, retry_after="integer", times=1)
    reply = http.get(delta())
    assert (reply.status_code, reply.headers["retry-after"]) == (status, "1")
    assert codes(http, delta(), 1) == [200]


def test_dead_token_at_start_stays_dead_and_a_full_round_gives_a_living_one(tenant: Path) -> None:
    sandbox, http, link = later_round(tenant, "dead_token", when="delta", times=1)
    for _ in range(3):
        reply = http.get(link)
        assert reply.status_code == 410 and reply.json()["error"]["code"] in DEAD_TOKEN_CODES
    rows, fresh = round_of(http, delta())
    assert ids(rows) == list("abcde") and fresh != link
    assert round_of(http, fresh)[0] == []
    assert sandbox.faults.counts()[0]["struck"] == 1


@pytest.mark.parametrize("code", DEAD_TOKEN_CODES)
def test_dead_token_in_mid_round(tenant: Path, code: str) -> None:
    _, http = world(tenant, "dead_token", when="next", code=code)
    following = page(http, delta())["@odata.nextLink"]
    assert http.get(following).json()["error"]["code"] == code


def test_dead_token_of_a_table(tenant: Path) -> None:
    _, http = world(tenant, "dead_token", status=410, times=1)
    following = page(http, f"{API}/accounts", TRACKED)["@odata.nextLink"]
    reply = http.get(following, headers=TRACKED)
    assert reply.status_code == 410 and reply.json()["error"]["code"] == "0x80044352"
    assert len(round_of(http, f"{API}/accounts", TRACKED)[0]) == 3


def test_column_missing_is_refused_by_name(tenant: Path) -> None:
    _, http = world(tenant, "column_missing", column="industrycode")
    error = http.get(f"{API}/accounts?$select=name,industrycode").json()["error"]
    assert error["message"] == "Could not find a property named 'industrycode' on type 'Microsoft.Dynamics.CRM.account'."
    assert codes(http, f"{API}/accounts?$select=name", 1) == [200]


def test_column_missing_strikes_a_round_that_began_with_it(tenant: Path) -> None:
    sandbox, http = client(tenant)
    _, link = round_of(http, delta() + "?$select=subject")
    sandbox.switch_on([{"fault": "column_missing", "column": "subject"}])
    assert http.get(link).json()["error"]["code"] == "RequestBroker-ParseUri"


def test_change_tracking_off(tenant: Path) -> None:
    _, http = world(tenant, "change_tracking_off", stream="accounts")
    tables = {row["EntitySetName"]: row["ChangeTrackingEnabled"] for row in page(http, f"{API}/EntityDefinitions")["value"]}
    assert tables["accounts"] is False and tables["contacts"] is True
    assert codes(http, f"{API}/accounts", 1, headers=TRACKED) == [400] and codes(http, f"{API}/accounts", 1) == [200]


def test_read_basic_has_no_extended_properties_and_no_headers(tenant: Path) -> None:
    listing = f"{GRAPH}/mailFolders/Sent/messages?$expand=singleValueExtendedProperties($filter=id eq 'String 0x1042')"
    headers = delta("Sent") + "?$select=subject,internetMessageHeaders"
    _, http = world(tenant, "read_basic")
    assert codes(http, listing, 1) == [403] and "internetMessageHeaders" not in page(http, headers)["value"][0]
    _, http = world(tenant, "read_basic", headers=True)
    assert codes(http, listing, 1) == [403] and "internetMessageHeaders" in page(http, headers)["value"][0]


def test_empty_page(tenant: Path) -> None:
    _, http = world(tenant, "empty_page", times=2)
    first = page(http, delta())
    assert first["value"] == [] and "@odata.deltaLink" not in first
    assert ids(round_of(http, first["@odata.nextLink"])[0]) == list("abcd")


def test_empty_delta_puts_changes_off_and_its_link_is_new(tenant: Path) -> None:
    _, http, link = later_round(tenant, "empty_delta", times=1)
    rows, following = round_of(http, link)
    assert rows == [] and following != link
    assert ids(round_of(http, following)[0]) == ["e"]


def test_empty_last_page(tenant: Path) -> None:
    _, http = world(tenant, "empty_last_page", times=1)
    second = page(http, page(http, delta())["@odata.nextLink"])
    assert ids(second["value"]) == ["c", "d"]
    last = page(http, second["@odata.nextLink"])
    assert last["value"] == [] and "@odata.deltaLink" in last


def test_partial_row_of_an_unchanged_message(tenant: Path) -> None:
    _, http, link = later_round(tenant, "partial_row", rows=2)
    changed, *partial = round_of(http, link)[0]
    assert changed["id"] == "e" and len(partial) == 2
    for row in partial:
        assert row.keys() == {"id", "isRead", "parentFolderId"} and row["id"] in "abcd" and row["parentFolderId"] == "Inbox"


def test_repeated_row(tenant: Path) -> None:
    _, http = world(tenant, "repeated_row", times=1)
    found = ids(round_of(http, delta())[0])
    assert len(found) == 5 and set(found) == set("abcd")


def test_removed_in_first_round_comes_before_the_record(tenant: Path) -> None:
    _, http = world(tenant, "removed_in_first_round", times=1)
    found = ids(round_of(http, delta())[0])
    (removed,) = [name for name in found if name.startswith("-")]
    assert found.index(removed) + 1 == found.index(removed[1:])
    tables = ids(round_of(http, f"{API}/accounts", TRACKED)[0], "accountid")
    assert len(tables) == 4 and sum(name.startswith("-") for name in tables) == 1


def test_removed_never_seen(tenant: Path) -> None:
    _, http = world(tenant, "removed_never_seen", times=1)
    (ghost,) = [name for name in ids(round_of(http, delta())[0]) if name.startswith("-")]
    assert ghost[1:] not in "abcd"
    rows, _ = round_of(http, f"{API}/accounts", TRACKED)
    assert [row["reason"] for row in rows if "reason" in row] == ["deleted"]


def test_removed_outside_window_names_an_event_that_still_is(tenant: Path) -> None:
    _, http = world(tenant, "removed_outside_window")
    assert ids(round_of(http, CALENDAR)[0]) == ["o", "-far"]


def test_moved_away_and_back_shows_the_removal_alone(tenant: Path) -> None:
    sandbox, http, link = later_round(tenant, "moved_away_and_back")
    changed, gone = ids(round_of(http, link)[0])
    assert changed == "e" and gone[1:] in sandbox.tenant.records(INBOX)


def test_links_first(tenant: Path) -> None:
    body = world(tenant, "links_first")[1].get(delta()).content
    assert body.index(b"deltaLink") < body.index(b'"value"') and orjson.loads(body)["value"]


def test_equal_delta_link_repeats_the_round(tenant: Path) -> None:
    _, http, link = later_round(tenant, "equal_delta_link", times=1)
    rows, same = round_of(http, link)
    assert same == link and ids(rows) == ["e"]
    again, following = round_of(http, link)
    assert again == rows and following != link


def test_same_next_link(tenant: Path) -> None:
    _, http = world(tenant, "same_next_link", times=1)
    files = {"dataverse/accounts.jsonl": [account(n) for n in range(6)]}
    sandbox, http = client(write(tenant.parent / "six", files))
    sandbox.switch_on([{"fault": "same_next_link", "times": 1}])
    second = page(http, f"{API}/accounts", TRACKED)["@odata.nextLink"]
    assert page(http, second, TRACKED)["@odata.nextLink"] == second
    assert page(http, second, TRACKED)["@odata.nextLink"] != second


def test_cross_origin_link(tenant: Path) -> None:
    _, http = world(tenant, "cross_origin_link", origin="https://evil.example:8443", times=1)
    assert page(http, delta())["@odata.nextLink"].startswith("https://evil.example:8443/graph/v1.0/users/")


def test_missing_link(tenant: Path) -> None:
    _, http = world(tenant, "missing_link", times=1)
    assert page(http, delta()).keys() == {"@odata.context", "value"}
    assert len(round_of(http, delta())[0]) == 4


def test_unknown_column_and_option_and_wrong_type(tenant: Path) -> None:
    first = page(world(tenant, "unknown_column", value="marker")[1], delta() + "?$select=id")["value"][0]
    assert first == {"id": "a", "sandbox_unknown": "marker"}
    _, http = world(tenant, "unknown_option", column="statecode")
    assert page(http, f"{API}/accounts")["value"][0]["statecode"] == 999_000_001
    _, http = world(tenant, "wrong_type")
    assert page(http, f"{API}/accounts")["value"][0]["statecode"] == "0"
    assert page(http, delta())["value"][0]["isDraft"] == "false"
    _, http = world(tenant, "wrong_type", column="toRecipients", value=7)
    assert page(http, delta())["value"][0]["toRecipients"] == 7


def test_broken_line_leaves_the_other_records_readable(tenant: Path) -> None:
    body = world(tenant, "broken_line")[1].get(delta()).content
    with pytest.raises(ValueError):
        orjson.loads(body)
    lines = [line.rstrip(b",") for line in body.split(b"\n")[1:4]]
    assert sum(line.startswith(b'{"id":"') and line.endswith(b"}") for line in lines) == 2


def test_big_page(tenant: Path) -> None:
    _, http = world(tenant, "big_page", megabytes=2)
    body = http.get(delta()).content
    assert 2_000_000 < len(body) < 2_100_000 and ids(orjson.loads(body)["value"])


def test_sent_items_without_reply_headers(tenant: Path) -> None:
    url = delta("Sent") + "?$select=id,internetMessageHeaders"
    _, http = world(tenant, "sent_without_reply_headers")
    assert page(http, url)["value"] == [{"id": "s"}]
    _, http = world(tenant, "sent_without_reply_headers", whole=False)
    assert page(http, url)["value"][0]["internetMessageHeaders"] == [{"name": "X", "value": "y"}]


def test_n33_thin_occurrences_lack_only_what_the_master_says_alike(tenant: Path) -> None:
    _, http = world(tenant, "thin_occurrences")
    (row,) = page(http, CALENDAR)["value"]
    assert row.keys() == {"id", "type", "seriesMasterId", "subject", "start", "end", "attendees"}


@pytest.mark.parametrize(("name", "error"), [("truncated", httpx.RemoteProtocolError), ("reset", httpx.ReadError)])
def test_a_body_that_breaks_off_raises_and_then_comes_whole(tenant: Path, name: str, error: type[Exception]) -> None:
    _, http = world(tenant, name, times=1)
    with pytest.raises(error):
        http.get(delta())
    assert ids(round_of(http, delta())[0]) == list("abcd")


def test_zipped_bom_not_json_and_clock_skew(tenant: Path) -> None:
    reply = world(tenant, "zipped")[1].get(delta())
    assert reply.headers["content-encoding"] == "gzip" and reply.json()["value"]
    body = world(tenant, "bom")[1].get(delta()).content
    assert body.startswith(b"\xef\xbb\xbf") and orjson.loads(body[3:])["value"]
    assert world(tenant, "not_json")[1].get(delta()).content.startswith(b"<html>")
    _, http = world(tenant, "clock_skew", seconds=-86400)
    skewed = email.utils.parsedate_to_datetime(http.get(delta()).headers["date"])
    assert (email.utils.parsedate_to_datetime(email.utils.formatdate(usegmt=True)) - skewed).total_seconds() > 86000


def test_all_faults_together_now_and_then_still_let_a_patient_client_see_everything(tenant: Path) -> None:
    """A client that begins a round again whenever anything is odd ends with the tenant's records."""
    sandbox, http = client(tenant)
    sandbox.switch_on([{"fault": name, "rate": 0.04} for name in HARMLESS], seed=11)

    def whole_round() -> dict[str, Any]:
        url, held, followed = delta(), {}, set()
        while True:
            reply = http.get(url, headers={"prefer": "odata.maxpagesize=1"})
            body = orjson.loads(reply.content)
            for row in body["value"]:
                held.pop(row["id"], None) if "@removed" in row else held.update({row["id"]: row})
            followed.add(url)
            if "@odata.deltaLink" in body and "/sandbox" in body["@odata.deltaLink"]:
                return held
            url = body["@odata.nextLink"]
            assert url not in followed and url.startswith("http://sandbox")

    whole = 0
    for _ in range(400):
        with contextlib.suppress(httpx.TransportError, ValueError, KeyError, AssertionError):
            held = whole_round()
            whole += 1
            if held.keys() != sandbox.tenant.records(INBOX).keys():
                pytest.fail(f"a whole round showed {sorted(held)}")
    assert whole > 20
    struck = {count["fault"] for count in sandbox.faults.counts() if count["struck"]}
    assert set(HARMLESS) - struck <= {
        "empty_delta",
        "partial_row",
        "equal_delta_link",
        "removed_outside_window",
        "thin_occurrences",
    }


NEEDS = {
    "column_missing": {"column": "subject"},
    "global_rate": {"requests": 1, "window": 60},
    "mailbox_concurrency": {"limit": 0},
    "big_page": {"megabytes": 1},
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_can_strike_and_is_counted(tenant: Path, name: str) -> None:
    sandbox, http = client(tenant)
    starts = [(delta() + "?$select=subject", {}), (delta("Sent"), {}), (CALENDAR, {}), (f"{API}/accounts", TRACKED)]
    links = [(round_of(http, url, headers)[1], headers) for url, headers in starts]
    following = page(http, delta(), {"prefer": "odata.maxpagesize=1"})["@odata.nextLink"]
    listing = f"{GRAPH}/mailFolders/Sent/messages?$expand=singleValueExtendedProperties($filter=id eq 'String 0x1042')"
    sandbox.advance()
    sandbox.switch_on([{"fault": name, **NEEDS.get(name, {})}])
    one_by_one = {"prefer": "odata.maxpagesize=1, odata.track-changes"}
    for url, headers in [*starts, *links, (following, one_by_one), (listing, {})]:
        with contextlib.suppress(httpx.TransportError):
            http.get(url, headers=headers)
    (count,) = sandbox.faults.counts()
    assert count["struck"] == sum(count["by_stream"].values()) > 0
    sandbox.switch_on([])
    for url, headers in [*starts, *links]:
        round_of(http, url, headers)
