"""Meetings: copies in calendars and in Dataverse, which of them are one, who was invited and answered what (N27-N36, N49)."""

from dataclasses import dataclass
from typing import Generic

import polars as pl

from jobs.normalise import mail
from jobs.normalise.activities import (
    Activities,
    activity_id,
    completed_columns,
    delivered,
    participants,
    party_rows,
    provenance,
    regarding,
    subject_rows,
)
from jobs.normalise.addresses import canonical
from jobs.normalise.crm import record_outcomes
from jobs.normalise.frame import Frame
from jobs.normalise.payload import boolean
from jobs.normalise.times import INSTANT, in_range, instant

HEX_UID = "040000008200E00074C5B7101A82E008"
FOREIGN_UID = "7643616C2D55696401000000"
"""`vCal-Uid`, 1: what precedes the UID of another calendar system in the data part of a hex UID (N28)."""

ANSWERS = {"accepted": "accepted", "organizer": "accepted", "tentativelyaccepted": "tentative", "declined": "declined"}

COPY = {
    "copy": pl.UInt32, "source": pl.String, "stream": pl.String, "user_id": pl.String, "record_id": pl.String, "seen_at": INSTANT,
    "key": pl.String, "start_at": INSTANT, "end_at": INSTANT, "is_all_day": pl.Boolean, "is_cancelled": pl.Boolean, "is_completed": pl.Boolean,
    "is_organizers": pl.Boolean, "modified_at": INSTANT, "is_private": pl.Boolean, "response": pl.String, "subject": pl.String,
    "organizer_address": pl.String, "organizer_party_id": pl.String, "organizer_name": pl.String,
}  # fmt: skip
UID = pl.Struct({"uid": pl.String, "uid_has_date": pl.Boolean})
ATTENDEE = {
    "copy": pl.UInt32,
    "address": pl.String,
    "party_id": pl.String,
    "name": pl.String,
    "role": pl.String,
    "response": pl.String,
    "answered_at": INSTANT,
}


@dataclass(frozen=True)
class Copies(Generic[Frame]):
    """Copies that count (COPY), whom they invite (ATTENDEE, role resource included), and what became of every record (stream, user_id,
    record_id, outcome: kept, ignored:<reason> or quarantined:<reason>)."""

    copies: Frame
    attendees: Frame
    outcomes: Frame


def graph_copies(events: pl.LazyFrame) -> Copies[pl.LazyFrame]:
    """Copies in calendars, from `calendars.described` (N33, R5)."""
    outcome = (
        pl.when("is_master").then(pl.lit("ignored:master"))
        .when(~pl.col("start_at_zone_known") | ~pl.col("end_at_zone_known")).then(pl.lit("quarantined:unknown_zone"))
        .when(pl.col("start_at").is_null()).then(pl.lit("quarantined:no_time"))
        .when(~in_range(pl.col("start_at")) | ~in_range(pl.col("end_at"))).then(pl.lit("quarantined:year_out_of_range"))
        .when(pl.col("end_at") < pl.col("start_at")).then(pl.lit("quarantined:end_before_start"))
        .otherwise(pl.lit("kept"))
    )  # fmt: skip
    told = events.with_columns(outcome.alias("outcome"))
    counted = told.filter(pl.col("outcome") == "kept").sort("user_id", "record_id").with_row_index("copy")
    outcomes = told.select("stream", "user_id", "record_id", "outcome")
    return Copies(_graph_rows(counted), _graph_attendees(counted), outcomes)


def _graph_rows(counted: pl.LazyFrame) -> pl.LazyFrame:
    """COPY of events that count (N27, N28, N35, N49)."""
    organizer = pl.col("organizer").struct.field("emailAddress").struct
    is_instance = pl.col("type").is_in(["occurrence", "exception"]) | pl.col("uid_has_date")
    original = pl.coalesce(pl.col("originalStart").pipe(instant), "start_at")
    copies = with_uid(counted, "iCalUId").select(
        "copy",
        pl.lit("graph").alias("source"),
        "stream",
        "user_id",
        "record_id",
        pl.col("received_at").alias("seen_at"),
        _key(is_instance, original, pl.format("{}/{}", "user_id", "record_id")),
        "start_at",
        "end_at",
        boolean(pl.col("isAllDay")).fill_null(False).alias("is_all_day"),
        boolean(pl.col("isCancelled")).fill_null(False).alias("is_cancelled"),
        pl.lit(False).alias("is_completed"),
        boolean(pl.col("isOrganizer")).fill_null(False).alias("is_organizers"),
        pl.col("lastModifiedDateTime").pipe(instant).alias("modified_at"),
        (pl.col("sensitivity").str.to_lowercase() == "private").fill_null(False).alias("is_private"),
        pl.col("responseStatus").struct.field("response").str.to_lowercase().alias("response"),
        "subject",
        canonical(organizer.field("address")).alias("organizer_address"),
        pl.lit(None, dtype=pl.String).alias("organizer_party_id"),
        organizer.field("name").alias("organizer_name"),
    )
    return copies.select(COPY.keys()).cast(COPY)


