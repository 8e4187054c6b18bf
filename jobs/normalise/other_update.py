"""Meetings, phone calls and tasks brought up to date: what came, went or changed is worked out again, everything else stays.

Copies of one meeting are worked out together; a call or a task is one record. A full rebuild is the same work with nothing kept.
"""

from dataclasses import dataclass

import polars as pl

from jobs.normalise import activities, meetings, monthly
from jobs.normalise.calendars import Calendars
from jobs.normalise.frame import collected
from jobs.normalise.monthly import OUTPUTS, Months, Partitions, month_of
from jobs.normalise.replay import place
from jobs.normalise.shelf import Shelf
from jobs.normalise.worked import People
from jobs.privacy.opt_out import opted_out_activities

COPY = {**meetings.COPY, "activity_id": pl.String, "is_out": pl.Boolean, "place": pl.UInt64, "signature": pl.UInt64}
KEPT = {"copy": COPY, "attendee": {**meetings.ATTENDEE, "activity_id": pl.String}}
MONTHLY = {**{name: schema for name, schema in OUTPUTS.items() if name != "activity_thread"}, **KEPT}
"""The tables of one month: the part of the published tables, and what is kept for the next run. A call or a task has a copy too."""

TYPES = {"appointment": "meeting", "phonecall": "phone_call", "task": "task"}
OF_RECORD = place("activityid", has_user=False)
"""The place of a Dataverse activity."""
SLIM = ["copy", "source", "user_id", "place", "activity_id", "signature"]


@dataclass(frozen=True)
class Kept:
    """What the run before kept: its months, and the first free number of a copy."""

    partitions: Partitions
    next_copy: int


@dataclass(frozen=True)
class Updated:
    """Months that changed with their tables, the first free number of a copy, and what became of the Dataverse records that are not
    behind an activity as they were (stream, user_id, record_id, outcome)."""

    months: Months
    next_copy: int
    outcomes: pl.DataFrame


@dataclass(frozen=True)
class Facts:
    """What these activities are made of: Dataverse tables by logical name, and first addresses (see `people.first_addresses`)."""

    tables: dict[str, pl.DataFrame]
    first: pl.DataFrame


def update(
    calendars: Calendars, facts: Facts, people: People, kept: Kept | None, moved: list[str], collect_subjects: bool, shelf: Shelf
) -> Updated:
    """Work out what changed. `moved`: users whose addresses are not what they were (N31, N34)."""
    old = _slim(kept)
    signed = pl.concat([_signed(name, facts, people.party) for name in TYPES])
    is_crm = pl.col("source") == "dataverse"
    same = old.filter(is_crm).join(signed, on=["place", "signature"], how="semi")
    replaced = pl.concat(
        [
            old.filter(is_crm).join(same, on="copy", how="anti"),
            old.filter(~is_crm & pl.col("place").is_in(calendars.touched.implode())),
        ]
    )
    fresh = {name: _anew(facts.tables[name], same) for name in TYPES}
    first = kept.next_copy if kept is not None else 0
    if kept is not None and not moved and all(map(pl.DataFrame.is_empty, (calendars.copies.copies, replaced, *fresh.values()))):
        return Updated({}, first, calendars.copies.outcomes.clear())
    of_crm = collected(meetings.dataverse_copies(fresh["appointment"].lazy(), people.party.lazy()))
    met = ((calendars.copies, first), (of_crm, first + calendars.copies.copies.height))
    copies = pl.concat([_numbered(part.copies, start) for part, start in met])
    attendees = pl.concat([_numbered(part.attendees, start) for part, start in met])
    copies = copies.with_columns(activities.activity_ids("meeting", copies.get_column("key")), place())
    of_moved = old.filter(pl.col("user_id").is_in(moved))
    reworked = pl.concat([frame.select("activity_id") for frame in (copies, replaced, of_moved)]).unique()
    members = old.join(replaced, on="copy", how="anti").join(reworked, on="activity_id", how="semi")
    copies = (
        pl.concat([copies, _loaded(kept, "copy", members)], how="diagonal").drop("signature").join(signed, on="place", how="left")
    )
    attendees = pl.concat([attendees, _loaded(kept, "attendee", members)], how="diagonal").select(meetings.ATTENDEE.keys())
    found = [
        meetings.meetings(
            copies.select(meetings.COPY.keys()),
            attendees,
            facts.tables["appointment"],
            people.party,
            people.owners,
            people.owner_address,
        )
    ]
    outcomes = [of_crm.outcomes]
    for name in ("phonecall", "task"):
        part, decided = activities.calls_and_tasks(fresh[name], TYPES[name], people.party, facts.first)
        found.append(part)
        outcomes.append(decided)
        first_free = max(first, (copies.get_column("copy").max() or 0) + 1)
        copies = pl.concat([copies, _single(fresh[name], TYPES[name], decided, signed, first_free)], how="diagonal")
    worked = _tables(found, collect_subjects)
    out = worked["activity"].select("activity_id").clear()
    if people.opt_out:
        out = opted_out_activities(worked["activity_participant"], worked["activity_party"], people.opt_out)
    months = worked["activity"].select("activity_id", month_of(pl.col("occurred_at")))
    worked = {name: frame.join(out, on="activity_id", how="anti") for name, frame in worked.items()}
    is_out = pl.col("activity_id").is_in(out.get_column("activity_id").implode())
    worked["copy"] = copies.with_columns(is_out.alias("is_out")).select(COPY.keys())
    worked["attendee"] = attendees.join(copies.select("copy", "activity_id"), on="copy").select(KEPT["attendee"].keys())
    lost = pl.concat([members, replaced])
    gone = pl.concat([lost.select("activity_id"), months.select("activity_id")]).unique()
    touched = lost.get_column("month").unique().to_list()
    placed = {name: monthly.ordered(name, frame.join(months, on="activity_id")) for name, frame in worked.items()}
    parts = monthly.split(placed, MONTHLY, shelf)
    result = monthly.rewritten(kept.partitions if kept else None, MONTHLY, parts, touched, dict.fromkeys(MONTHLY, gone), shelf)
    return Updated(result, max(first, (copies.get_column("copy").max() or 0) + 1), pl.concat(outcomes))


