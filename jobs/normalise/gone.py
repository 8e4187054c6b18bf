"""Mail that no folder of its mailbox holds any more (N54)."""

from dataclasses import dataclass
from typing import Generic

import polars as pl

from jobs.normalise import mail, replay
from jobs.normalise.frame import Frame
from jobs.normalise.times import INSTANT

KEY = ["user_id", "record_id"]
FOLDER = ["user_id", "folder_id"]
PLACED = {"stream": pl.String, "user_id": pl.String, "folder_id": pl.String}


@dataclass(frozen=True)
class Mailboxes(Generic[Frame]):
    """What is known of mailboxes beside the rows of single messages: the folders that are no more (user_id, folder_id), and of earlier
    runs the page rows that still tell something and every stream of messages (PLACED)."""

    gone: Frame
    pages: Frame
    streams: Frame


def mailboxes(folders: Frame, control: Frame, conservation: Frame) -> Mailboxes[Frame]:
    """`folders`: `folders.folder_facts`; of earlier runs `control` (page and reject rows) and `conservation` (counts by stream).

    Every row of a stream is a page row or counted, so no stream is missing.
    """
    is_mail = pl.col("stream").str.starts_with("messages/")
    control = control.filter(is_mail)
    streams = pl.concat([control.select("stream"), conservation.filter(is_mail).select("stream")]).unique()
    gone = folders.filter(~pl.col("is_there")).select(FOLDER)
    return Mailboxes(gone, mail.placed(control.filter(pl.col("op") == "page")), mail.placed(streams).select(PLACED.keys()))


def without_unheld(outcomes: Frame, rows: Frame, boxes: Mailboxes[Frame]) -> Frame:
    """`outcomes` with unreadable messages that no folder holds any more as removed: nothing of them is known that could stay."""
    bad = outcomes.filter(pl.col("outcome").str.starts_with("quarantined:")).select(KEY)
    of_bad = rows.filter(pl.col("op") != "page").join(bad, on=KEY, how="semi")
    held = _held(pl.concat([of_bad, rows.filter(pl.col("op") == "page")]), boxes)
    gone = bad.join(held, on=KEY, how="anti").with_columns(pl.lit(True).alias("is_gone"))
    joined = outcomes.join(gone, on=KEY, how="left", maintain_order="left")
    outcome = pl.when(pl.col("is_gone").fill_null(False)).then(pl.lit("removed")).otherwise("outcome").alias("outcome")
    return joined.with_columns(outcome).drop("is_gone")


def in_no_folder(rows: Frame, boxes: Mailboxes[Frame]) -> Frame:
    """Messages that a complete listing of every folder of their mailbox does not show: user_id, record_id.

    A listing counts when it started after the message was last seen; folders that are no more count for nothing.
    """
    seen = rows.filter(pl.col("op") == "upsert").group_by(KEY).agg(pl.col("received_at").max().alias("seen_at"))
    there = _there(rows, boxes)
    listed = replay.rounds(there).group_by("stream").agg(pl.col("round_started_at").max())
    known = pl.concat([there.select(PLACED.keys()), boxes.streams.join(boxes.gone, on=FOLDER, how="anti")]).unique()
    oldest = (
        known.join(listed, on="stream", how="left")
        .group_by("user_id")
        .agg(
            pl.when(pl.col("round_started_at").is_null().any())
            .then(None)
            .otherwise(pl.col("round_started_at").min())
            .alias("listed_at")
        )
    )
    return (
        seen.join(oldest, on="user_id")
        .filter(pl.col("listed_at").cast(INSTANT) > pl.col("seen_at").cast(INSTANT))
        .join(_held(rows, boxes), on=KEY, how="anti")
        .select(KEY)
    )


def relisted(rows: Frame, boxes: Mailboxes[Frame]) -> Frame:
    """Users for whose whole mailbox new rows may decide what is in no folder, since they end a listing or are the first of a stream:
    user_id."""
    is_of = rows.select(PLACED.keys()).unique()
    ended = is_of.join(replay.rounds(rows), on="stream", how="semi")
    new = is_of.join(boxes.streams, on="stream", how="anti")
    return pl.concat([ended, new]).select("user_id").unique()


def _there(rows: Frame, boxes: Mailboxes[Frame]) -> Frame:
    """Rows of the folders that are there, and earlier page rows of these."""
    return pl.concat([rows, boxes.pages], how="diagonal").join(boxes.gone, on=FOLDER, how="anti")


def _held(rows: Frame, boxes: Mailboxes[Frame]) -> Frame:
    """Messages that a folder holds: user_id, record_id."""
    there = _there(rows, boxes)
    return replay.members(there).join(there.select("stream", "user_id").unique(), on="stream").select(KEY).unique()