def _graph_attendees(counted: pl.LazyFrame) -> pl.LazyFrame:
    """ATTENDEE of events that count (N30, N34)."""
    listed = counted.select("copy", pl.col("attendees").alias("person"))
    invited = listed.filter(pl.col("person").list.len() > 0).explode("person")
    person = pl.col("person").struct
    attendees = invited.select(
        "copy",
        canonical(person.field("emailAddress").struct.field("address")).alias("address"),
        pl.lit(None, dtype=pl.String).alias("party_id"),
        person.field("emailAddress").struct.field("name").alias("name"),
        person.field("type").str.to_lowercase().alias("type"),
        _answer(person.field("status").struct.field("response")).alias("response"),
        person.field("status").struct.field("time").pipe(instant).alias("answered_at"),
    )
    role = pl.when(pl.col("type").is_in(["optional", "resource"])).then("type").otherwise(pl.lit("required")).alias("role")
    return attendees.with_columns(role).filter(pl.col("address").is_not_null()).select(ATTENDEE.keys()).cast(ATTENDEE)


def dataverse_copies(appointments: pl.LazyFrame, party: pl.LazyFrame) -> Copies[pl.LazyFrame]:
    """Appointments of Dataverse; drafts and series masters are none (N33, N37). `party`: that of `activities.parties`."""
    minutes = pl.max_horizontal(pl.col("scheduleddurationminutes").fill_null(0.0), 0.0)
    lasting = pl.col("scheduledstart") + pl.duration(seconds=(minutes * 60).cast(pl.Int64))
    timed = appointments.with_columns(
        pl.coalesce("scheduledend", lasting).alias("end_at"), pl.col("raw_subject").alias("subject")
    )
    outcome = (
        pl.when(pl.col("isdraft").fill_null(False)).then(pl.lit("ignored:draft"))
        .when((pl.col("instancetypecode") == 1).fill_null(False)).then(pl.lit("ignored:master"))
        .when(pl.col("scheduledstart").is_null()).then(pl.lit("quarantined:no_time"))
        .when(~in_range(pl.col("scheduledstart")) | ~in_range(pl.col("end_at"))).then(pl.lit("quarantined:year_out_of_range"))
        .when(pl.col("end_at") < pl.col("scheduledstart")).then(pl.lit("quarantined:end_before_start"))
        .otherwise(pl.lit("kept"))
    )  # fmt: skip
    timed = timed.with_columns(outcome.alias("outcome"))
    counted = timed.filter(pl.col("outcome") == "kept").sort("activityid").with_row_index("copy")
    own = party.join(counted.select(pl.col("activityid").alias("activity"), "copy"), on="activity")
    organizer = mail.leading_party(own, 7)
    counted = with_uid(counted, "globalobjectid").join(
        organizer.select("copy", pl.col("address").alias("organizer_address"), pl.col("party_id").alias("organizer_party_id"), pl.col("name").alias("organizer_name")),
        on="copy", how="left", maintain_order="left",
    )  # fmt: skip
    is_instance = pl.col("instancetypecode").is_in([2, 3, 4]).fill_null(False) | pl.col("uid_has_date")
    copies = counted.select(
        "copy",
        pl.lit("dataverse").alias("source"),
        pl.col("raw_stream").alias("stream"),
        pl.lit(None, dtype=pl.String).alias("user_id"),
        pl.col("activityid").alias("record_id"),
        pl.col("raw_received_at").alias("seen_at"),
        _key(is_instance, pl.coalesce("originalstartdate", "scheduledstart"), pl.col("activityid")),
        pl.col("scheduledstart").alias("start_at"),
        "end_at",
        pl.col("isalldayevent").fill_null(False).alias("is_all_day"),
        (pl.col("statecode") == 2).fill_null(False).alias("is_cancelled"),
        (pl.col("statecode") == 1).fill_null(False).alias("is_completed"),
        pl.lit(False).alias("is_organizers"),
        pl.col("modifiedon").alias("modified_at"),
        pl.col("ismapiprivate").fill_null(False).alias("is_private"),
        pl.lit(None, dtype=pl.String).alias("response"),
        "subject",
        "organizer_address",
        pl.when(pl.col("organizer_address").is_null()).then("organizer_party_id").alias("organizer_party_id"),
        "organizer_name",
    )
    attendees = own.filter(pl.col("mask").is_in([5, 6, 7])).select(
        "copy",
        "address",
        pl.when(pl.col("address").is_null()).then("party_id").alias("party_id"),
        "name",
        pl.when(pl.col("mask") == 6).then(pl.lit("optional")).otherwise(pl.lit("required")).alias("role"),
        pl.lit("none").alias("response"),
        pl.lit(None, dtype=INSTANT).alias("answered_at"),
    )
    typed = [frame.select(schema.keys()).cast(schema) for frame, schema in ((copies, COPY), (attendees, ATTENDEE))]
    return Copies(*typed, record_outcomes(timed))


