"""The emails that copies are, worked out for copies that can decide one email together."""

from dataclasses import dataclass

import polars as pl

from jobs.normalise import emails, mail, monthly
from jobs.normalise.monthly import OUTPUTS, month_of
from jobs.normalise.shards import Frames
from jobs.privacy.opt_out import OptOut, opted_out_activities

OF_COPY = {name: kind for name, kind in mail.COPY.items() if name != "conversation_id"}
"""What is known of copies once their nodes are."""
FRESH = {
    "copy": {**OF_COPY, "place": pl.UInt64, "same_id": pl.UInt64, "same_content": pl.UInt64, "signature": pl.UInt64},
    "mention": mail.MENTION,
    "node": {"copy": pl.UInt32, "node": pl.UInt64},
}
"""What is known of copies before it is worked out which email they are."""
OF_EMAIL = {"activity_id": pl.String, "month": pl.String, "is_out": pl.Boolean}
KEPT = {**FRESH, "copy": {**FRESH["copy"], **OF_EMAIL}}
"""What is kept of copies for the next run."""
WORKED = {name: schema for name, schema in OUTPUTS.items() if name != "activity_thread"}
"""The published tables that emails decide without regard to others."""


@dataclass(frozen=True)
class People:
    """What mail needs to know of people and Dataverse: see `people` and `activities` for the columns."""

    folders: pl.DataFrame
    owners: pl.DataFrame
    owner_address: pl.DataFrame
    party: pl.DataFrame
    emails: pl.DataFrame
    opt_out: OptOut


@dataclass(frozen=True)
class MailRules:
    """Settings that decide what mail becomes."""

    hash_key: str
    tolerance_seconds: int
    drop_deleted: bool
    collect_subjects: bool


@dataclass(frozen=True)
class Worked:
    """Emails: the tables of WORKED, each in its row order and with `month`; `email` (OF_EMAIL) in order of activity_id; what ties those
    that are not out (`tied`: email, its place in it, and node, once or more); and KEPT of their copies."""

    tables: Frames
    email: pl.DataFrame
    tied: pl.DataFrame
    kept: Frames


def worked_out(copies: Frames, people: People, rules: MailRules) -> Worked:
    """The emails that `copies` are."""
    held = mail.Copies(copies["copy"].select(OF_COPY.keys()), copies["mention"], pl.DataFrame(schema=mail.LINK), pl.DataFrame())
    found, assigned, ids = emails.emails(
        held, people.emails, people.party, people.owners, people.owner_address, rules.tolerance_seconds
    )
    out = found.activity.select("activity_id").clear()
    if people.opt_out:
        out = opted_out_activities(found.participant, found.party, people.opt_out)
    activity = found.activity
    is_out = pl.col("activity_id").is_in(out.get_column("activity_id").implode()).alias("is_out")
    email = activity.select(ids, month_of(pl.col("occurred_at")), is_out)
    tables = {
        "activity": activity,
        "activity_participant": found.participant,
        "activity_party": found.party,
        "activity_subject": found.subject if rules.collect_subjects else found.subject.clear(),
    }
    if not out.is_empty():
        tables = {name: table.join(out, on="activity_id", how="anti", maintain_order="left") for name, table in tables.items()}
    tables |= {name: monthly.ordered(name, tables[name]) for name in ("activity_party", "activity_subject")}
    shown = {name: _named(table, email) for name, table in tables.items()}
    of_copy = email.select(pl.all().gather(emails.email_of(copies["copy"], assigned)))
    kept = {**copies, "copy": copies["copy"].with_columns(of_copy.iter_columns()).select(KEPT["copy"].keys())}
    tied = copies["node"].select(emails.email_of(copies["node"], assigned).alias("email"), "node")
    if not out.is_empty():
        tied = tied.filter(~email.get_column("is_out").gather(tied.get_column("email")))
    return Worked(shown, email, tied, kept)


def _named(table: pl.DataFrame, email: pl.DataFrame) -> pl.DataFrame:
    """`table` with activity_id and month of the email that its activity_id counts to."""
    number = table.get_column("activity_id")
    return table.with_columns(email.select(pl.col("activity_id", "month").gather(number)).iter_columns())
