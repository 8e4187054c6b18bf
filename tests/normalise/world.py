"""A tiny world written down in Python and turned into rows of the raw log.

    world = World()
    world.mail("una", "inbox", id="m1", author="cleo@acme.example", to=["una@ours.example"])
    tables = world.tables()

Users `una`, `bo` and `cem` of ours.example have mailboxes and systemusers; everything else a test adds itself.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from jobs.extract.files import COLUMNS
from jobs.normalise.calendars import NewEvents
from jobs.normalise.mail_update import NewMail
from jobs.normalise.monthly import OUTPUTS
from jobs.normalise.subject import subject_key
from jobs.normalise.tables import Normalised, Raw, Rules, normalised

START = datetime(2026, 6, 1, tzinfo=UTC)
LOOKUP = "@Microsoft.Dynamics.CRM.lookuplogicalname"
FOLDERS = ("inbox", "sentitems", "drafts", "junkemail", "deleteditems", "archive")
KEYS = {"emails": "activityid", "appointments": "activityid", "phonecalls": "activityid", "tasks": "activityid",
        "systemusers": "systemuserid", "contacts": "contactid", "accounts": "accountid", "leads": "leadid", "teams": "teamid",
        "opportunities": "opportunityid", "activityparties": "activitypartyid", "connections": "connectionid"}  # fmt: skip
USERS = ("una", "bo", "cem")


def guid(name: str) -> str:
    """A GUID that stands for a name."""
    return f"{name.encode().hex():0<8.8}-0000-4000-8000-{name.encode().hex()[8:20]:0<12}"


def mailbox_id(name: str) -> str:
    """The Entra id of a user."""
    return guid(f"box-{name}")


def person(address: str | None, name: str | None = None) -> dict[str, Any]:
    return {"emailAddress": {"name": name or address, "address": address}}


def attendee(given: str | tuple[Any, ...]) -> dict[str, Any]:
    given = (given,) if isinstance(given, str) else given
    address, kind, answer, at = (*given, *("required", "none", None)[len(given) - 1 :])
    return {"type": kind, "status": {"response": answer, "time": at}, **person(address)}


@dataclass
class World:
    """Rows of the raw log; `later()` starts the next round of every stream."""

    users: tuple[str, ...] = USERS
    rows: list[dict[str, Any]] = field(default_factory=list)
    clock: datetime = START
    round: int = 1
    kind: str = "full"
    counts: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.users:
            self.graph_user(name)
            self.add("systemusers", guid(name), fullname=name.title(), internalemailaddress=f"{name}@ours.example",
                     azureactivedirectoryobjectid=mailbox_id(name), isdisabled=False, accessmode=0)  # fmt: skip

    def graph_user(self, name: str, **values: Any) -> None:
        address = f"{name}@ours.example"
        user = {"mail": address, "userPrincipalName": address, "proxyAddresses": [f"SMTP:{address}"], "userType": "Member"}
        self.put("graph", "users", mailbox_id(name), {"id": mailbox_id(name), **user, **values})
        for folder in FOLDERS:
            self.folder(name, folder, wellKnownName=folder)

    def folder(self, user: str, folder: str, parent: str = "root", **values: Any) -> None:
        self.put("graph", f"mailFolders/{mailbox_id(user)}", folder, {"id": folder, "parentFolderId": parent, **values})

    def mail(
        self, user: str, folder: str, id: str, author: str | None = None, to: list[str] | None = None, *,
        message_id: str | None = "", at: str | None = "2026-06-10T10:00:00Z", subject: str = "Hello", headers: Any = None, **values: Any,
    ) -> None:  # fmt: skip
        """One copy of a message; `message_id` is made of `id` unless given."""
        payload = {
            "id": id,
            "internetMessageId": f"<{id}@mid.example>" if message_id == "" else message_id,
            "subject_key": subject_key(subject, ""),
            "from": person(author) if author else None,
            "toRecipients": [person(address) for address in to or []],
            "ccRecipients": [],
            "sentDateTime": at,
            "receivedDateTime": at,
            "isDraft": False,
            **values,
        }
        if headers:
            payload["internetMessageHeaders"] = [{"name": name, "value": value} for name, value in headers]
        self.put("graph", f"messages/{mailbox_id(user)}/{folder}", id, payload)

    def event(
        self, user: str, id: str, organizer: Any = None, attendees: Any = (), *, uid: str | None = "", start: Any = "2026-06-10T10:00:00",
        end: Any = "2026-06-10T10:30:00", zone: str = "UTC", response: str = "none", **values: Any,
    ) -> None:  # fmt: skip
        """One copy of an event; attendees are addresses or (address, type, response, answered at). `...` leaves a key out."""
        payload = {
            "id": id,
            "iCalUId": f"uid-{id}" if uid == "" else uid,
            "type": "singleInstance",
            "isOrganizer": organizer == f"{user}@ours.example",
            "isCancelled": False,
            "isAllDay": False,
            "start": start and {"dateTime": start, "timeZone": zone},
            "end": end and {"dateTime": end, "timeZone": zone},
            "organizer": person(organizer) if isinstance(organizer, str) else organizer,
            "attendees": [attendee(each) for each in attendees] if isinstance(attendees, list | tuple) else attendees,
            "responseStatus": {"response": response},
            "lastModifiedDateTime": "2026-05-01T08:00:00Z",
            **values,
        }
        for name in [name for name, value in payload.items() if value is ...]:
            del payload[name]
        self.put("graph", f"calendarView/{mailbox_id(user)}", id, payload)

    def add(self, table: str, record: str, **values: Any) -> str:
        """A Dataverse row; a lookup is given as `ownerid=("systemuser", id)` or, without annotation, `ownerid=id`."""
        payload: dict[str, Any] = {KEYS[table]: record}
        for name, value in values.items():
            if isinstance(value, tuple):
                payload[f"_{name}_value"], payload[f"_{name}_value{LOOKUP}"] = value[1], value[0]
            elif (
                name in ("regardingobjectid", "ownerid", "emailsender", "partyid", "activityid", "masterid", "parentcustomerid")
                and table != "teammemberships"
            ):
                payload[f"_{name}_value"] = value
            else:
                payload[name] = value
        self.put("dataverse", table, record.strip("{}").lower(), payload)
        return record

    def parties(self, activity: str, *parties: tuple[int, Any]) -> None:
        """Parties as (mask, address), (mask, (table, id)) or (mask, address, (table, id))."""
        for number, (mask, *named) in enumerate(parties):
            values: dict[str, Any] = {"participationtypemask": mask}
            for value in named:
                values["addressused" if isinstance(value, str) else "partyid"] = value
            self.add("activityparties", guid(f"{activity[:8]}{number:02}{mask}p"), activityid=activity, **values)

    def crm_mail(self, name: str, *parties: Any, **values: Any) -> str:
        record = guid(name)
        given = {"statecode": 1, "statuscode": 3, "senton": "2026-06-10T10:00:00Z", "subject_key": subject_key("Hello", "")}
        self.add("emails", record, **{**given, **values})
        self.parties(record, *parties)
        return record

    def appointment(self, name: str, *parties: Any, **values: Any) -> str:
        record = guid(name)
        given = {
            "statecode": 3,
            "scheduledstart": "2026-06-10T10:00:00Z",
            "scheduledend": "2026-06-10T10:30:00Z",
            "instancetypecode": 0,
        }
        self.add("appointments", record, **{**given, **values})
        self.parties(record, *parties)
        return record

    def call(self, name: str, *parties: Any, **values: Any) -> str:
        record = guid(name)
        self.add("phonecalls", record, **{"statecode": 1, "statuscode": 2, "actualend": "2026-06-10T10:00:00Z", **values})
        self.parties(record, *parties)
        return record

    def contact(self, name: str, address: str | None = None, **values: Any) -> str:
        return self.add("contacts", guid(name), fullname=name.title(), **{"emailaddress1": address, "statecode": 0, **values})

    def put(self, source: str, stream: str, record_id: str | None, payload: Any, op: str = "upsert", **columns: Any) -> None:
        """One row of the raw log."""
        number = self.counts[stream, self.round] = self.counts.get((stream, self.round), 0) + 1
        self.clock += timedelta(seconds=1)
        row = {"source": source, "stream": stream, "round": self.round, "round_kind": self.kind, "page": 0, "row": number, "op": op,
               "record_id": record_id, "payload": json.dumps(payload) if payload is not None else None, "run_id": f"run-{self.round}",
               "round_started_at": self.clock, "received_at": self.clock}  # fmt: skip
        self.rows.append({**row, **columns})

    def repeat(self, source: str, stream: str, record_id: str, payload: str, **columns: Any) -> None:
        """A record again, as it was served."""
        self.put(source, stream, record_id, json.loads(payload), **columns)

    def remove(self, stream: str, record_id: str, **columns: Any) -> None:
        self.put(
            "dataverse" if "/" not in stream and stream != "users" else "graph", stream, record_id, None, op="remove", **columns
        )

    def end_round(self, stream: str, **columns: Any) -> None:
        """Say that the stream's current round is complete."""
        source = "graph" if "/" in stream or stream == "users" else "dataverse"
        self.put(source, stream, None, {"received": 0}, op="page", **{"link_kind": "delta", "row": 0, **columns})

    def later(self, kind: str = "delta") -> None:
        """What follows belongs to the next round of its stream."""
        self.round += 1
        self.kind = kind

    def frame(self) -> pl.DataFrame:
        empty = pl.DataFrame(schema=COLUMNS)
        rows = pl.DataFrame(self.rows, schema_overrides=dict(empty.schema), infer_schema_length=None)
        return pl.concat([empty, rows], how="diagonal")

    def raw(self) -> Raw:
        """All rows, every one of them new."""
        frame = self.frame()

        def of(kind: str) -> pl.DataFrame:
            return frame.filter(pl.col("source") == "graph", pl.col("stream").str.split("/").list.first() == kind)

        mail = NewMail(lambda: [(of("messages"), of("messageHeaders"))], frame.height, lambda kind, users: frame.clear())
        dataverse = frame.filter(pl.col("source") == "dataverse")
        calendars = NewEvents(of("calendarView"), lambda users: frame.clear())
        return Raw(
            lambda only_new: dataverse,
            lambda only_new: of("users"),
            lambda only_new: of("mailFolders"),
            lambda only_new: calendars,
            lambda only_new: mail,
            has_graph=True,
        )

    def normalised(self, **rules: Any) -> Normalised:
        return normalised(self.raw(), Rules(**rules))

    def tables(self, **rules: Any) -> "Tables":
        result = self.normalised(**rules)
        months = [*result.mail.months.values(), *result.others.months.values()]
        parts = {
            name: pl.concat([pl.DataFrame(schema=schema), *(tables[name].rows.collect() for tables in months if name in tables)])
            for name, schema in OUTPUTS.items()
        }
        return Tables(result.whole | parts)