def _slim(kept: Kept | None) -> pl.DataFrame:
    if kept is None:
        return pl.DataFrame(schema={**{name: COPY[name] for name in SLIM}, "month": pl.String})
    return kept.partitions.scan("copy", SLIM, kept.partitions.months).collect()


def _signed(name: str, facts: Facts, party: pl.DataFrame) -> pl.DataFrame:
    """What each record of a table amounts to (`activities.signatures`): place, signature."""
    table = facts.tables[name]
    if name != "appointment":
        owner = facts.first.rename({"party_type": "ownerid_type", "party_id": "ownerid", "address": "owner_address"})
        table = table.join(owner, on=["ownerid_type", "ownerid"], how="left")
    found = activities.signatures(table, party)
    return found.select(OF_RECORD, "signature")


def _anew(table: pl.DataFrame, same: pl.DataFrame) -> pl.DataFrame:
    """Records that are not behind an activity as they were."""
    return table.filter(~OF_RECORD.is_in(same.get_column("place").implode()))


def _numbered(frame: pl.DataFrame, first: int) -> pl.DataFrame:
    return frame.with_columns((pl.col("copy") + first).cast(pl.UInt32))


def _loaded(kept: Kept | None, name: str, members: pl.DataFrame) -> pl.DataFrame:
    """Rows of the member copies in a kept table."""
    parts = [
        kept.partitions.load(month, name).join(members, on="copy", how="semi")
        for month in members.get_column("month").unique()
        if kept is not None
    ]
    return pl.concat([pl.DataFrame(schema=KEPT[name]), *parts])


def _single(table: pl.DataFrame, kind: str, outcomes: pl.DataFrame, signed: pl.DataFrame, first: int) -> pl.DataFrame:
    """The copies of calls or tasks that are kept, one each."""
    held = table.join(outcomes.filter(pl.col("outcome") == "kept"), left_on="activityid", right_on="record_id", how="semi")
    copies = held.select(
        pl.lit("dataverse").alias("source"),
        pl.col("raw_stream").alias("stream"),
        pl.col("activityid").alias("record_id"),
        activities.activity_ids(kind, held.get_column("activityid")),
        OF_RECORD,
    ).with_row_index("copy", offset=first)
    return copies.join(signed, on="place", how="left", maintain_order="left")


def _tables(found: list[activities.Activities], collect_subjects: bool) -> dict[str, pl.DataFrame]:
    tables = {
        "activity": pl.concat([part.activity for part in found]),
        "activity_participant": pl.concat([part.participant for part in found]),
        "activity_party": pl.concat([part.party for part in found]),
        "activity_subject": pl.concat([part.subject for part in found]),
    }
    if not collect_subjects:
        tables["activity_subject"] = tables["activity_subject"].clear()
    return tables
