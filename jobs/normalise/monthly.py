"""Tables that lie by the month of their activities: what a run rewrites of them.

Mail and the other activities each have files of their own in a month, so that a run touches one kind alone.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock

import polars as pl

from jobs.normalise import threads
from jobs.normalise.activities import ACTIVITY, PARTICIPANT, PARTY, SUBJECT
from jobs.normalise.shelf import Finished, Shelf
from jobs.normalise.side_by_side import side_by_side

OUTPUTS = {"activity": ACTIVITY, "activity_participant": PARTICIPANT, "activity_party": PARTY, "activity_thread": threads.THREAD,
           "activity_subject": SUBJECT}  # fmt: skip
SORT = {
    "activity": ["activity_id"],
    "activity_participant": ["activity_id", "address", "party_id"],
    "activity_party": ["activity_id", "address", "party_type", "party_id"],
    "activity_thread": ["activity_id"],
    "activity_subject": ["activity_id"],
}
"""Row order of the published tables; what is kept of copies beside them lies in order of `copy`."""

MANY_ROWS = 300_000
"""Tables of more rows are put together one after the other."""

ADDRESS = {"address": pl.String}
"""What is kept as `address` beside the tables of a month: the addresses of its participants, each once."""

Months = dict[str, dict[str, Finished]]
"""Tables by month and name, those that have another content now."""
Parts = dict[str, dict[str, list[pl.LazyFrame]]]
"""The same, each table in pieces, which may wait on disk."""


@dataclass(frozen=True)
class Partitions:
    """What lies by month: `scan(table, columns, months)` is a table with its `month`, `load(month, table)` reads one month of it."""

    months: list[str]
    scan: Callable[[str, list[str], list[str]], pl.LazyFrame]
    load: Callable[[str, str], pl.DataFrame]


def month_of(at: pl.Expr) -> pl.Expr:
    """The partition of an activity: its month, or `none`."""
    return at.dt.strftime("%Y-%m").fill_null("none").alias("month")


def split(
    worked: dict[str, pl.DataFrame], schemas: dict[str, dict[str, pl.DataType]], shelf: Shelf, into: Parts | None = None
) -> Parts:
    """Tables of activities, in their row order and with their month, cut by month and added to `into`."""
    parts: Parts = {} if into is None else into
    for name, schema in schemas.items():
        cut = worked[name].select("month", *schema).partition_by("month", as_dict=True, include_key=False, maintain_order=True)
        for (month,), frame in cut.items():
            parts.setdefault(month, {}).setdefault(name, []).append(shelf.put(frame))
    return parts


def ordered(name: str, table: pl.DataFrame) -> pl.DataFrame:
    """A table in its row order."""
    return table.sort(SORT.get(name, ["copy"]), nulls_last=True)


def rewritten(
    kept: Partitions | None,
    schemas: dict[str, dict[str, pl.DataType]],
    parts: Parts,
    touched: list[str],
    gone: dict[str, pl.DataFrame],
    shelf: Shelf,
) -> Months:
    """The tables (`schemas`, and `address`) that have another content now, by month; a month that is new has them all.

    `parts`: rows of the activities that were worked out, used up; `touched`: further months that lose rows; `gone`: for each table
    the activity ids whose kept rows no longer stand.
    """

    def of_table(month: str, name: str, pieces: list[pl.LazyFrame], is_kept: bool) -> dict[str, Finished]:
        rows = shelf.take(pieces)
        before = kept.load(month, name) if kept is not None and is_kept else None
        if before is not None:
            rows.append(before.join(gone[name], on="activity_id", how="anti", maintain_order="left"))
        if len(rows) != 1:
            # The rows of one activity, or of one copy, are together in one of the pieces, and in order there.
            empty = pl.DataFrame(schema=schemas[name])
            rows = [pl.concat([empty, *rows]).sort(SORT.get(name, ["copy"])[0], maintain_order=True)]
        if before is not None and rows[0].equals(before):
            return {}
        found = {name: shelf.finish(rows[0])}
        if name == "activity_participant":
            found["address"] = shelf.finish(rows[0].select(pl.col("address").unique().sort()))
        return found

    alone = Lock()

    def of_one(month: str) -> dict[str, Finished]:
        of_month: dict[str, list[pl.LazyFrame]] = parts.pop(month, {})
        tables: dict[str, Finished] = {}
        is_kept = kept is not None and month in kept.months
        for name in schemas:
            pieces = of_month.pop(name, [])
            if is_kept and not pieces and month not in touched:
                continue
            known = [kept.scan(name, ["activity_id"], [month])] if kept is not None and is_kept else []
            with alone if _height([*pieces, *known]) > MANY_ROWS else nullcontext():
                tables |= of_table(month, name, pieces, is_kept)
        return tables

    months = sorted({*touched, *parts})
    return {month: tables for month, tables in zip(months, side_by_side(of_one, months), strict=True) if tables}


def _height(pieces: list[pl.LazyFrame]) -> int:
    return sum(frame.item() for frame in pl.collect_all([piece.select(pl.len()) for piece in pieces]))


def addresses(kept: Partitions | None, months: Months) -> pl.DataFrame:
    """The addresses of all participants as they are now (ADDRESS), one null where some have none."""
    found = pl.collect_all([part.select("address") for part in _as_it_is(kept, months, "address", ["address"])])
    return pl.concat([pl.DataFrame(schema=ADDRESS), *found]).unique()


def _as_it_is(kept: Partitions | None, months: Months, table: str, columns: list[str]) -> list[pl.LazyFrame]:
    """A table as it is now, in parts: in the months in which it was rewritten, and in those in which it stays."""
    rewritten = {month: tables[table].rows for month, tables in months.items() if table in tables}
    if kept is None:
        return [*rewritten.values()]
    return [*rewritten.values(), kept.scan(table, columns, [month for month in kept.months if month not in rewritten])]


def held(kept: Partitions | None, months: Months) -> pl.DataFrame:
    """Copies behind the activities of months, as `counted` counts them."""
    return counted(_as_it_is(kept, months, "copy", ["stream", "is_out"]))


def counted(copies: list[pl.LazyFrame]) -> pl.DataFrame:
    """Copies behind the activities, and behind those that are left out because somebody on them opted out (N55).

    Returns stream, outcome (kept, ignored:opted_out), row_count: counted where the work ends, so that a copy that is lost on the way
    is missing in the sum. `copies`: stream, is_out, in parts.
    """
    outcome = pl.when("is_out").then(pl.lit("ignored:opted_out")).otherwise(pl.lit("kept")).alias("outcome")
    by = ["stream", "is_out"]
    counted = pl.len().cast(pl.Int64).alias("row_count")
    empty = pl.LazyFrame(schema={"stream": pl.String, "is_out": pl.Boolean})
    every = pl.concat([empty, *(part.select(by) for part in copies)])
    return every.group_by(by).agg(counted).select("stream", outcome, "row_count").collect(engine="streaming")
