"""The state that the raw log describes: which records its streams hold, and what each was last known to be.

Rows are those of `jobs.extract.log`; `arrival` below is their order over streams: received_at, then (stream, round, page, row).
Within a stream (round, page, row) alone orders them, and what comes later to the log is later in that order.
"""

from typing import Any

import orjson
import polars as pl

from jobs.normalise.frame import Frame

ARRIVAL = ["received_at", "stream", "round", "page", "row"]
IN_STREAM = ["stream", "round", "page", "row"]
COMPLETE_KINDS = ["full", "reconcile", "list"]


def place(record: str = "record_id", *, has_user: bool = True) -> pl.Expr:
    """A number that stands for (user_id, record id); `has_user`: whether there is a column user_id, which counts as null otherwise."""
    user = pl.col("user_id").fill_null("") if has_user else pl.lit("")
    return pl.concat_str(user, record, separator=" ").hash(3).alias("place")


def last_known(rows: Frame, key: list[str], *, merge: bool, restart: bool = True, order: list[str] = ARRIVAL) -> Frame:
    """The last row of every key with the payload it amounts to; `order` for keys that lie within one stream: IN_STREAM.

    With `merge` (Graph) rows of a key are merged in order of arrival (N53, R6), with `restart` only those since its last removal;
    without, the last row stands alone. Returns the raw columns of the last upsert and `versions`, the number of upserts.
    """
    columns = [*key, *(name for name in rows.collect_schema().names() if name not in key), "versions"]
    # Nearly every record has one row; only those with more must be put in order.
    is_again = pl.col("record_id").is_duplicated()
    upserts = rows.filter(pl.col("op") == "upsert").with_columns(is_again.alias("__again"))
    once = upserts.filter(~pl.col("__again")).with_columns(pl.lit(1, pl.UInt32).alias("versions"))
    several = upserts.filter("__again").drop("__again").sort(order, maintain_order=True)
    last = several.group_by(key, maintain_order=True).agg(pl.all().last(), pl.len().alias("versions"))
    if merge:
        last = _with_merged(last, several, rows, key, restart=restart)
    return pl.concat([once.select(columns), last.select(columns)])


def _with_merged(last: Frame, upserts: Frame, rows: Frame, key: list[str], *, restart: bool) -> Frame:
    """`last` with the payloads that the ordered `upserts` amount to."""
    again = last.filter(pl.col("versions") > 1).select(key)
    parts = upserts.join(again, on=key, how="semi", maintain_order="left")
    if restart:
        removes = rows.filter(pl.col("op") == "remove").join(again, on=key, how="semi")
        removed = removes.sort(ARRIVAL).group_by(key).agg(pl.struct(ARRIVAL).last().alias("__removed"))
        later = _later([pl.col(name) for name in ARRIVAL], [pl.col("__removed").struct.field(name) for name in ARRIVAL])
        parts = parts.join(removed, on=key, how="left", maintain_order="left")
        newest = pl.struct(ARRIVAL) == pl.struct(ARRIVAL).last().over(key)
        parts = parts.filter(pl.col("__removed").is_null() | later | newest)
    whole = parts.group_by(key, maintain_order=True).agg(pl.col("payload").alias("__payload"))
    whole = whole.with_columns(pl.col("__payload").map_batches(_all_merged, return_dtype=pl.String))
    joined = last.join(whole, on=key, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("__payload", "payload").alias("payload")).drop("__payload")


def _all_merged(payloads: pl.Series) -> pl.Series:
    return pl.Series([_merged(texts) for texts in payloads.to_list()], dtype=pl.String)


def _merged(payloads: list[str]) -> str:
    """Rows of one id as one record: a missing key keeps the older value, null overwrites (N53)."""
    record: dict[str, Any] = {}
    for text in payloads:
        record.update(orjson.loads(text))
    return orjson.dumps(record).decode()


def _later(left: list[pl.Expr], right: list[pl.Expr]) -> pl.Expr:
    """Whether one place is later than another, part by part."""
    later, same = pl.lit(False), pl.lit(True)
    for a, b in zip(left, right, strict=True):
        later = later | (same & (a > b))
        same = same & (a == b)
    return later


def rounds(rows: Frame) -> Frame:
    """Every complete listing of a stream: stream, round, round_started_at, window_start, window_end.

    A round of kind full, reconcile or list is complete when it has a page whose link is no next link.
    """
    return (
        rows.filter(_ends_listing())
        .group_by("stream", "round")
        .agg(pl.col("round_started_at", "window_start", "window_end").first())
    )


def _ends_listing() -> pl.Expr:
    is_last = (pl.col("op") == "page") & pl.col("link_kind").is_in(["delta", "none"])
    return is_last & pl.col("round_kind").is_in(COMPLETE_KINDS)


def last_shown(rows: Frame, key: list[str]) -> Frame:
    """Where every key of one stream was shown last: key, round, page, row."""
    upserts = rows.filter(pl.col("op") == "upsert").select(*key, "round", "page", "row").sort("round", "page", "row")
    return upserts.unique(key, keep="last", maintain_order=True)


def ended(shown: Frame, rows: Frame, key: list[str], *, timed: bool = False) -> Frame:
    """Keys whose membership `rows` end: a later removal, or a later complete listing that does not show them.

    `shown`: key (`stream` among it), round, page, row; `timed` (calendars) has start_at and end_at, times as last seen: both count
    only for events that overlap the round's window, and one without readable times overlaps all.
    """
    within = pl.lit(True)
    if timed:
        within = pl.any_horizontal(pl.col("start_at", "end_at", "window_start", "window_end").is_null()) | (
            pl.col("start_at") < pl.col("window_end")
        ) & (pl.col("end_at") > pl.col("window_start"))
    place = ["round", "page", "row"]
    removes = rows.filter(pl.col("op") == "remove").select(*key, "window_start", "window_end", pl.struct(place).alias("gone"))
    is_later = _later([pl.col("gone").struct.field(name) for name in place], [pl.col(name) for name in place])
    removed = shown.join(removes, on=key).filter(within & is_later)
    listings = rounds(rows).rename({"round": "listed"})
    unseen = shown.join(listings, on="stream").filter(within & (pl.col("listed") > pl.col("round")))
    return pl.concat([removed.select(key), unseen.select(key)]).unique()


def members(rows: Frame) -> Frame:
    """Which ids each stream holds at the end of the log: stream, record_id."""
    key = ["stream", "record_id"]
    shown = last_shown(rows, key)
    return shown.select(key).join(ended(shown, rows, key), on=key, how="anti")


def control(rows: Frame) -> Frame:
    """Of the page and reject rows, those that still tell something: each stream's last page, its last complete listing, and the
    rejects that stand."""
    pages = rows.filter(pl.col("op") == "page").sort("stream", "round", "page", maintain_order=True)
    listings = pages.filter(_ends_listing()).unique("stream", keep="last", maintain_order=True)
    last = pages.unique("stream", keep="last", maintain_order=True)
    return pl.concat([last, listings, standing_rejects(rows)]).unique(IN_STREAM, maintain_order=True)


def standing_rejects(rows: Frame) -> Frame:
    """Rejected records that no later complete listing of their stream has left behind."""
    last = rounds(rows).group_by("stream").agg(pl.col("round").max().alias("__listed"))
    rejects = rows.filter(pl.col("op") == "reject").join(last, on="stream", how="left")
    return rejects.filter(pl.col("__listed").is_null() | (pl.col("round") >= pl.col("__listed"))).drop("__listed")
