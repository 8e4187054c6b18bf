"""The keep-list: what is asked of the sources, and which keys of a record reach the disk, per stream.

A shape says what is kept: `VALUE` is a text, number, boolean or null; a dict is an object of which only these keys are kept; a list
of one shape is a list of such. Whatever has another shape than the one named is landed as null, so that no nested content
slips through.
"""

from dataclasses import dataclass
from typing import Any

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
    "messageHeaders": frozenset({"receivedDateTime", "@odata.type"}),
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


def selected(shape: Record) -> str:
    """The `$select` of a Graph stream: its keys, less annotations and expanded properties."""
    return ",".join(key for key in shape if key[0] != "@" and key != "singleValueExtendedProperties")
