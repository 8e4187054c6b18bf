"""The generated company: the same for a seed, whole, sound in its references, and with the habits of real mail."""

import gzip
import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandbox.company import generate

LOGICAL_NAME = "@Microsoft.Dynamics.CRM.lookuplogicalname"
KEYS = {
    "systemusers": "systemuserid", "businessunits": "businessunitid", "teams": "teamid", "teammemberships": "teammembershipid", "accounts": "accountid",
    "contacts": "contactid", "leads": "leadid", "opportunities": "opportunityid", "opportunitycloses": "activityid", "emails": "activityid",
    "appointments": "activityid", "recurringappointmentmasters": "activityid", "phonecalls": "activityid", "tasks": "activityid",
    "activityparties": "activitypartyid", "connections": "connectionid", "connectionroles": "connectionroleid",
}  # fmt: skip
TABLES = {
    "systemuser": "systemusers", "businessunit": "businessunits", "team": "teams", "account": "accounts", "contact": "contacts", "lead": "leads",
    "opportunity": "opportunities", "connection": "connections", "connectionrole": "connectionroles",
}  # fmt: skip
DEFAULTS = {"accounts": 150, "contacts": 600, "leads": 60, "opportunities": 300}
AS_OF = "2026-07-06T00:00:00Z"

Rows = list[dict[str, Any]]


class Tenant:
    """A generated folder, read line by line as JSON."""

    def __init__(self, root: Path, counts: dict[str, int]) -> None:
        self.root, self.counts = root, counts
        self.crm = {name: read(root / "dataverse" / f"{name}.jsonl") for name in KEYS}
        self.users = read(root / "graph" / "users.jsonl")
        boxes = [user["id"] for user in self.users if (root / "graph" / user["id"]).is_dir()]
        self.folders = {box: read(root / "graph" / box / "mailFolders.jsonl") for box in boxes}
        self.messages = {box: read(root / "graph" / box / "messages.jsonl.gz") for box in boxes}
        self.events = {box: read(root / "graph" / box / "events.jsonl") for box in boxes}

    def all_messages(self) -> Rows:
        return [m for messages in self.messages.values() for m in messages if "internetMessageId" in m]

    def all_events(self) -> Rows:
        return [event for events in self.events.values() for event in events]


def read(path: Path) -> Rows:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(row, dict) for row in rows)
    return rows


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    folder = tmp_path_factory.mktemp("company") / "small"
    return Tenant(folder, generate(folder, scale=0.05))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    folder = tmp_path_factory.mktemp("company") / "whole"
    return Tenant(folder, generate(folder))


@pytest.fixture(params=["small", "whole"])
def tenant(request: pytest.FixtureRequest) -> Tenant:
    return request.getfixturevalue(request.param)