def _answer(response: pl.Expr) -> pl.Expr:
    return response.str.to_lowercase().replace_strict(ANSWERS, default="none", return_dtype=pl.String).fill_null("none")


def _key(is_instance: pl.Expr, original: pl.Expr, own_id: pl.Expr) -> pl.Expr:
    """The text that activity_id is made of (N27, N28, N42)."""
    instance = pl.format("{}|{}", "uid", original.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return pl.when(pl.col("uid").is_null()).then(own_id).when(is_instance).then(instance).otherwise("uid").alias("key")


def with_uid(frame: pl.LazyFrame, column: str) -> pl.LazyFrame:
    """`frame` with `uid`, the UID as meetings are compared by (N27, N28; null for none), and `uid_has_date`."""
    return frame.with_columns(pl.col(column).map_batches(_uids, return_dtype=UID).alias("__uid")).unnest("__uid")


def _uids(texts: pl.Series) -> pl.Series:
    known = {text: meeting_uid(text) for text in texts.drop_nulls().unique().to_list()}
    rows = [known.get(text, (None, False)) for text in texts.to_list()]
    return pl.DataFrame(rows, schema=UID.to_schema(), orient="row").to_struct()


def meeting_uid(text: str) -> tuple[str | None, bool]:
    """The UID without its instance date, and whether it had one."""
    trimmed = text.strip()
    upper = trimmed.upper()
    if not upper.startswith(HEX_UID):
        return trimmed or None, False
    has_date = len(upper) >= 40 and upper[32:40] != "00000000"
    if upper[80:].startswith(FOREIGN_UID):
        try:
            data = bytes.fromhex(upper[80 + len(FOREIGN_UID) :])
        except ValueError:
            data = b""
        if foreign := data.split(b"\0")[0].decode("utf-8", "replace").strip():
            return foreign, has_date
    return (f"{upper[:32]}00000000{upper[40:]}" if len(upper) >= 40 else upper), has_date


def meetings(
    copies: pl.DataFrame,
    attendees: pl.DataFrame,
    appointments: pl.DataFrame,
    party: pl.DataFrame,
    owners: pl.DataFrame,
    owner_address: pl.DataFrame,
) -> Activities[pl.DataFrame]:
    """All meetings, by the rules below. `copies`: COPY; `attendees`: ATTENDEE; `party`: that of `activities.parties`; `owners`,
    `owner_address`: user_id, address."""
    # Collected in steps: a plan that several others hold would be worked out in each of them.
    held = ranked(copies.lazy()).collect().lazy()
    crm = of_dataverse(held, appointments.lazy()).collect().lazy()
    rows = invited(held, attendees.lazy(), owners.lazy(), owner_address.lazy())
    activity, participant, subject = pl.collect_all(
        [activity_rows(held, crm), participant_rows(held, rows), subject_rows(subjects(held))]
    )
    named = crm.select("activity_id", pl.col("activityid").alias("activity"))
    named = named.join(party.lazy().filter(pl.col("mask").is_in([5, 6, 7])), on="activity")
    return Activities(activity, participant, party_rows(named, participant.lazy()).collect(), subject)


def ranked(copies: pl.LazyFrame) -> pl.LazyFrame:
    """Copies (COPY) with the activity_id of their meeting and their `rank`, of every meeting the one that decides first (N29)."""
    keys = copies.select("key").unique().with_columns(activity_id("meeting", pl.col("key")))
    rank = pl.when(pl.col("is_organizers")).then(0).when(pl.col("source") == "graph").then(1).otherwise(2)
    held = copies.join(keys, on="key").drop("key").with_columns(rank.cast(pl.UInt8).alias("rank"))
    order = ["activity_id", "rank", "modified_at", "user_id", "record_id"]
    return held.sort(order, descending=[False, False, True, False, False], nulls_last=True)


def deciding(held: pl.LazyFrame) -> pl.LazyFrame:
    """Of `ranked` copies the one of each meeting that decides."""
    return held.unique("activity_id", keep="first", maintain_order=True)


def of_dataverse(held: pl.LazyFrame, appointments: pl.LazyFrame) -> pl.LazyFrame:
    """The appointments behind meetings, with activity_id."""
    records = held.filter(pl.col("source") == "dataverse").select("activity_id", pl.col("record_id").alias("activityid"))
    return records.join(appointments, on="activityid")


def invited(held: pl.LazyFrame, attendees: pl.LazyFrame, owners: pl.LazyFrame, owner_address: pl.LazyFrame) -> pl.LazyFrame:
    """Who takes part, with what each answered (N29-N31, N34): activity_id, address, party_id, name, role, response."""
    resources = (
        attendees.filter(pl.col("role") == "resource")
        .join(held.select("copy", "activity_id"), on="copy")
        .select("activity_id", "address")
        .unique()
    )
    rows = _invited(held, deciding(held), attendees).join(resources, on=["activity_id", "address"], how="anti")
    extra = delivered(
        held.filter(pl.col("source") == "graph").select(pl.col("activity_id").alias("key"), "user_id"),
        rows.select(pl.col("activity_id").alias("key"), "address"),
        owners,
        owner_address,
    ).rename({"key": "activity_id"})
    said = held.unique(["activity_id", "user_id"], keep="first", maintain_order=True).select(
        "activity_id", "user_id", _answer(pl.col("response"))
    )
    extra = extra.join(said, on=["activity_id", "user_id"], how="left").with_columns(pl.lit("delivered").alias("role"))
    extra = extra.join(resources, on=["activity_id", "address"], how="anti")
    answers = _responses(held, deciding(held), attendees, owners)
    rows = rows.join(answers, on=["activity_id", "address"], how="left")
    return pl.concat([rows, extra.drop("user_id")], how="diagonal")


def participant_rows(held: pl.LazyFrame, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Participants (PARTICIPANT) from `invited` rows; those of private meetings without names (N49)."""
    participant = participants(rows).with_columns(
        pl.when(pl.col("role") == "organizer")
        .then(pl.lit("accepted"))
        .otherwise(pl.col("response").fill_null("none"))
        .alias("response")
    )
    private = held.group_by("activity_id").agg(pl.col("is_private").any())
    return (
        participant.join(private, on="activity_id", how="left")
        .with_columns(pl.when(~pl.col("is_private")).then("display_name").alias("display_name"))
        .drop("is_private")
    )


def activity_rows(held: pl.LazyFrame, crm: pl.LazyFrame) -> pl.LazyFrame:
    """Meetings as activities (ACTIVITY; N29, N32, N49). `crm`: that of `of_dataverse`."""
    every = held.group_by("activity_id").agg(
        pl.col("is_private").any(), pl.col("is_cancelled").all().alias("all_cancelled"), pl.col("is_completed").any()
    )
    cancelled = pl.when(pl.col("rank") == 0).then("is_cancelled").otherwise("all_cancelled")
    activity = (
        deciding(held)
        .drop("is_private", "is_completed")
        .join(every, on="activity_id")
        .join(regarding(crm), on="activity_id", how="left")
        .join(provenance(held), on="activity_id")
        .with_columns(
            pl.lit("meeting").alias("activity_type"),
            pl.when(cancelled)
            .then(pl.lit("cancelled"))
            .when("is_completed")
            .then(pl.lit("completed"))
            .otherwise(pl.lit("open"))
            .alias("source_state"),
            pl.col("start_at").alias("occurred_at"),
            pl.col("end_at").alias("ended_at"),
            ((pl.col("end_at") - pl.col("start_at")).dt.total_seconds() / 60).alias("duration_minutes"),
        )
    )
    return completed_columns(activity)


def subjects(held: pl.LazyFrame) -> pl.LazyFrame:
    """Subjects of the meetings none of whose copies is private (N49): activity_id, subject."""
    private = held.filter("is_private").select("activity_id")
    return deciding(held).join(private, on="activity_id", how="anti").select("activity_id", "subject")


def _invited(held: pl.LazyFrame, deciding: pl.LazyFrame, attendees: pl.LazyFrame) -> pl.LazyFrame:
    """Organizer, required and optional people (N29, N30): activity_id, address, party_id, name, role."""
    columns = ["activity_id", "address", "party_id", "name", "role"]
    led = deciding.filter(pl.col("rank") == 0).select("activity_id", pl.lit(True).alias("is_led"))
    sources = held.select("copy", "activity_id", "source").join(led, on="activity_id", how="left")
    sources = sources.join(deciding.select("copy", pl.lit(True).alias("is_deciding")), on="copy", how="left")
    speaks = (pl.col("source") == "dataverse") | pl.col("is_led").is_null() | pl.col("is_deciding").is_not_null()
    named = attendees.filter(pl.col("role") != "resource").join(sources.filter(speaks), on="copy").select(columns)
    organizers = held.select(
        "copy", "activity_id", pl.col("organizer_address").alias("address"), pl.col("organizer_party_id").alias("party_id"),
        pl.col("organizer_name").alias("name"),
    ).join(deciding.select("copy", pl.lit("organizer").alias("role")), on="copy", how="left").with_columns(pl.col("role").fill_null("required"))  # fmt: skip
    return pl.concat([named, organizers.select(columns)])


def _responses(held: pl.LazyFrame, deciding: pl.LazyFrame, attendees: pl.LazyFrame, owners: pl.LazyFrame) -> pl.LazyFrame:
    """What each address answered (N34, R8): activity_id, address, response."""
    answered = pl.col("response") != "none"
    own = held.filter(pl.col("response").is_in(["accepted", "tentativelyaccepted", "declined"])).with_columns(
        _answer(pl.col("response"))
    )
    own = own.join(owners, on="user_id").sort(
        "activity_id",
        "address",
        "modified_at",
        "user_id",
        "record_id",
        descending=[False, False, True, False, False],
        nulls_last=True,
    )
    own = own.unique(["activity_id", "address"], keep="first", maintain_order=True).select(
        "activity_id", "address", pl.col("response").alias("own")
    )
    places = held.filter(pl.col("source") == "graph").select("copy", "activity_id", "user_id", "record_id")
    listed = attendees.filter(pl.col("address").is_not_null()).join(places, on="copy")
    order = ["activity_id", "address", "answered_at", "user_id", "record_id", "response"]
    latest = listed.sort(order, descending=[False, False, True, False, False, False], nulls_last=True)
    leading = deciding.filter(pl.col("rank") == 0).select("copy")
    of_organizer = latest.join(leading, on="copy", how="semi", maintain_order="left").unique(
        ["activity_id", "address"], keep="first", maintain_order=True
    )
    of_others = (
        latest.join(leading, on="copy", how="anti", maintain_order="left")
        .filter(answered)
        .unique(["activity_id", "address"], keep="first", maintain_order=True)
    )
    everyone = pl.concat([frame.select("activity_id", "address") for frame in (own, of_organizer, of_others)]).unique()
    for name, frame in (("organizer", of_organizer), ("other", of_others)):
        everyone = everyone.join(
            frame.select("activity_id", "address", pl.col("response").alias(name)), on=["activity_id", "address"], how="left"
        )
    everyone = everyone.join(own, on=["activity_id", "address"], how="left")
    return everyone.select("activity_id", "address", pl.coalesce("own", "organizer", "other").alias("response"))
