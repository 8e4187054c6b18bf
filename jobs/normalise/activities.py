"""What all activities share: columns, participants, parties, regarding; and phone calls and tasks (N37-N42, N44, N47-N50)."""

import hashlib
from dataclasses import dataclass
from typing import Generic

import polars as pl

from jobs.normalise.crm import record_outcomes
from jobs.normalise.frame import Frame
from jobs.normalise.times import INSTANT, in_range

ROLES = ["sender", "organizer", "from", "to", "required", "callee", "cc", "optional", "bcc", "owner", "delivered"]
"""Roles, the strongest first; only those of one activity type ever meet (N40)."""

ACTIVITY = {
    "activity_id": pl.String, "activity_type": pl.String, "source_state": pl.String, "occurred_at": INSTANT, "ended_at": INSTANT,
    "duration_minutes": pl.Float64, "is_automated": pl.Boolean, "is_bulk": pl.Boolean, "machine_rule": pl.String,
    "is_all_day": pl.Boolean, "is_private": pl.Boolean, "regarding_type": pl.String, "regarding_id": pl.String,
    "is_followed": pl.Boolean, "open_count": pl.Int64, "link_click_count": pl.Int64, "attachment_count": pl.Int64,
    "attachment_open_count": pl.Int64, "reply_count": pl.Int64, "direction": pl.String, "source_systems": pl.List(pl.String),
    "source_ids": pl.List(pl.String), "ingested_at": INSTANT,
}  # fmt: skip
PARTICIPANT = {"activity_id": pl.String, "address": pl.String, "party_id": pl.String, "display_name": pl.String, "role": pl.String,
               "response": pl.String}  # fmt: skip
PARTY = {"activity_id": pl.String, "address": pl.String, "party_type": pl.String, "party_id": pl.String}
SUBJECT = {"activity_id": pl.String, "subject": pl.String}
ENGAGEMENT = {"opencount": "open_count", "linksclickedcount": "link_click_count", "attachmentcount": "attachment_count",
              "attachmentopencount": "attachment_open_count", "replycount": "reply_count"}  # fmt: skip


@dataclass(frozen=True)
class Activities(Generic[Frame]):
    """Rows of one activity type: ACTIVITY, PARTICIPANT, PARTY, SUBJECT."""

    activity: Frame
    participant: Frame
    party: Frame
    subject: Frame


def activity_id(kind: str, key: pl.Expr) -> pl.Expr:
    """Stable ids of activities from their keys (N42)."""
    return key.map_batches(lambda keys: activity_ids(kind, keys), return_dtype=pl.String).alias("activity_id")


def activity_ids(kind: str, keys: pl.Series) -> pl.Series:
    """`activity_id` of a column at hand."""
    return pl.Series(
        "activity_id", [hashlib.sha256(f"{kind}:{key}".encode()).hexdigest()[:32] for key in keys.to_list()], dtype=pl.String
    )


def parties(table: Frame, first_address: Frame) -> Frame:
    """Dataverse parties with an id or an address (N3): activity, activitypartyid, mask, party_type, party_id, address, name (null).

    Without a usable `addressused` the address is the first of the record.
    """
    first = first_address.rename({"party_type": "partyid_type", "party_id": "partyid", "address": "first"})
    joined = table.join(first, on=["partyid_type", "partyid"], how="left")
    return joined.select(
        pl.col("activityid").alias("activity"),
        "activitypartyid",
        pl.col("participationtypemask").alias("mask"),
        pl.col("partyid_type").alias("party_type"),
        pl.col("partyid").alias("party_id"),
        pl.coalesce("raw_address", "first").alias("address"),
        pl.lit(None, dtype=pl.String).alias("name"),
    ).filter(pl.col("address").is_not_null() | pl.col("party_id").is_not_null())


def with_named_senders(party: Frame, emails: Frame, first_address: Frame) -> Frame:
    """`party` with `_emailsender_value` as the sender of emails that have no party with mask 1 (N19)."""
    missing = emails.filter(pl.col("emailsender").is_not_null()).join(
        party.filter(pl.col("mask") == 1), left_on="activityid", right_on="activity", how="anti"
    )
    named = missing.select(
        pl.col("activityid").alias("activity"), pl.lit(1).cast(pl.Int64).alias("mask"),
        pl.col("emailsender_type").alias("party_type"), pl.col("emailsender").alias("party_id"),
    ).join(first_address, on=["party_type", "party_id"], how="left")  # fmt: skip
    return pl.concat([party, named], how="diagonal")


def signatures(table: Frame, party: Frame) -> Frame:
    """What each Dataverse activity amounts to, its parties and their addresses included, as one number: activityid, signature.

    `party`: that of `parties`.
    """
    facts = ["raw_subject", "raw_received_at", *(name for name in table.collect_schema().names() if not name.startswith("raw_"))]
    own = table.select("activityid", pl.struct(facts).hash(5).alias("own"))
    of_party = party.select("activity", pl.struct(pl.all().exclude("activity")).hash(5).alias("party"))
    parties_ = of_party.group_by("activity").agg(pl.col("party").sum())
    both = own.join(parties_, left_on="activityid", right_on="activity", how="left")
    return both.select("activityid", pl.struct("own", "party").hash(5).alias("signature"))


