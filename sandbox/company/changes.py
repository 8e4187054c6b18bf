"""What changes in the three days after as-of, besides new mail: moves, removals, wins, merges, cancellations."""

from random import Random

from sandbox.company.folder import Record, TenantFolder, day, instant, lookup
from sandbox.company.mail import Post
from sandbox.company.meetings import Meetings
from sandbox.company.people import guid
from sandbox.company.staff import Staff
from sandbox.company.tracking import Tracking
from sandbox.company.working_time import DAY, HOUR

STEPS = 3


def write_changes(
    folder: TenantFolder, rng: Random, post: Post, meetings: Meetings, tracking: Tracking, staff: Staff, as_of: int
) -> None:
    """Write one change of each kind into the steps after the base state."""
    mornings = [as_of + step * DAY + 8 * HOUR for step in range(STEPS)]
    _mail(folder, rng, post, staff, mornings)
    _deals(folder, rng, mornings)
    _contacts(folder, mornings)
    _calendar(folder, meetings, mornings)
    for activity_id, party_id in tracking.party_ids[-1:]:
        folder.remove("dataverse/activityparties.jsonl", party_id, mornings[1])
        folder.remove("dataverse/phonecalls.jsonl", activity_id, mornings[2])


def _mail(folder: TenantFolder, rng: Random, post: Post, staff: Staff, mornings: list[int]) -> None:
    """A move to the archive, a move to a customer's folder, a deletion, and a copy that arrives weeks late in a second mailbox."""
    chosen = rng.sample(post.sent, 4)
    for (_, box, message_id), target, at in zip(chosen[:2], ("archive", "projects"), mornings[:2], strict=True):
        folder.add(
            box.messages, {"id": message_id, "parentFolderId": box.folders[target], "lastModifiedDateTime": instant(at)}, at
        )
    _, box, message_id = chosen[2]
    folder.remove(box.messages, message_id, mornings[0])
    email, box, _ = chosen[3]
    reader = next(person for person in staff.users if person.mailbox is not box)
    assert reader.mailbox is not None
    folder.add(reader.mailbox.messages, post.record(email, reader, "inbox", is_sent=False), mornings[1])


def _deals(folder: TenantFolder, rng: Random, mornings: list[int]) -> None:
    open_deals = [row for row in folder.records("dataverse/opportunities.jsonl") if row["statecode"] == 0]
    revised, won = open_deals[0], open_deals[1]
    folder.crm(
        "opportunities",
        _changed(revised, mornings[0], {"stepname": "4-Close", "estimatedclosedate": day(mornings[2] + 20 * DAY)}),
        mornings[0],
    )
    value = won["estimatedvalue"] or 1000.0
    closed = {
        "statecode": 1,
        "statuscode": 3,
        "actualclosedate": day(mornings[1]),
        "actualvalue": value,
        "actualvalue_base": won["estimatedvalue_base"] or 1000.0,
    }
    folder.crm("opportunities", _changed(won, mornings[1], closed), mornings[1])
    folder.crm(
        "opportunitycloses",
        {
            "activityid": guid(rng), "subject": "Opportunity closed", "statecode": 1, "statuscode": 2, "actualend": instant(mornings[1]), **lookup("opportunityid", "opportunity", won["opportunityid"]),
            **lookup("regardingobjectid", "opportunity", won["opportunityid"]), **lookup("ownerid", None, None), "createdon": instant(mornings[1]), "modifiedon": instant(mornings[1]),
        },
        mornings[1],
    )  # fmt: skip
    fresh = {"opportunityid": guid(rng), "name": "Renewal", "statecode": 0, "statuscode": 1, "createdon": instant(mornings[2])}
    folder.crm("opportunities", _changed(revised, mornings[2], fresh), mornings[2])


def _contacts(folder: TenantFolder, mornings: list[int]) -> None:
    rows = [row for row in folder.records("dataverse/contacts.jsonl") if not row["merged"]]
    folder.crm(
        "contacts",
        _changed(rows[3], mornings[0], {"emailaddress2": f"new.{rows[3]['contactid'][:4]}@moved.example"}),
        mornings[0],
    )
    merged = {"merged": True, "statecode": 1, "statuscode": 2, **lookup("masterid", "contact", rows[3]["contactid"])}
    folder.crm("contacts", _changed(rows[4], mornings[1], merged), mornings[1])
    folder.remove("dataverse/contacts.jsonl", rows[5]["contactid"], mornings[2])


def _calendar(folder: TenantFolder, meetings: Meetings, mornings: list[int]) -> None:
    (first_file, first), (second_file, second) = meetings.future[0], meetings.future[-1]
    folder.add(first_file, {**_plain(first), "isCancelled": True, "lastModifiedDateTime": instant(mornings[1])}, mornings[1])
    folder.remove(second_file, second["id"], mornings[2])


def _changed(row: Record, at: int, keys: Record) -> Record:
    return {**_plain(row), "modifiedon": instant(at), **keys}


def _plain(row: Record) -> Record:
    return {key: value for key, value in row.items() if key != "@odata.etag"}
