"""The state that the raw log describes: which records its streams hold, and what each was last known to be.

Rows are those of `jobs.extract.log`; `arrival` below is their order over streams: received_at, then (stream, round, page, row).
"""

import polars as pl

from jobs.normalise.payload import merged
from jobs.normalise.times import INSTANT

ARRIVAL = ["received_at", "stream", "round", "page", "row"]
COMPLETE_KINDS = ["full", "reconcile", "list"]


def last_known(rows: pl.DataFrame, key: list[str], *, merge: bool, restart: bool = True) -> pl.DataFrame:
    """The last row of every key with the payload it amounts to.

    With `merge` (Graph) rows of a key are merged in order of arrival (N53, R6), with `restart` only those since its last removal;
    without, the last row stands alone. Returns the raw columns of the last upsert and `versions`, the number of upserts.
    """
    upserts = rows.filter(pl.col("op") == "upsert").sort(ARRIVAL, maintain_order=True)
    last = upserts.group_by(key, maintain_order=True).agg(pl.all().last(), pl.len().alias("versions"))
    if not merge:
        return last
    again = last.filter(pl.col("versions") > 1).select(key)
    parts = upserts.join(again, on=key, how="semi")
    if restart:
        removes = rows.filter(pl.col("op") == "remove").join(again, on=key, how="semi")
        removed = removes.sort(ARRIVAL).group_by(key).agg(pl.struct(ARRIVAL).last().alias("__removed"))
        later = _after(pl.struct(ARRIVAL), pl.col("__removed"))
        parts = parts.join(removed, on=key, how="left", maintain_order="left")
        newest = pl.struct(ARRIVAL) == pl.struct(ARRIVAL).last().over(key)
        parts = parts.filter(pl.col("__removed").is_null() | later | newest)
    whole = parts.group_by(key, maintain_order=True).agg("payload")
    whole = whole.with_columns(
        pl.Series("__payload", [merged(texts) for texts in whole.get_column("payload").to_list()], dtype=pl.String)
    ).drop("payload")
    return (
        last.join(whole, on=key, how="left", maintain_order="left")
        .with_columns(pl.coalesce("__payload", "payload").alias("payload"))
        .drop("__payload")
    )


def _after(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """Whether one arrival is later than another."""
    later, same = pl.lit(False), pl.lit(True)
    for name in ARRIVAL:
        a, b = left.struct.field(name), right.struct.field(name)
        later = later | (same & (a > b))
        same = same & (a == b)
    return later


def rounds(rows: pl.DataFrame) -> pl.DataFrame:
    """Every complete listing of a stream: stream, round, round_started_at, window_start, window_end.

    A round of kind full, reconcile or list is complete when it has a page whose link is no next link.
    """
    ended = (pl.col("op") == "page") & pl.col("link_kind").is_in(["delta", "none"])
    return (
        rows.filter(ended & pl.col("round_kind").is_in(COMPLETE_KINDS))
        .group_by("stream", "round")
        .agg(pl.col("round_started_at", "window_start", "window_end").first())
    )


def members(rows: pl.DataFrame, spans: pl.DataFrame | None = None) -> pl.DataFrame:
    """Which ids each stream holds at the end of the log: stream, record_id.

    A removal or a complete listing that does not show an id ends its membership. With `spans` (calendars: stream, record_id,
    start_at, end_at as last seen) both count only for events that overlap the round's window; one without readable times overlaps all.
    """
    numbered = rows.filter(pl.col("op").is_in(["upsert", "remove"])).sort("stream", "round", "page", "row").with_row_index("at")
    shown = (
        numbered.filter(pl.col("op") == "upsert")
        .group_by("stream", "record_id")
        .agg(pl.col("at").max().alias("shown_at"), pl.col("round").max().alias("shown_round"))
    )
    if spans is not None:
        shown = shown.join(spans, on=["stream", "record_id"], how="left")
    removes = numbered.filter(pl.col("op") == "remove").join(shown, on=["stream", "record_id"])
    removes = removes.filter(pl.col("at") > pl.col("shown_at"))
    unseen = shown.join(rounds(rows), on="stream").filter(pl.col("round") > pl.col("shown_round"))
    if spans is not None:
        overlaps = pl.any_horizontal(pl.col("start_at", "end_at", "window_start", "window_end").is_null()) | (
            pl.col("start_at") < pl.col("window_end")
        ) & (pl.col("end_at") > pl.col("window_start"))
        removes, unseen = removes.filter(overlaps), unseen.filter(overlaps)
    ended = pl.concat([removes.select("stream", "record_id"), unseen.select("stream", "record_id")]).unique()
    return shown.select("stream", "record_id").join(ended, on=["stream", "record_id"], how="anti")


def standing_rejects(rows: pl.DataFrame) -> pl.DataFrame:
    """Rejected records that no later complete listing of their stream has left behind."""
    last = rounds(rows).group_by("stream").agg(pl.col("round").max().alias("__listed"))
    rejects = rows.filter(pl.col("op") == "reject").join(last, on="stream", how="left")
    return rejects.filter(pl.col("__listed").is_null() | (pl.col("round") >= pl.col("__listed"))).drop("__listed")


def in_no_folder(rows: pl.DataFrame) -> pl.DataFrame:
    """Messages that a complete listing of every live folder of their mailbox does not show (N54): user_id, record_id.

    `rows`: those of `messages/<user>/<folder>` streams with `user_id`. A listing counts when it started after the message was last seen.
    """
    key = ["user_id", "record_id"]
    seen = rows.filter(pl.col("op") == "upsert").group_by(key).agg(pl.col("received_at").max().alias("seen_at"))
    listed = rounds(rows).group_by("stream").agg(pl.col("round_started_at").max())
    folders = rows.select("user_id", "stream").unique().join(listed, on="stream", how="left")
    oldest = folders.group_by("user_id").agg(
        pl.when(pl.col("round_started_at").is_null().any())
        .then(None)
        .otherwise(pl.col("round_started_at").min())
        .alias("listed_at")
    )
    present = members(rows).join(rows.select("stream", "user_id").unique(), on="stream").select(key).unique()
    return (
        seen.join(oldest, on="user_id")
        .filter(pl.col("listed_at").cast(INSTANT) > pl.col("seen_at").cast(INSTANT))
        .join(present, on=key, how="anti")
        .select(key)
    )