def participants(rows: Frame) -> Frame:
    """One row an activity and address, or party where there is none, with its strongest role (N40).

    `rows`: activity_id, address, party_id, name, role, response. The name is the smallest that is not empty.
    """
    known = rows.filter(pl.col("address").is_not_null() | pl.col("party_id").is_not_null())
    known = known.with_columns(pl.when(pl.col("address").is_null()).then("party_id").alias("party_id"))
    return strongest(known, ["activity_id", "address", "party_id"]).select(PARTICIPANT.keys())


def strongest(rows: Frame, by: list[str]) -> Frame:
    """One row a participant, told apart by `by`, with display_name, role and response as `participants` chooses them."""
    name = pl.col("name").str.strip_chars()
    ranked = rows.select(
        *by,
        pl.col("role").cast(pl.Enum(ROLES)).to_physical().alias("rank"),
        pl.when(name != "").then(name).alias("name"),
        "response",
    )
    merged = ranked.group_by(by).agg(pl.col("rank").min(), pl.col("name").min().alias("display_name"), pl.col("response").min())
    role = pl.col("rank").replace_strict(list(range(len(ROLES))), ROLES, return_dtype=pl.String).alias("role")
    return merged.select(*by, "display_name", role, "response")


def party_rows(rows: Frame, participant: Frame) -> Frame:
    """Parties with an id whose address, or who themselves, take part: PARTY rows. `rows`: activity_id, address, party_type, party_id."""
    known = rows.filter(pl.col("party_id").is_not_null()).select(PARTY.keys()).unique()
    with_address = known.join(participant, on=["activity_id", "address"], how="semi")
    without = known.filter(pl.col("address").is_null()).join(
        participant.filter(pl.col("address").is_null()), on=["activity_id", "party_id"], how="semi"
    )
    return pl.concat([with_address, without])


def delivered(received: Frame, rows: Frame, owners: Frame, owner_address: Frame) -> Frame:
    """Owners of mailboxes with a copy that no row names yet (N31, N41): key, user_id, address.

    `received`: key, user_id; `rows`: key, address of the participants.
    """
    named = rows.select("key", "address").join(owners, on="address").select("key", "user_id")
    return (
        received.select("key", "user_id")
        .unique()
        .join(named, on=["key", "user_id"], how="anti")
        .join(owner_address, on="user_id")
        .select("key", "user_id", "address")
    )


def regarding(rows: Frame) -> Frame:
    """The one regarding of an activity (N48): activity_id, regarding_type, regarding_id.

    `rows`: activity_id, activityid, modifiedon, regardingobjectid and its type.
    """
    named = rows.filter(pl.col("regardingobjectid").is_not_null())
    latest = named.sort("activity_id", "modifiedon", "activityid", descending=[False, True, False], nulls_last=True)
    return latest.unique("activity_id", keep="first", maintain_order=True).select(
        "activity_id", pl.col("regardingobjectid_type").alias("regarding_type"), pl.col("regardingobjectid").alias("regarding_id")
    )


def source_id() -> pl.Expr:
    """The name of the record behind a copy (`source`, `user_id`, `record_id`) in source_ids (N50)."""
    of_graph = pl.concat_str(pl.lit("graph"), "user_id", "record_id", separator=":")
    return pl.when(pl.col("source") == "graph").then(of_graph).otherwise(pl.lit("dataverse:") + pl.col("record_id"))


def provenance(copies: Frame) -> Frame:
    """Where an activity comes from (N50): activity_id, source_systems, source_ids, ingested_at.

    `copies`: activity_id, source, user_id, record_id, seen_at; each record once.
    """
    named = copies.select("activity_id", "source", source_id().alias("source_id"), "seen_at")
    # Names are sorted together: lists are sorted one at a time.
    return sources(named.sort("activity_id", "source_id"))


def sources(named: Frame) -> Frame:
    """`provenance` of copies (activity_id, source, source_id, seen_at) in order of activity and source id."""
    systems = pl.concat_list(
        pl.when("is_crm").then(pl.lit("dataverse")), pl.when("is_graph").then(pl.lit("graph"))
    ).list.drop_nulls()  # fmt: skip
    is_graph = pl.col("source") == "graph"
    rows = named.select("activity_id", is_graph.alias("is_graph"), "source_id", "seen_at")
    return (
        rows.group_by("activity_id", maintain_order=True)
        .agg(
            pl.col("is_graph").any(),
            pl.col("is_graph").not_().any().alias("is_crm"),
            pl.col("source_id").alias("source_ids"),
            pl.col("seen_at").max().alias("ingested_at"),
        )
        .select("activity_id", systems.alias("source_systems"), "source_ids", "ingested_at")
    )


