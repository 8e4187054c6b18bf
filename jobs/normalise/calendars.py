"""Calendars brought up to date: which events are there, and what each was last known to be (N33, N36, N53, N54).

Of every event ever seen a line of an index is kept. New rows of the log touch the events that they name and the occurrences of the
masters that they name; only of these older rows are read again. A full rebuild is the same work with nothing kept and every row new.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson
import polars as pl

from jobs.normalise import meetings, quarantine, replay
from jobs.normalise.frame import Frame, collected
from jobs.normalise.payload import ANSWER, LOCAL_TIME, PERSON, decoded
from jobs.normalise.times import INSTANT, zoned_instant

EVENT = {
    **dict.fromkeys(
        [
            "iCalUId",
            "type",
            "originalStart",
            "isAllDay",
            "isCancelled",
            "isOrganizer",
            "sensitivity",
            "lastModifiedDateTime",
            "subject",
        ],
        pl.String,
    ),
    "start": LOCAL_TIME,
    "end": LOCAL_TIME,
    "organizer": PERSON,
    "attendees": pl.List(
        pl.Struct({"type": pl.String, "status": ANSWER, **{field.name: field.dtype for field in PERSON.fields}})
    ),
    "responseStatus": ANSWER,
}
NOT_OF_MASTER = ("id", "type", "seriesMasterId", "start", "end", "originalStart")
INDEX = {
    "stream": pl.String, "place": pl.UInt64, "round": pl.Int64, "page": pl.Int32, "row": pl.Int32, "content": pl.UInt64,
    "start_at": INSTANT, "end_at": INSTANT, "master": pl.UInt64, "is_master": pl.Boolean, "is_member": pl.Boolean, "outcome": pl.String,
}  # fmt: skip
"""Every event ever seen: the place and the hash of its last row, its times, its master, whether it is still there, and what became of it
(null when it is gone). `place` and `master` stand for user and event id (`replay.place`)."""

KEY = ["stream", "place"]


@dataclass(frozen=True)
class NewEvents:
    """New rows of `calendarView/<user>` streams; `older(users)` reads those that the run before knew."""

    rows: pl.DataFrame
    older: Callable[[list[str]], pl.DataFrame]


@dataclass(frozen=True)
class Kept:
    """What the run before kept; see `Calendars`."""

    index: pl.DataFrame
    passed: pl.DataFrame
    quarantined: pl.DataFrame


@dataclass(frozen=True)
class Calendars:
    """INDEX, the counts of `quarantine.passed`, quarantined events, the copies of events that are not what they were, and the places of
    all events whose copies of the run before no longer stand."""

    index: pl.DataFrame
    passed: pl.DataFrame
    quarantined: pl.DataFrame
    copies: meetings.Copies
    touched: pl.Series


def update(new: NewEvents, kept: Kept | None, closed: list[str]) -> Calendars:
    """Work out what the new rows change. `closed`: users who opted out and whose calendars are not read (N55)."""
    index = kept.index if kept is not None else pl.DataFrame(schema=INDEX)
    rows = _placed(new.rows)
    named = rows.filter(pl.col("record_id").is_not_null()).get_column("place").unique()
    occurrences = index.filter(pl.col("master").is_in(named.implode())).get_column("place")
    touched = pl.concat([named, occurrences]).unique()
    is_touched = pl.col("place").is_in(touched.implode())
    last = replay.last_known(
        pl.concat([_older(rows, new, index, is_touched), rows]),
        ["stream", "record_id"],
        merge=True,
        restart=False,
        order=replay.IN_STREAM,
    )
    events = described(last).filter(is_touched)
    before = index.filter(is_touched).select("place", "round", "page", "row", "is_member")
    entries = events.join(before, on=["place", "round", "page", "row"], how="left").with_columns(
        pl.col("is_member").fill_null(True)
    )
    every = pl.concat([index.filter(~is_touched), entries.select([name for name in INDEX if name != "outcome"])], how="diagonal")
    gone = replay.ended(every.filter("is_member"), rows, KEY, timed=True)
    is_gone = pl.col("place").is_in(gone.get_column("place").implode())
    present = events.join(every.filter(pl.col("is_member") & ~is_gone), on="place", how="semi")
    is_closed = pl.col("user_id").is_in(closed)
    copies = collected(meetings.graph_copies(present.filter(~is_closed).lazy()))
    shut = present.filter(is_closed).select("stream", "user_id", "record_id", pl.lit("ignored:opted_out").alias("outcome"))
    outcomes = pl.concat([copies.outcomes, shut])
    decided = outcomes.select(replay.place(), pl.col("outcome").alias("decided"))
    every = every.join(decided, on="place", how="left").with_columns(
        pl.when(pl.col("is_member") & ~is_gone).then(pl.coalesce("decided", "outcome")).alias("outcome"),
        pl.col("is_member") & ~is_gone,
    )
    bad = quarantine.of_records(last, outcomes, ["stream", "record_id"])
    touched = pl.concat([touched, gone.get_column("place")]).unique()
    passed = [quarantine.passed(rows, index.select(*KEY, "content"), KEY)]
    if kept is not None:
        bad = pl.concat([bad, kept.quarantined.filter(~replay.place().is_in(touched.implode()))])
        passed.append(kept.passed)
    return Calendars(every.select(INDEX.keys()).sort(KEY), quarantine.summed(passed), bad, copies, touched)


def _placed(rows: Frame) -> Frame:
    """`rows` with user_id, place, and the hash of the payload as content."""
    placed = rows.with_columns(pl.col("stream").str.split("/").list.get(1, null_on_oob=True).str.to_lowercase().alias("user_id"))
    return placed.with_columns(replay.place(), quarantine.content(pl.col("payload")))


def _older(rows: pl.DataFrame, new: NewEvents, index: pl.DataFrame, is_touched: pl.Expr) -> pl.DataFrame:
    """Older rows of the touched events, and of the masters in their calendars."""
    records = rows.filter(pl.col("record_id").is_not_null()).select("stream", "user_id").unique()
    wanted = index.filter(is_touched | pl.col("is_master")).join(records, on="stream").select("place", "user_id").unique()
    if wanted.is_empty():
        return rows.clear()
    older = _placed(new.older(sorted(wanted.get_column("user_id").unique())))
    return older.filter(pl.col("op") == "upsert").join(wanted, on="place", how="semi")


def described(last: Frame) -> Frame:
    """Events as last known (`last`), their master's values filled in (N33), with user_id, place, master, is_master and the columns of
    EVENT, start_at, end_at and whether their zones are known."""
    kind = decoded(pl.col("payload"), {"type": pl.String, "seriesMasterId": pl.String}).struct.rename_fields(
        ["kind", "master_id"]
    )
    last = last.sort("stream", "record_id").with_columns(kind.alias("__kind")).unnest("__kind")
    last = last.with_columns((pl.col("kind") == "seriesMaster").fill_null(False).alias("is_master"))
    masters = last.filter("is_master").select(
        "stream", pl.col("record_id").alias("master_id"), pl.col("payload").alias("master_payload")
    )
    last = last.join(masters, on=["stream", "master_id"], how="left", maintain_order="left")
    has_master = pl.col("master_id").is_not_null() & ~pl.col("is_master")
    above = pl.when(~pl.col("is_master")).then("master_payload").alias("master_payload")
    filled = pl.struct("payload", above).map_batches(_filled, return_dtype=pl.String)
    events = last.with_columns(
        pl.when(has_master).then(replay.place("master_id")).alias("master"), decoded(filled, EVENT).alias("__event")
    )
    events = events.drop("master_payload", "kind", "master_id").unnest("__event")
    wall = {name: (pl.col(name).struct.field("dateTime"), pl.col(name).struct.field("timeZone")) for name in ("start", "end")}
    events = events.with_columns(zoned_instant(*wall[name], f"{name}_at") for name in wall).unnest("start_at", "end_at")
    return events.with_columns(
        pl.coalesce("end_at", pl.when(pl.col("end_at_zone_known")).then(pl.col("start_at"))).alias("end_at")
    )


def _filled(pairs: pl.Series) -> pl.Series:
    """Payloads with what each takes from its master's, if it has one."""
    rows = pairs.struct.unnest().iter_rows()
    return pl.Series([text if master is None else _with_above(text, master) for text, master in rows], dtype=pl.String)


def _with_above(occurrence: str, master: str) -> str:
    above = orjson.loads(master)
    return orjson.dumps({**{k: v for k, v in above.items() if k not in NOT_OF_MASTER}, **orjson.loads(occurrence)}).decode()
