"""The landing filter: which keys of a source record reach the disk, per stream.

A shape says what is kept: `VALUE` is a text, number, boolean or null; a dict is an object of which only these keys are kept; a list
of one shape is a list of such. Whatever has another shape than the one named is landed as null, so that no nested content
slips through.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jobs.normalise.subject import subject_key
from jobs.settings import Settings

VALUE = None
Shape = Any
Record = dict[str, Any]

LOOKUP = "@Microsoft.Dynamics.CRM.lookuplogicalname"
LABEL = "@OData.Community.Display.V1.FormattedValue"

PERSON = {"emailAddress": {"name": VALUE, "address": VALUE}}
LOCAL_TIME = {"dateTime": VALUE, "timeZone": VALUE}
ANSWER = {"response": VALUE, "time": VALUE}

MESSAGE: Record = {
    "id": VALUE,
    "internetMessageId": VALUE,
    "conversationId": VALUE,
    "subject": VALUE,
    "from": PERSON,
    "sender": PERSON,
    "toRecipients": [PERSON],
    "ccRecipients": [PERSON],
    "bccRecipients": [PERSON],
    "replyTo": [PERSON],
    "sentDateTime": VALUE,
    "receivedDateTime": VALUE,
    "lastModifiedDateTime": VALUE,
    "isDraft": VALUE,
    "parentFolderId": VALUE,
    "internetMessageHeaders": [{"name": VALUE, "value": VALUE}],
    "@odata.type": VALUE,
}
MESSAGE_HEADERS = frozenset(
    [
        "auto-submitted",
        "x-autoreply",
        "x-autorespond",
        "precedence",
        "return-path",
        "list-id",
        "list-post",
        "list-unsubscribe",
        "feedback-id",
        "in-reply-to",
        "references",
    ]
)
EXTENDED_PROPERTIES = ("String 0x1042", "String 0x1039")
LISTED_MESSAGE: Record = {
    "id": VALUE,
    "internetMessageId": VALUE,
    "lastModifiedDateTime": VALUE,
    "singleValueExtendedProperties": [{"id": VALUE, "value": VALUE}],
}
EVENT: Record = {
    "id": VALUE,
    "iCalUId": VALUE,
    "type": VALUE,
    "seriesMasterId": VALUE,
    "originalStart": VALUE,
    "start": LOCAL_TIME,
    "end": LOCAL_TIME,
    "isAllDay": VALUE,
    "isCancelled": VALUE,
    "isOrganizer": VALUE,
    "isDraft": VALUE,
    "sensitivity": VALUE,
    "organizer": PERSON,
    "attendees": [{"type": VALUE, "status": ANSWER, **PERSON}],
    "responseStatus": ANSWER,
    "lastModifiedDateTime": VALUE,
    "subject": VALUE,
}
USER: Record = {
    "id": VALUE,
    "mail": VALUE,
    "userPrincipalName": VALUE,
    "proxyAddresses": [VALUE],
    "otherMails": [VALUE],
    "userType": VALUE,
    "accountEnabled": VALUE,
}
FOLDER: Record = {"id": VALUE, "parentFolderId": VALUE, "isHidden": VALUE, "wellKnownName": VALUE, "@odata.type": VALUE}
MEMBER: Record = {"id": VALUE}

EXPECTED: dict[str, frozenset[str]] = {
    "messageHeaders": frozenset({"receivedDateTime"}),
    "events": frozenset(
        [
            "body",
            "bodyPreview",
            "location",
            "locations",
            "onlineMeeting",
            "onlineMeetingUrl",
            "onlineMeetingProvider",
            "isOnlineMeeting",
            "webLink",
            "categories",
            "changeKey",
            "importance",
            "showAs",
            "transactionId",
            "hasAttachments",
            "hideAttendees",
            "allowNewTimeProposals",
            "recurrence",
            "createdDateTime",
            "reminderMinutesBeforeStart",
            "isReminderOn",
            "responseRequested",
            "originalStartTimeZone",
            "originalEndTimeZone",
            "occurrenceId",
        ]
    ),
    "mailFolders": frozenset(
        [
            "displayName",
            "childFolderCount",
            "totalItemCount",
            "unreadItemCount",
            "sizeInBytes",
            "isSupported",
            "includeNestedFolders",
            "sourceFolderIds",
            "filterQuery",
        ]
    ),
}
"""Keys that a source sends unasked and that are dropped without being called unknown."""


@dataclass(frozen=True)
class Table:
    """A Dataverse table: entity set, logical name, key column and the columns that some rule or mart needs.

    `labels` are the columns whose FormattedValue is kept. `subject`: the table has a subject, kept as `subject_key` where `keyed`.
    """

    entity_set: str
    logical_name: str
    key: str
    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()
    has_subject: bool = False
    keyed_subject: bool = False


def _table(entity_set: str, logical_name: str, key: str, columns: str, labels: str = "", **more: bool) -> tuple[str, Table]:
    return entity_set, Table(entity_set, logical_name, key, (key, *columns.split()), tuple(labels.split()), **more)


_ADDRESSES = "emailaddress1 emailaddress2 emailaddress3"
_MERGE = "merged _masterid_value"
_RECORD = "createdon modifiedon statecode _ownerid_value"
_WHEN = "actualdurationminutes actualstart actualend scheduledstart scheduledend"

TABLES: dict[str, Table] = dict(
    [
        _table(
            "systemusers",
            "systemuser",
            "systemuserid",
            "fullname internalemailaddress personalemailaddress domainname azureactivedirectoryobjectid isdisabled accessmode "
            "_businessunitid_value modifiedon",
        ),
        _table("businessunits", "businessunit", "businessunitid", "name"),
        _table("teams", "team", "teamid", "name _businessunitid_value"),
        _table("teammemberships", "teammembership", "teammembershipid", "teamid systemuserid"),
        _table(
            "accounts",
            "account",
            "accountid",
            f"name websiteurl {_ADDRESSES} _primarycontactid_value {_RECORD} {_MERGE} industrycode address1_country revenue "
            "revenue_base numberofemployees _transactioncurrencyid_value _owningbusinessunit_value",
            "industrycode _transactioncurrencyid_value _owningbusinessunit_value",
        ),
        _table("contacts", "contact", "contactid", f"fullname jobtitle {_ADDRESSES} _parentcustomerid_value {_RECORD} {_MERGE}"),
        _table(
            "leads",
            "lead",
            "leadid",
            f"fullname companyname {_ADDRESSES} leadsourcecode {_RECORD} {_MERGE} _owningbusinessunit_value",
            "leadsourcecode _owningbusinessunit_value",
        ),
        _table(
            "opportunities",
            "opportunity",
            "opportunityid",
            f"name {_RECORD} stepname actualclosedate estimatedclosedate estimatedvalue estimatedvalue_base actualvalue "
            "actualvalue_base _customerid_value _parentaccountid_value _parentcontactid_value _originatingleadid_value "
            "_transactioncurrencyid_value _owningbusinessunit_value",
            "_transactioncurrencyid_value _owningbusinessunit_value",
        ),
        _table("opportunitycloses", "opportunityclose", "activityid", "_opportunityid_value actualend"),
        _table(
            "emails",
            "email",
            "activityid",
            "statecode statuscode messageid inreplyto senton actualend createdon modifiedon sender _emailsender_value "
            "_regardingobjectid_value isemailfollowed opencount linksclickedcount attachmentcount attachmentopencount replycount",
            has_subject=True,
            keyed_subject=True,
        ),
        _table(
            "appointments",
            "appointment",
            "activityid",
            "statecode scheduledstart scheduledend scheduleddurationminutes isalldayevent globalobjectid instancetypecode "
            "originalstartdate ismapiprivate isdraft modifiedon _regardingobjectid_value",
            has_subject=True,
        ),
        _table("recurringappointmentmasters", "recurringappointmentmaster", "activityid", "modifiedon"),
        _table(
            "phonecalls",
            "phonecall",
            "activityid",
            f"statecode statuscode directioncode {_WHEN} modifiedon _regardingobjectid_value _ownerid_value",
            has_subject=True,
        ),
        _table(
            "tasks",
            "task",
            "activityid",
            f"statecode {_WHEN} modifiedon _regardingobjectid_value _ownerid_value",
            has_subject=True,
        ),
        _table(
            "activityparties",
            "activityparty",
            "activitypartyid",
            "_activityid_value _partyid_value participationtypemask addressused",
        ),
        _table(
            "connections",
            "connection",
            "connectionid",
            "_record1id_value _record2id_value _record1roleid_value _record2roleid_value statecode",
        ),
        _table("connectionroles", "connectionrole", "connectionroleid", "name"),
    ]
)


def columns_of(table: Table, settings: Settings) -> tuple[str, ...]:
    """The columns asked of a table: those of the keep-list, its subject where one is needed, and those that settings name."""
    more = ["subject"] if table.keyed_subject or (table.has_subject and settings.collect_subjects) else []
    if table.entity_set == "opportunities":
        more += [attribute["name"] for attribute in settings.similarity_attributes]
    for flag in settings.privacy_opt_out_flags:
        owner, _, column = flag.partition(".")
        if owner in (table.entity_set, table.logical_name) and column:
            more.append(column)
    return tuple(dict.fromkeys((*table.columns, *more)))


NESTED = frozenset([dict, list])


def _nothing(value: Any) -> Any:
    return None if type(value) in NESTED else value


def _compile(shape: Shape) -> Callable[[Any], Any]:
    if shape is VALUE:
        return _nothing
    if isinstance(shape, list):
        item = _compile(shape[0])
        return lambda value: [item(each) for each in value] if type(value) is list else None
    plain, parts = _parts(shape)

    def kept(value: Any) -> Any:
        if type(value) is not dict:
            return None
        if not parts and value.keys() <= plain and NESTED.isdisjoint(map(type, value.values())):
            return value
        return _reduced(value, plain, parts)

    return kept


def _parts(shape: Record) -> tuple[frozenset[str], dict[str, Callable[[Any], Any]]]:
    """The keys of a shape that hold plain values, and what is kept of each other one."""
    plain = frozenset(key for key, part in shape.items() if part is VALUE)
    return plain, {key: _compile(part) for key, part in shape.items() if part is not VALUE}


def _reduced(value: Record, plain: frozenset[str], parts: dict[str, Callable[[Any], Any]]) -> Record:
    """What is kept of an object, in its own order."""
    return {
        key: (None if type(inner) in NESTED else inner) if key in plain else parts[key](inner)
        for key, inner in value.items()
        if key in plain or key in parts
    }


def _headers(value: Any) -> Any:
    """The message headers that a rule reads (N20 to N25)."""
    if type(value) is not list:
        return None
    return [
        {"name": header["name"], "value": _nothing(header.get("value"))}
        for header in value
        if type(header) is dict and type(header.get("name")) is str and header["name"].strip().lower() in MESSAGE_HEADERS
    ]


_NAME = re.compile(r"[A-Za-z_@][\w.@]{0,99}")


@dataclass
class Filter:
    """Reduces the records of one stream to what may be landed and counts the keys that nobody expected.

    `key` names the primary key, `plain` the keys of plain values that are kept, `parts` what is kept of each nested one; ids of Dataverse are lower-cased (`fold`, N13).
    """

    key: str
    plain: frozenset[str]
    parts: dict[str, Callable[[Any], Any]]
    expected: frozenset[str]
    hash_key: str
    fold: bool = False
    keyed_subject: bool = False
    collect_subjects: bool = False
    unknown: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._kept = self.plain | self.parts.keys()
        self._known = self._kept | self.expected | {"@odata.etag", "@odata.context"}
        key = self.hash_key
        self._subject_key = lru_cache(maxsize=100_000)(lambda subject: subject_key(subject, key))

    def record_id(self, record: Record) -> str | None:
        """The id of a record, None where it has none."""
        value = record.get(self.key)
        if type(value) is not str or not value.strip():
            return None
        return value.strip().strip("{}").lower() if self.fold else value

    def __call__(self, record: Record) -> Record:
        """The record as it is landed."""
        if strangers := record.keys() - self._known:
            self._count(strangers)
        kept = _reduced(record, self.plain, self.parts)
        if "subject" in kept:
            subject = kept["subject"] if type(kept["subject"]) is str else ""
            if self.keyed_subject:
                kept["subject_key"] = self._subject_key(subject)
            if not self.collect_subjects or kept.get("sensitivity") == "private" or kept.get("ismapiprivate") is True:
                del kept["subject"]
        return kept

    def _count(self, strangers: Iterable[str]) -> None:
        for name in strangers:
            column = name.partition("@")[0]
            if column and column != name and column in self._kept:
                continue
            self.unknown[name if _NAME.fullmatch(name) else "(other)"] += 1


def table_filter(table: Table, settings: Settings) -> Filter:
    """The filter of a Dataverse table: its columns, the logical names of its lookups, the labels that dimensions show."""
    columns = columns_of(table, settings)
    names = [*columns, *(c + LOOKUP for c in columns if c.startswith("_")), *(c + LABEL for c in table.labels)]
    return Filter(
        key=table.key,
        plain=frozenset(names),
        parts={},
        expected=frozenset({"_transactioncurrencyid_value", "subject"}),
        hash_key=settings.hash_key.get_secret_value(),
        fold=True,
        keyed_subject=table.keyed_subject,
        collect_subjects=settings.collect_subjects,
    )


def _graph_filter(shape: Record, settings: Settings, *, expected: str = "", subject: bool = False) -> Filter:
    plain, parts = _parts(shape)
    if "internetMessageHeaders" in parts:
        parts["internetMessageHeaders"] = _headers
    return Filter(
        key="id",
        plain=plain,
        parts=parts,
        expected=EXPECTED.get(expected, frozenset()),
        hash_key=settings.hash_key.get_secret_value(),
        keyed_subject=subject,
        collect_subjects=settings.collect_subjects,
    )


def message_filter(settings: Settings) -> Filter:
    """The filter of mail."""
    return _graph_filter(MESSAGE, settings, subject=True)


def listed_message_filter(settings: Settings) -> Filter:
    """The filter of the list pass that reads extended properties."""
    return _graph_filter(LISTED_MESSAGE, settings, expected="messageHeaders")


def event_filter(settings: Settings) -> Filter:
    """The filter of calendars."""
    return _graph_filter(EVENT, settings, expected="events", subject=True)


def user_filter(settings: Settings) -> Filter:
    """The filter of Graph users."""
    return _graph_filter(USER, settings)


def folder_filter(settings: Settings) -> Filter:
    """The filter of mail folders; names of folders are not kept."""
    return _graph_filter(FOLDER, settings, expected="mailFolders")


def member_filter(settings: Settings) -> Filter:
    """The filter of group members."""
    return _graph_filter(MEMBER, settings)


def selected(shape: Record) -> str:
    """The `$select` of a Graph stream: its keys, less annotations and expanded properties."""
    return ",".join(key for key in shape if key[0] != "@" and key != "singleValueExtendedProperties")