def completed_columns(activity: Frame) -> Frame:
    """`activity` with every column of ACTIVITY: flags that do not apply are false, what is unknown is null (N47)."""
    known = activity.collect_schema().names()
    flags = ["is_automated", "is_bulk", "is_all_day", "is_private", "is_followed"]
    missing = [
        (pl.lit(False) if name in flags else pl.lit(None, dtype=kind)).alias(name)
        for name, kind in ACTIVITY.items()
        if name not in known
    ]
    kinds = {name: kind for name, kind in ACTIVITY.items() if name != "activity_id"}
    return activity.with_columns(missing).select("activity_id", *[pl.col(name).cast(kind) for name, kind in kinds.items()])


def subject_rows(rows: Frame) -> Frame:
    """Collected subjects that are not empty (N51)."""
    return rows.filter(pl.col("subject").str.strip_chars() != "").select(SUBJECT.keys())


def calls_and_tasks(
    table: pl.DataFrame, kind: str, party: pl.DataFrame, first_address: pl.DataFrame
) -> tuple[Activities[pl.DataFrame], pl.DataFrame]:
    """Phone calls (`kind` phone_call) or tasks by the rules below, and the outcome of every record (stream, user_id, record_id, outcome).

    `party`: that of `parties`; `first_address`: that of `people.first_addresses`.
    """
    timed = timed_calls(table.lazy())
    held = timed.filter(pl.col("outcome") == "kept").with_columns(activity_id(kind, pl.col("activityid")))
    held, outcomes = pl.collect_all([held, record_outcomes(timed)])
    rows = call_people(held.lazy(), kind, party.lazy(), first_address.lazy())
    subject = subject_rows(held.lazy().select("activity_id", "subject"))
    activity, participant, subject = pl.collect_all([call_rows(held.lazy(), kind), participants(rows), subject])
    return Activities(activity, participant, party_rows(rows, participant.lazy()).collect(), subject), outcomes


def timed_calls(table: pl.LazyFrame) -> pl.LazyFrame:
    """Calls or tasks with source_state (N37), occurred_at (N38), subject, and their outcome (R5)."""
    state = (
        pl.when(pl.col("statecode") == 1)
        .then(pl.lit("completed"))
        .when(pl.col("statecode") == 2)
        .then(pl.lit("cancelled"))
        .otherwise(pl.lit("open"))
    )
    ended = pl.when(pl.col("source_state") == "completed").then(pl.col("actualend"))
    is_bad = pl.col("occurred_at").is_not_null() & ~in_range(pl.col("occurred_at"))
    return (
        table.with_columns(state.alias("source_state"), pl.col("raw_subject").alias("subject"))
        .with_columns(pl.coalesce(ended, "scheduledend", "scheduledstart").alias("occurred_at"))
        .with_columns(pl.when(is_bad).then(pl.lit("quarantined:year_out_of_range")).otherwise(pl.lit("kept")).alias("outcome"))
    )


def call_rows(held: pl.LazyFrame, kind: str) -> pl.LazyFrame:
    """ACTIVITY of calls or tasks (N44, N45, N48)."""
    spent = (pl.col("actualend") - pl.col("actualstart")).dt.total_seconds() / 60
    is_incoming = pl.coalesce(pl.col("directioncode").not_(), pl.col("statuscode") == 4, pl.lit(False))
    direction = pl.when(is_incoming).then(pl.lit("incoming")).otherwise(pl.lit("outgoing")).alias("direction")
    copies = held.select(
        "activity_id", pl.lit("dataverse").alias("source"), pl.lit(None, dtype=pl.String).alias("user_id"),
        pl.col("activityid").alias("record_id"), pl.col("raw_received_at").alias("seen_at"),
    )  # fmt: skip
    activity = held.select(
        "activity_id",
        pl.lit(kind).alias("activity_type"),
        "source_state",
        "occurred_at",
        pl.col("occurred_at").alias("ended_at"),
        pl.max_horizontal(pl.coalesce(pl.col("actualdurationminutes"), spent, 0.0), 0.0).alias("duration_minutes"),
        pl.when(pl.col("regardingobjectid").is_not_null()).then("regardingobjectid_type").alias("regarding_type"),
        pl.col("regardingobjectid").alias("regarding_id"),
        *([direction] if kind == "phone_call" else []),
    )
    return completed_columns(activity.join(provenance(copies), on="activity_id"))


def call_people(held: pl.LazyFrame, kind: str, party: pl.LazyFrame, first_address: pl.LazyFrame) -> pl.LazyFrame:
    """Owners of calls or tasks, and who called whom (N39): activity_id, party_type, party_id, role, address, name, response."""
    owner = held.filter(pl.col("ownerid").is_not_null()).select(
        "activity_id",
        pl.col("ownerid_type").alias("party_type"),
        pl.col("ownerid").alias("party_id"),
        pl.lit("owner").alias("role"),
        pl.lit(None, dtype=pl.String).alias("name"),
        pl.lit(None, dtype=pl.String).alias("response"),
    )
    owner = owner.join(first_address, on=["party_type", "party_id"], how="left")
    if kind != "phone_call":
        return owner
    called = held.select("activity_id", pl.col("activityid").alias("activity")).join(party, on="activity")
    role = pl.when(pl.col("mask") == 1).then(pl.lit("from")).otherwise(pl.lit("callee")).alias("role")
    return pl.concat([called.filter(pl.col("mask").is_in([1, 2])).with_columns(role), owner], how="diagonal")