class Tables:
    """The normalised tables with the short questions that tests ask."""

    def __init__(self, tables: dict[str, pl.DataFrame]) -> None:
        self.frames = tables

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self.frames[name]

    def activities(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Activities in order of time."""
        frame = self["activity"].sort("occurred_at", "activity_id")
        return (frame.filter(pl.col("activity_type") == kind) if kind else frame).to_dicts()

    def one(self, kind: str | None = None) -> dict[str, Any]:
        """The only activity."""
        (row,) = self.activities(kind)
        return row

    def roles(self, activity_id: str | None = None) -> dict[str, str]:
        """Address or party id -> role of the participants (of the only activity)."""
        frame = self["activity_participant"].filter(pl.col("activity_id") == (activity_id or self.one()["activity_id"]))
        return {row["address"] or row["party_id"]: row["role"] for row in frame.to_dicts()}

    def responses(self) -> dict[str, str]:
        return {row["address"]: row["response"] for row in self["activity_participant"].to_dicts()}

    def sender(self) -> str | None:
        return next((who for who, role in self.roles().items() if role == "sender"), None)

    def address(self, address: str) -> dict[str, Any]:
        """The person_address row of an address."""
        (row,) = self["person_address"].filter(pl.col("address") == address).to_dicts()
        return row

    def threads(self) -> list[int]:
        """Sizes of the threads, smallest first."""
        return sorted(self["activity_thread"].group_by("thread_id").len().get_column("len").to_list())

    def reasons(self) -> list[str]:
        return sorted(self["quarantine"].get_column("reason").to_list())
