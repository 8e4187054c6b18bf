"""Records that could not be read, and where every row of the raw log went (N52, conservation of counts)."""

import hashlib

import orjson
import polars as pl

from jobs.normalise import replay

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


def of_rejects(rows: pl.DataFrame) -> pl.DataFrame:
    """Quarantine rows of the records that the extractor could not take in, as long as they stand."""
    standing = replay.standing_rejects(rows).sort("stream", "round", "page", "row")
    facts = [orjson.loads(text) if text else {} for text in standing.get_column("payload").to_list()]
    filtered = [orjson.dumps(fact["filtered"]).decode() if fact.get("filtered") is not None else None for fact in facts]
    return standing.select(
        *PLACE,
        pl.lit(None, dtype=pl.String).alias("record_id"),
        pl.Series(
            "reason", [fact.get("reason") if fact.get("reason") in REASONS else "not_json" for fact in facts], dtype=pl.String
        ),
        pl.Series("length", [fact.get("length") for fact in facts], dtype=pl.Int64),
        pl.Series("sha256", [fact.get("sha256") for fact in facts], dtype=pl.String),
        pl.Series("payload", filtered, dtype=pl.String),
    ).select(QUARANTINE.keys())


def of_records(last: pl.DataFrame, outcomes: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Quarantine rows (QUARANTINED) of records whose content cannot be read. `last`: their raw rows; `outcomes`: key and outcome."""
    bad = outcomes.filter(pl.col("outcome").str.starts_with("quarantined:")).select(
        *key, pl.col("outcome").str.strip_prefix("quarantined:").alias("reason")
    )
    rows = last.join(bad, on=key, nulls_equal=True)
    payloads = [text.encode() for text in rows.get_column("payload").to_list()]
    if "user_id" not in rows.columns:
        rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias("user_id"))
    return rows.with_columns(
        pl.Series("length", [len(payload) for payload in payloads], dtype=pl.Int64),
        pl.Series("sha256", [hashlib.sha256(payload).hexdigest() for payload in payloads], dtype=pl.String),
    ).select(QUARANTINED.keys())


def conservation(rows: pl.DataFrame, last: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """What became of every row of a mail stream: stream, outcome, row_count.

    Outcomes: kept, superseded (a later row of the id), duplicate (the same, with equal content), removed, quarantined:<reason>,
    ignored:<reason>. `rows`: raw rows; `last`: the rows that are the last of their id (place in the log, key columns, `versions`);
    `outcomes`: stream, user_id, record_id, outcome of every record.
    """
    place = ["stream", "round", "page", "row"]
    # Nearly every record has one row, whose fate is the record's; only those with more must be put in order.
    again = last.filter(pl.col("versions") > 1).get_column("record_id")
    is_again = pl.col("record_id").is_in(again.implode())
    once, outcomes = outcomes.filter(~is_again), outcomes.filter(is_again)
    last = last.filter(is_again)
    records = rows.filter(pl.col("op").is_in(["remove", "reject"]) | ((pl.col("op") == "upsert") & is_again))
    records = records.select(*place, "op", "record_id", "payload")
    ends = last.select(*place, pl.lit(True).alias("is_last")).unique(place)
    decided = last.join(outcomes, on=["stream", "record_id"], how="left").select(*place, "outcome").unique(place)
    following = pl.col("payload").shift(-1).backward_fill().over("stream", "record_id", order_by=["round", "page", "row"])
    told = records.with_columns((pl.col("payload") == following).alias("is_equal"))
    told = told.join(ends, on=place, how="left").join(decided, on=place, how="left")
    outcome = (
        pl.when(pl.col("op") == "reject").then(pl.lit("quarantined:rejected"))
        .when(pl.col("op") == "remove").then(pl.lit("removed"))
        .when(pl.col("is_last").is_null())
        .then(pl.when(pl.col("is_equal").fill_null(False)).then(pl.lit("duplicate")).otherwise(pl.lit("superseded")))
        .otherwise(pl.col("outcome").fill_null("removed"))
    )  # fmt: skip
    return pl.concat([counted(once, pl.col("outcome")), counted(told, outcome)])


def passed(rows: pl.DataFrame, before: pl.DataFrame, key: list[str]) -> pl.DataFrame:
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
    of_op = pl.when(pl.col("op") == "remove").then(pl.lit("removed")).otherwise(pl.lit("quarantined:rejected"))
    return pl.concat([counted(others, of_op), counted(following, repeats)])


def content(payload: pl.Expr) -> pl.Expr:
    """A number that stands for a payload."""
    return payload.hash(6).alias("content")


def counted(rows: pl.DataFrame, outcome: pl.Expr) -> pl.DataFrame:
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
