"""Records that could not be read, and where every row of the raw log went (N52, conservation of counts)."""

import hashlib
from typing import Any

import orjson
import polars as pl

from jobs.normalise import replay
from jobs.normalise.frame import Frame

REASONS = ("not_json", "not_object", "no_id", "no_time", "year_out_of_range", "unknown_zone", "end_before_start")
"""The closed list of reason codes."""

FAMILIES = ("messages", "calendarView", "emails", "appointments", "phonecalls", "tasks")
"""Kinds of streams that hold activities: the rows of these are accounted for."""

QUARANTINE = {
    "source": pl.String, "stream": pl.String, "record_id": pl.String, "reason": pl.String, "run_id": pl.String, "round": pl.Int64,
    "page": pl.Int32, "row": pl.Int32, "length": pl.Int64, "sha256": pl.String, "payload": pl.String,
}  # fmt: skip
QUARANTINED = {**QUARANTINE, "user_id": pl.String}
"""As it is kept for the next run: with the owner of the mailbox."""
CONSERVATION = {"stream": pl.String, "outcome": pl.String, "row_count": pl.Int64}
PLACE = ["source", "stream", "run_id", "round", "page", "row"]
OF_OP = pl.when(pl.col("op") == "remove").then(pl.lit("removed")).otherwise(pl.lit("quarantined:rejected"))
"""What becomes of remove and reject rows."""
REJECTED = pl.Struct({"reason": pl.String, "length": pl.Int64, "sha256": pl.String, "payload": pl.String})


def of_rejects(rows: Frame) -> Frame:
    """Quarantine rows of the records that the extractor could not take in, as long as they stand."""
    standing = replay.standing_rejects(rows)
    told = pl.col("payload").map_batches(_rejected, return_dtype=REJECTED).alias("told")
    named = standing.select(*PLACE, pl.lit(None, dtype=pl.String).alias("record_id"), told)
    return named.unnest("told").select(QUARANTINE.keys())


def _rejected(texts: pl.Series) -> pl.Series:
    """What the extractor says of records in place of their payloads."""
    facts = [orjson.loads(text) if text else {} for text in texts.to_list()]
    return pl.Series([_as_rejected(fact) for fact in facts], dtype=REJECTED)


def _as_rejected(fact: dict[str, Any]) -> dict[str, Any]:
    return {
        "reason": fact["reason"] if fact.get("reason") in REASONS else "not_json",
        "length": fact.get("length"),
        "sha256": fact.get("sha256"),
        "payload": orjson.dumps(fact["filtered"]).decode() if fact.get("filtered") is not None else None,
    }


def of_records(last: Frame, outcomes: Frame, key: list[str]) -> Frame:
    """Quarantine rows (QUARANTINED) of records whose content cannot be read.

    `last`: their raw rows, with user_id; `outcomes`: key and outcome.
    """
    bad = outcomes.filter(pl.col("outcome").str.starts_with("quarantined:")).select(
        *key, pl.col("outcome").str.strip_prefix("quarantined:").alias("reason")
    )
    rows = last.join(bad, on=key, nulls_equal=True)
    return rows.with_columns(
        pl.col("payload").str.len_bytes().cast(pl.Int64).alias("length"),
        pl.col("payload").map_batches(_digests, return_dtype=pl.String).alias("sha256"),
    ).select(QUARANTINED.keys())


def _digests(texts: pl.Series) -> pl.Series:
    return pl.Series([hashlib.sha256(text.encode()).hexdigest() for text in texts.to_list()], dtype=pl.String)


def conservation(rows: Frame, last: Frame, outcomes: Frame) -> Frame:
    """What became of every row of a mail stream: stream, outcome, row_count.

    Outcomes: kept, superseded (a later row of the id), duplicate (the same, with equal content), removed, quarantined:<reason>,
    ignored:<reason>. `rows`: raw rows; `last`: the rows that are the last of their id (place in the log, key columns, `versions`);
    `outcomes`: stream, user_id, record_id, outcome of every record.
    """
    place, key = ["stream", "round", "page", "row"], ["user_id", "record_id"]
    again = last.filter(pl.col("versions") > 1).select(*key, *place)
    # Nearly every record has one row, whose fate is the record's.
    upserts = rows.filter(pl.col("op") == "upsert").filter(pl.col("record_id").is_duplicated())
    upserts = upserts.join(again, on=key, how="semi").select(*place, "record_id", "payload")
    following = pl.col("payload").shift(-1).over("stream", "record_id", order_by=place[1:])
    earlier = upserts.with_columns((pl.col("payload") == following).alias("is_equal")).join(again, on=place, how="anti")
    repeats = pl.when(pl.col("is_equal").fill_null(False)).then(pl.lit("duplicate")).otherwise(pl.lit("superseded"))
    others = rows.filter(pl.col("op").is_in(["remove", "reject"]))
    return pl.concat([counted(outcomes, pl.col("outcome")), counted(earlier, repeats), counted(others, OF_OP)])


def passed(rows: Frame, before: Frame, key: list[str]) -> Frame:
    """What new rows of streams add to the counts for good: removed, quarantined:rejected, and what they supersede or repeat.

    Outcomes as in `conservation`, but for the rows that are the last of their id. `before`: key (`stream` among it) and `content`,
    the hash of the last payload so far.
    """
    others = rows.filter(pl.col("op").is_in(["remove", "reject"]))
    upserts = rows.filter(pl.col("op") == "upsert").sort("round", "page", "row").select(*key, content(pl.col("payload")))
    known = before.select(*key, "content").drop_nulls().join(upserts.select(key).unique(), on=key, how="semi")
    following = pl.concat([known, upserts]).with_columns(pl.col("content").shift(-1).over(key).alias("next"))
    following = following.filter(pl.col("next").is_not_null())
    repeats = pl.when(pl.col("content") == pl.col("next")).then(pl.lit("duplicate")).otherwise(pl.lit("superseded"))
    return pl.concat([counted(others, OF_OP), counted(following, repeats)])


def content(payload: pl.Expr) -> pl.Expr:
    """A number that stands for a payload."""
    return payload.hash(6).alias("content")


def counted(rows: Frame, outcome: pl.Expr) -> Frame:
    """How many `rows` of each stream have each outcome (CONSERVATION)."""
    return (
        rows.select("stream", outcome.alias("outcome"))
        .group_by("stream", "outcome")
        .agg(pl.len().cast(pl.Int64).alias("row_count"))
    )


def summed(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Several counts as one, in order (CONSERVATION)."""
    every = pl.concat([pl.DataFrame(schema=CONSERVATION), *(part.select(CONSERVATION.keys()) for part in parts)])
    total = every.group_by("stream", "outcome").agg(pl.col("row_count").sum())
    return total.filter(pl.col("row_count") != 0).sort("stream", "outcome")