def content(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, second, other = tmp_path / "first", tmp_path / "second", tmp_path / "other"
    assert generate(first, scale=0.02) == generate(second, scale=0.02)
    generate(other, scale=0.02, seed=8)
    assert content(first) == content(second)
    assert set(content(first)) != set(content(other))
    generate(other, scale=0.02)
    assert content(other) == content(first)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something else"):
        generate(tmp_path, scale=0.02)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("seed", range(1, 9))
def test_every_seed_gives_a_small_company(tmp_path: Path, seed: int) -> None:
    counts = generate(tmp_path / "company", scale=0.01, seed=seed)
    assert all(counts.values())
    assert (tmp_path / "company" / "changes" / "003").is_dir()


def test_description(tenant: Tenant) -> None:
    description = json.loads((tenant.root / "tenant.json").read_text())
    assert description["as_of"] == AS_OF
    assert ZoneInfo(description["time_zone"])
    domains = {user["mail"].partition("@")[2] for user in tenant.users if user["userType"] == "Member"}
    assert domains <= set(description["internal_domains"])


def test_counts_of_the_default_company(whole: Tenant) -> None:
    for name, least in DEFAULTS.items():
        assert least <= len(whole.crm[name]) < least * 1.05
    assert len(whole.crm["systemusers"]) == 41
    copies = sum(map(len, whole.messages.values())) + sum(map(len, whole.events.values()))
    assert 58_000 < copies < 62_000
    assert copies == whole.counts["messages"] + whole.counts["events"]
    closed = Counter(row["statecode"] for row in whole.crm["opportunities"])
    assert closed[1] >= 60 and closed[2] >= 60
    recent = Counter(row["statecode"] for row in whole.crm["opportunities"] if (row["actualclosedate"] or "") >= "2023-07-06")
    assert recent[1] >= 60 and recent[2] >= 60


def test_counts_follow_their_arguments(tmp_path: Path) -> None:
    counts = generate(tmp_path / "company", users=9, accounts=20, contacts=50, leads=7, opportunities=33, copies=4_000)
    assert counts["opportunities"] == 33 and counts["leads"] == 7 and counts["systemusers"] == 10
    assert 3_600 < counts["messages"] + counts["events"] < 4_400


def test_ids_are_unique(tenant: Tenant) -> None:
    for name, key in KEYS.items():
        ids = [row[key] for row in tenant.crm[name]]
        assert len(ids) == len(set(ids)), name
    events = [event["id"] for event in tenant.all_events()]
    assert len(events) == len(set(events))
    messages = [message["id"] for message in tenant.all_messages()]
    assert len(messages) == len(set(messages))


def test_lookups_name_records_that_exist(tenant: Tenant) -> None:
    ids = {table: {row[KEYS[entity_set]] for row in tenant.crm[entity_set]} for table, entity_set in TABLES.items()}
    checked = Counter[str]()
    for entity_set, rows in tenant.crm.items():
        for row in rows:
            for key, table in row.items():
                if key.endswith(LOGICAL_NAME) and table != "transactioncurrency":
                    assert row[key.removesuffix(LOGICAL_NAME)] in ids[table], (entity_set, key)
                    checked[entity_set] += 1
    assert all(checked[name] for name in KEYS if name not in ("teammemberships", "connectionroles"))
    activities = {row["activityid"] for name, key in KEYS.items() if key == "activityid" for row in tenant.crm[name]}
    assert {row["_activityid_value"] for row in tenant.crm["activityparties"]} <= activities
    assert {row["systemuserid"] for row in tenant.crm["teammemberships"]} <= ids["systemuser"]


def test_messages_lie_in_folders_of_their_mailbox(tenant: Tenant) -> None:
    for box, messages in tenant.messages.items():
        folders = {folder["id"] for folder in tenant.folders[box]}
        assert {message["parentFolderId"] for message in messages} <= folders
        known = {message["id"] for message in messages if "internetMessageId" in message}
        assert {message["id"] for message in messages} == known


def test_replies_name_messages_that_exist(tenant: Tenant) -> None:
    ids = {message["internetMessageId"] for message in tenant.all_messages()}
    sent = {message["internetMessageId"]: message["sentDateTime"] for message in tenant.all_messages()}
    replies = early = 0
    for message in tenant.all_messages():
        headers = {h["name"]: h["value"] for h in message.get("internetMessageHeaders", [])}
        if parent := headers.get("In-Reply-To"):
            replies += 1
            assert parent in ids or "@mail." in parent
            assert headers["References"].split()[-1] == parent
            early += parent in sent and sent[parent] > message["sentDateTime"]
    assert replies > len(ids) / 5
    assert early < replies / 50


def test_occurrences_name_their_series_master(tenant: Tenant) -> None:
    for events in tenant.events.values():
        masters = {event["id"] for event in events if event["type"] == "seriesMaster"}
        occurrences = [event for event in events if event["type"] in ("occurrence", "exception")]
        assert {event["seriesMasterId"] for event in occurrences} <= masters
        for event in events:
            assert event["start"]["dateTime"] < event["end"]["dateTime"]


def test_connections_have_both_halves(tenant: Tenant) -> None:
    halves = {row["connectionid"]: row for row in tenant.crm["connections"]}
    for row in halves.values():
        other = halves[row["_relatedconnectionid_value"]]
        assert (row["_record1id_value"], row["_record2roleid_value"]) == (
            other["_record2id_value"],
            other["_record1roleid_value"],
        )
    assert {row["statecode"] for row in halves.values()} == {0, 1}
    assert any(row["_record1roleid_value"] is row["_record2roleid_value"] is None for row in halves.values())
    ends = {row[f"_record2id_value{LOGICAL_NAME}"] for row in halves.values()}
    assert ends >= {"contact", "systemuser", "team", "account", "opportunity"}


def test_nothing_of_the_base_state_is_newer_than_as_of(tenant: Tenant) -> None:
    assert max(message["sentDateTime"] for message in tenant.all_messages()) < AS_OF
    for rows in tenant.crm.values():
        assert all(row.get("createdon", "") < AS_OF for row in rows)


def test_domains_are_reserved_ones(tenant: Tenant) -> None:
    free_mail = {"gmail.com", "gmx.net", "web.de", "outlook.com"}
    for row in [*tenant.crm["contacts"], *tenant.crm["leads"]]:
        local, _, domain = row["emailaddress1"].lower().partition("@")
        assert domain.endswith(".example") or (domain in free_mail and local.endswith(".fictitious"))
    for message in tenant.all_messages():
        address = message["from"]["emailAddress"]["address"]
        domain = address.partition("@")[2]
        assert domain.endswith(".example") or domain in free_mail or address.startswith("/O=")


def share(rows: Rows, test: Any) -> float:
    return sum(map(bool, map(test, rows))) / len(rows)


def headers(message: dict[str, Any]) -> set[str]:
    return {h["name"] for h in message.get("internetMessageHeaders", [])}


def test_habits_of_mail(tenant: Tenant) -> None:
    messages = tenant.all_messages()
    names = {f["id"]: f.get("wellKnownName") for folders in tenant.folders.values() for f in folders}
    sent = [m for m in messages if names[m["parentFolderId"]] == "sentitems"]
    replies = [m for m in sent if m["subject"].startswith(("Re: ", "AW: "))]
    assert 0.2 < share(replies, lambda m: not headers(m)) < 0.95
    assert 0.3 < share(replies, lambda m: "singleValueExtendedProperties" in m) < 0.9
    assert 0.05 < share(messages, lambda m: "List-Unsubscribe" in headers(m)) < 0.2
    assert 0.01 < share(messages, lambda m: "Auto-Submitted" in headers(m)) < 0.08
    assert 0.02 < share(messages, lambda m: m.get("@odata.type", "").endswith("eventMessageRequest")) < 0.1
    assert 0.005 < share(messages, lambda m: names[m["parentFolderId"]] == "junkemail") < 0.05
    copies = Counter(m["internetMessageId"] for m in messages)
    assert 0.15 < sum(n > 1 for n in copies.values()) / len(copies) < 0.7
    for habit in (
        lambda m: m["isDraft"],
        lambda m: "X-Autoreply" in headers(m),
        lambda m: {"name": "Return-Path", "value": "<>"} in m.get("internetMessageHeaders", []),
        lambda m: m["from"]["emailAddress"]["name"].endswith((" via Project", " via Forum")) and m["replyTo"],
        lambda m: m["from"] != m["sender"],
        lambda m: m["from"]["emailAddress"]["address"].startswith("/O="),
        lambda m: names[m["parentFolderId"]] is None,
        lambda m: m["bccRecipients"],
        lambda m: m.get("@odata.type", "").endswith("eventMessageResponse"),
    ):
        assert any(map(habit, messages))
    assert any("internetMessageId" not in m for box in tenant.messages.values() for m in box), "no move inside a mailbox"
    ours = {address.partition(":")[2] for user in tenant.users for address in user["proxyAddresses"]}
    internal = share(messages, lambda m: all(r["emailAddress"]["address"] in ours for r in [m["from"], *m["toRecipients"]]))
    assert 0.1 < internal < 0.5


def test_mail_keeps_office_hours(whole: Tenant) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    times = [datetime.fromisoformat(m["sentDateTime"]).astimezone(berlin) for m in whole.all_messages()]
    assert sum(t.weekday() >= 5 for t in times) / len(times) < 0.06
    assert sum(7 <= t.hour < 22 for t in times) / len(times) > 0.85
    days = Counter(t.date() for t in times)
    christmas = datetime(2025, 12, 25, tzinfo=UTC).date()
    assert days[christmas] < sum(days.values()) / len(days) / 3


def test_habits_of_calendars(tenant: Tenant) -> None:
    events = tenant.all_events()
    assert {e["type"] for e in events} == {"singleInstance", "seriesMaster", "occurrence", "exception"}
    for habit in (
        lambda e: e.get("sensitivity") == "private",
        lambda e: e.get("isAllDay"),
        lambda e: e.get("isCancelled"),
        lambda e: e["type"] == "exception" and e["originalStart"][:16] != e["start"]["dateTime"][:16],
        lambda e: e["type"] == "occurrence" and "iCalUId" not in e,
        lambda e: e["start"]["dateTime"] > "2026-07-08",
        lambda e: e["start"]["timeZone"] in ("W. Europe Standard Time", "GMT Standard Time", "Eastern Standard Time"),
        lambda e: "@calendar." in e.get("iCalUId", ""),
        lambda e: any(a["type"] == "resource" for a in e.get("attendees", [])),
        lambda e: any(a["type"] == "optional" for a in e.get("attendees", [])),
        lambda e: any(a["status"]["response"] == "declined" for a in e.get("attendees", [])),
        lambda e: e.get("responseStatus", {}).get("response") == "declined",
        lambda e: (
            "isOrganizer" in e
            and not e["isOrganizer"]
            and not e["organizer"]["emailAddress"]["address"].endswith("@nordwerk.example")
        ),
    ):
        assert any(map(habit, events))


def test_habits_of_the_crm(tenant: Tenant) -> None:
    crm = tenant.crm
    ids = {m["internetMessageId"] for m in tenant.all_messages()}
    uids = {e["iCalUId"].upper() for e in tenant.all_events() if "iCalUId" in e}
    tracked = [row for row in crm["emails"] if row["messageid"]]
    assert share(tracked, lambda row: row["messageid"] in ids) > 0.95
    assert any(row["messageid"] is None for row in crm["emails"])
    assert any(row["isemailfollowed"] and row["opencount"] for row in crm["emails"])
    assert {(1, 3), (1, 4), (1, 6), (0, 1), (2, 5)} <= {(row["statecode"], row["statuscode"]) for row in crm["emails"]}
    assert {row["statecode"] for row in crm["phonecalls"]} == {row["statecode"] for row in crm["tasks"]} == {0, 1, 2}
    assert {row["directioncode"] for row in crm["phonecalls"]} == {True, False}
    known = [row for row in crm["appointments"] if row["globalobjectid"]]
    assert share(known, lambda row: row["globalobjectid"].upper() in uids) > 0.5
    assert any("7643616C2D556964" in row["globalobjectid"] for row in known), "no wrapped text UID"
    assert any(row["globalobjectid"] is None for row in crm["appointments"])
    assert {row["instancetypecode"] for row in crm["appointments"]} >= {0, 2, 3}
    for name in ("contacts", "accounts"):
        assert any(row["merged"] for row in crm[name]) and any(row["statecode"] == 1 and not row["merged"] for row in crm[name])
    addresses = Counter(row["emailaddress1"].lower() for row in crm["contacts"])
    assert max(addresses.values()) > 1
    users = {row["internalemailaddress"].lower() for row in crm["systemusers"]}
    assert users & set(addresses)
    assert {row["statecode"] for row in crm["leads"]} == {0, 1, 2}
    for name in ("opportunities", "leads", "accounts", "tasks"):
        assert {row[f"_ownerid_value{LOGICAL_NAME}"] for row in crm[name]} == {"systemuser", "team"}, name
    deals = crm["opportunities"]
    assert any(row["statecode"] and row["actualclosedate"] is None for row in deals)
    assert any(row["_parentaccountid_value"] is None for row in deals)
    assert any(row["_originatingleadid_value"] for row in deals)
    assert any(row["isdisabled"] for row in crm["systemusers"])
    assert any(user["userType"] == "Guest" for user in tenant.users)


def test_industry_and_value_move_the_outcome(whole: Tenant) -> None:
    industries = {row["accountid"]: row.get("industrycode") for row in whole.crm["accounts"]}
    closed = [row for row in whole.crm["opportunities"] if row["statecode"]]

    def won(test: Any) -> float:
        return share([row for row in closed if test(row)], lambda row: row["statecode"] == 1)

    assert won(lambda row: industries.get(row["_parentaccountid_value"]) in (12, 17, 31)) > won(lambda row: True) + 0.1
    assert (
        won(lambda row: 20_000 <= (row["estimatedvalue_base"] or 0) < 80_000)
        > won(lambda row: (row["estimatedvalue_base"] or 0) >= 80_000) + 0.2
    )


def test_deals_go_quiet_and_warm_up(whole: Tenant) -> None:
    """Open deals by the days since their primary contact last wrote, and by how their mail of the last 60 days compares."""
    contacts = {row["contactid"]: row["emailaddress1"].lower() for row in whole.crm["contacts"]}
    last: dict[str, str] = {}
    recent, earlier = Counter[str](), Counter[str]()
    for message in whole.all_messages():
        if {"Auto-Submitted", "X-Autoreply"} & headers(message):
            continue
        sender, at = message["from"]["emailAddress"]["address"].lower(), message["sentDateTime"]
        last[sender] = max(last.get(sender, ""), at)
        (recent if at > "2026-05-07" else earlier if at > "2026-03-08" else Counter())[sender] += 1
    quiet = warming = 0
    for deal in whole.crm["opportunities"]:
        address = contacts.get(deal["_parentcontactid_value"], "")
        if deal["statecode"] == 0 and address in last:
            quiet += last[address] < "2026-06-06"
            warming += recent[address] >= 2 * earlier[address] > 0
    assert quiet >= 10
    assert warming >= 10


def test_steps_of_changes(tenant: Tenant) -> None:
    steps = sorted((tenant.root / "changes").iterdir())
    assert [step.name for step in steps] == ["001", "002", "003"]
    kinds = Counter[str]()
    for step in steps:
        files = {str(p.relative_to(step)): read(p) for p in step.rglob("*.jsonl*")}
        assert any(name.endswith("messages.jsonl.gz") for name in files)
        for name, rows in files.items():
            for row in rows:
                kind = (
                    "removed"
                    if "@removed" in row
                    else "moved"
                    if {"parentFolderId"} < row.keys() and "from" not in row
                    else "upsert"
                )
                kinds[f"{name.split('/')[-1].split('.')[0]} {kind}"] += 1
    expected = {
        "messages upsert", "messages moved", "messages removed", "opportunities upsert", "opportunitycloses upsert", "contacts upsert", "contacts removed",
        "events upsert", "events removed", "activityparties removed", "phonecalls removed",
    }  # fmt: skip
    assert expected <= kinds.keys()
