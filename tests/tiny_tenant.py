"""A tenant small enough to compute its marts by hand, written as a tenant folder.

Two users (Una, Bo) of ours.example, one account (Acme, acme.example) with two contacts (Cleo, Dan), one open opportunity
with Cleo as its contact, owned by Una. Everything happens in June 2026; as-of is 2026-07-01T00:00:00Z.
"""

import json
from pathlib import Path
from typing import Any

AS_OF = "2026-07-01T00:00:00Z"
UNA, BO = "10000000-0000-4000-8000-000000000001", "10000000-0000-4000-8000-000000000002"
UNA_MAILBOX, BO_MAILBOX = "20000000-0000-4000-8000-000000000001", "20000000-0000-4000-8000-000000000002"
ACME = "30000000-0000-4000-8000-000000000001"
CLEO, DAN = "40000000-0000-4000-8000-000000000001", "40000000-0000-4000-8000-000000000002"
DEAL = "50000000-0000-4000-8000-000000000001"
CREATED = {"createdon": "2026-01-10T09:00:00Z", "modifiedon": "2026-01-10T09:00:00Z", "statecode": 0, "statuscode": 1}
OWNER = {"_ownerid_value": UNA, "_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "systemuser"}


def person(name: str, address: str) -> dict[str, Any]:
    return {"emailAddress": {"name": name, "address": address}}


PEOPLE = {
    "una": person("Una", "una@ours.example"),
    "bo": person("Bo", "bo@ours.example"),
    "cleo": person("Cleo", "cleo@acme.example"),
    "dan": person("Dan", "dan@acme.example"),
}


def mail(
    number: int,
    at: str,
    sender: str,
    to: list[str],
    folder: str,
    *,
    conversation: str = "",
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One copy of a message in `folder`; copies of one `number` share the message id."""
    return {
        "id": f"M{number}-{folder}",
        "internetMessageId": f"<{number}@mid.example>",
        "conversationId": conversation or f"conversation-{number}",
        "subject": f"Subject {number}",
        "from": PEOPLE[sender],
        "sender": PEOPLE[sender],
        "toRecipients": [PEOPLE[name] for name in to],
        "ccRecipients": [],
        "bccRecipients": [],
        "replyTo": [],
        "sentDateTime": at,
        "receivedDateTime": at,
        "createdDateTime": at,
        "lastModifiedDateTime": at,
        "isDraft": False,
        "parentFolderId": folder,
        "body": {"contentType": "text", "content": "BODY-MARKER"},
        "bodyPreview": "PREVIEW-MARKER",
        **({"internetMessageHeaders": [{"name": k, "value": v} for k, v in headers.items()]} if headers else {}),
    }


def meeting(number: int, start: str, end: str, organizer: str, attendees: list[str], *, owner: str) -> dict[str, Any]:
    return {
        "id": f"E{number}-{owner}",
        "iCalUId": f"meeting-{number}@ours.example",
        "type": "singleInstance",
        "seriesMasterId": None,
        "originalStart": None,
        "subject": f"Meeting {number}",
        "start": {"dateTime": f"{start}.0000000", "timeZone": "UTC"},
        "end": {"dateTime": f"{end}.0000000", "timeZone": "UTC"},
        "isAllDay": False,
        "isCancelled": False,
        "isDraft": False,
        "isOrganizer": owner == organizer,
        "sensitivity": "normal",
        "organizer": PEOPLE[organizer],
        "attendees": [
            {"type": "required", "status": {"response": "accepted", "time": "2026-06-01T00:00:00Z"}, **PEOPLE[name]}
            for name in attendees
        ],
        "responseStatus": {"response": "organizer" if owner == organizer else "accepted", "time": "2026-06-01T00:00:00Z"},
        "createdDateTime": "2026-05-20T08:00:00Z",
        "lastModifiedDateTime": "2026-05-20T08:00:00Z",
    }


def dataverse() -> dict[str, list[dict[str, Any]]]:
    user = {"isdisabled": False, "accessmode": 0, **CREATED}
    call = "60000000-0000-4000-8000-000000000001"
    party = "_partyid_value@Microsoft.Dynamics.CRM.lookuplogicalname"
    return {
        "systemusers": [
            {"systemuserid": UNA, "fullname": "Una Us", "internalemailaddress": "una@ours.example", "azureactivedirectoryobjectid": UNA_MAILBOX, **user},
            {"systemuserid": BO, "fullname": "Bo Us", "internalemailaddress": "bo@ours.example", "azureactivedirectoryobjectid": BO_MAILBOX, **user},
        ],
        "accounts": [{"accountid": ACME, "name": "Acme", "websiteurl": "https://www.acme.example/about", "_primarycontactid_value": CLEO, **CREATED, **OWNER}],
        "contacts": [
            {"contactid": CLEO, "fullname": "Cleo Them", "emailaddress1": "Cleo@Acme.example", "_parentcustomerid_value": ACME,
             "_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "account", **CREATED, **OWNER},
            {"contactid": DAN, "fullname": "Dan Them", "emailaddress1": "dan@acme.example", "_parentcustomerid_value": ACME,
             "_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "account", **CREATED, **OWNER},
        ],
        "opportunities": [
            {"opportunityid": DEAL, "name": "Big deal", "_parentaccountid_value": ACME, "_parentcontactid_value": CLEO, "estimatedvalue": 1000.0,
             "estimatedclosedate": "2026-08-01", "stepname": "2-Develop", **CREATED, **OWNER},
        ],
        "phonecalls": [
            {"activityid": call, "subject": "Call", "statecode": 1, "statuscode": 2, "directioncode": True, "actualdurationminutes": 12,
             "actualend": "2026-06-20T10:00:00Z", "createdon": "2026-06-20T10:00:00Z", "modifiedon": "2026-06-20T10:00:00Z", **OWNER},
        ],
        "activityparties": [
            {"activitypartyid": "70000000-0000-4000-8000-000000000001", "_activityid_value": call, "participationtypemask": 1, "_partyid_value": UNA, party: "systemuser"},
            {"activitypartyid": "70000000-0000-4000-8000-000000000002", "_activityid_value": call, "participationtypemask": 2, "_partyid_value": DAN, party: "contact"},
        ],
    }  # fmt: skip


def graph() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By mailbox: Una writes to Cleo twice, Cleo answers the first after 3 hours; Dan gets one newsletter; two meetings."""
    folders = [
        {"id": "inbox", "displayName": "Inbox", "parentFolderId": "root", "wellKnownName": "inbox"},
        {"id": "sent", "displayName": "Sent Items", "parentFolderId": "root", "wellKnownName": "sentitems"},
        {"id": "drafts", "displayName": "Drafts", "parentFolderId": "root", "wellKnownName": "drafts"},
    ]
    draft = {**mail(9, "2026-06-05T09:00:00Z", "una", ["cleo"], "drafts"), "isDraft": True}
    return {
        UNA_MAILBOX: {
            "mailFolders": folders,
            "messages": [
                mail(1, "2026-06-01T09:00:00Z", "una", ["cleo"], "sent", conversation="c1"),
                mail(2, "2026-06-01T12:00:00Z", "cleo", ["una", "bo"], "inbox", conversation="c1"),
                mail(3, "2026-06-10T09:00:00Z", "una", ["cleo", "dan"], "sent", conversation="c3"),
                mail(
                    4, "2026-06-11T09:00:00Z", "una", ["dan"], "sent", headers={"List-Unsubscribe": "<mailto:out@ours.example>"}
                ),
                draft,
            ],
            "events": [
                meeting(1, "2026-06-15T10:00:00", "2026-06-15T10:30:00", "una", ["bo", "cleo", "dan"], owner="una"),
                meeting(2, "2026-07-07T10:00:00", "2026-07-07T11:00:00", "una", ["cleo"], owner="una"),
            ],
        },
        BO_MAILBOX: {
            "mailFolders": folders,
            "messages": [mail(2, "2026-06-01T12:00:05Z", "cleo", ["una", "bo"], "inbox", conversation="other")],
            "events": [meeting(1, "2026-06-15T10:00:00", "2026-06-15T10:30:00", "una", ["bo", "cleo", "dan"], owner="bo")],
        },
    }


def write(folder: Path, *, with_graph: bool = True) -> Path:
    """Write the tenant under `folder` and return it."""
    (folder / "dataverse").mkdir(parents=True)
    (folder / "tenant.json").write_text(json.dumps({"name": "tiny", "as_of": AS_OF, "time_zone": "UTC"}))
    for table, rows in dataverse().items():
        write_lines(folder / "dataverse" / f"{table}.jsonl", rows)
    if with_graph:
        users = [(UNA_MAILBOX, "una@ours.example"), (BO_MAILBOX, "bo@ours.example")]
        write_lines(
            folder / "graph" / "users.jsonl",
            [
                {
                    "id": i,
                    "mail": a,
                    "userPrincipalName": a,
                    "proxyAddresses": [f"SMTP:{a}"],
                    "accountEnabled": True,
                    "userType": "Member",
                }
                for i, a in users
            ],
        )
        for user, files in graph().items():
            for name, rows in files.items():
                write_lines(folder / "graph" / user / f"{name}.jsonl", rows)
    return folder


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
