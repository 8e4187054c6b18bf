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
    """Quarantine rows of records whose content cannot be read. `last`: their raw rows; `outcomes`: key and outcome."""
    bad = outcomes.filter(pl.col("outcome").str.starts_with("quarantined:")).select(
        *key, pl.col("outcome").str.strip_prefix("quarantined:").alias("reason")
    )
    rows = last.join(bad, on=key, nulls_equal=True)
    payloads = [text.encode() for text in rows.get_column("payload").to_list()]
    return rows.with_columns(
        pl.Series("length", [len(payload) for payload in payloads], dtype=pl.Int64),
        pl.Series("sha256", [hashlib.sha256(payload).hexdigest() for payload in payloads], dtype=pl.String),
    ).select(QUARANTINE.keys())


def conservation(rows: pl.DataFrame, last: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """What became of every row of a stream: stream, outcome, row_count.

    Outcomes: kept, superseded (a later row of the id), duplicate (the same, with equal content), removed, quarantined:<reason>,
    ignored:<reason>. `rows`: raw rows; `last`: the rows that are the last of their id (place in the log and key columns);
    `outcomes`: stream, user_id, record_id, outcome of those that are still there.
    """
    place = ["stream", "round", "page", "row"]
    records = rows.filter(pl.col("op") != "page").select(*place, "op", "record_id", "payload")
    ends = last.select(*place, pl.lit(True).alias("is_last")).unique(place)
    decided = last.join(outcomes, on=["stream", "record_id"], how="left").select(*place, "outcome").unique(place)
    equal = pl.col("payload") == pl.col("payload").shift(-1).over("stream", "record_id", order_by=["round", "page", "row"])
    told = records.join(ends, on=place, how="left").join(decided, on=place, how="left")
    outcome = (
        pl.when(pl.col("op") == "reject").then(pl.lit("quarantined:rejected"))
        .when(pl.col("op") == "remove").then(pl.lit("removed"))
        .when(pl.col("is_last").is_null()).then(pl.when(equal.fill_null(False)).then(pl.lit("duplicate")).otherwise(pl.lit("superseded")))
        .otherwise(pl.col("outcome").fill_null("removed"))
    )  # fmt: skip
    return (
        told.select("stream", outcome.alias("outcome"))
        .group_by("stream", "outcome")
        .agg(pl.len().cast(pl.Int64).alias("row_count"))
    )
