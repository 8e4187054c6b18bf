"""Threads of mail that is worked out in portions: of everything, and of what a run touched (N25, N26)."""

from collections.abc import Collection, Iterable

import numpy as np
import polars as pl

from jobs.normalise import monthly, threads
from jobs.normalise.monthly import Partitions
from jobs.normalise.portions import Portions
from jobs.normalise.shelf import Shelf

MONTH = pl.Categorical()


def of_all(bundles: Iterable[tuple[pl.DataFrame, pl.DataFrame]], shelf: Shelf, parts: monthly.Parts) -> None:
    """Add the threads of all emails to `parts`; of each email no more than a few numbers are held meanwhile.

    `bundles`: emails (activity_id, month, is_out), and what ties them (email, its place among those of the bundle, and node).
    """
    every, month, tied = _gathered(bundles)
    connected = threads.edges(tied)
    # To find what is connected takes the most memory of all.
    del tied
    found = threads.heads(np.lexsort((every[:, 1], every[:, 0])), connected)
    for name in month.drop_nulls().unique():
        mine = (month == name).arg_true().to_numpy()
        shown = pl.DataFrame({"activity_id": threads.ids_of(every[mine]), "thread_id": threads.ids_of(every[found[mine]])})
        table = monthly.ordered("activity_thread", shown.with_columns(pl.lit(name, pl.String).alias("month")))
        monthly.split({"activity_thread": table}, {"activity_thread": threads.THREAD}, shelf, parts)


def _gathered(bundles: Iterable[tuple[pl.DataFrame, pl.DataFrame]]) -> tuple[np.ndarray, pl.Series, list[pl.DataFrame]]:
    """Of all emails the ids as numbers, the months (null for those that are out), and what ties them."""
    numbers, months, tied, count = [], [], [], 0
    for email, ties in bundles:
        numbers.append(threads.numbers_of(email.get_column("activity_id")))
        months.append(email.select(pl.when(~pl.col("is_out")).then("month").cast(MONTH)).to_series())
        tied.append(ties.with_columns(pl.col("email") + count))
        count += email.height
    return np.concatenate(numbers), pl.concat(months), tied


def of_touched(
    kept: Partitions, portions: Portions, touched: pl.DataFrame, stale: pl.DataFrame, email: pl.DataFrame, tied: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Threads of the emails worked out, and of those elsewhere that they join, leave or once were joined by.

    `touched`: emails (activity_id, month) that copies came to or left; `stale`: these and those worked out; `email`, `tied`: those
    worked out (activity_id, is_out), and what ties them (email, its place among them, and node). Returns all their rows, and those of
    other emails (activity_id, month) whose thread is another than before; and the old copies behind `stale`, found on the way.
    """
    ids = email.filter(~pl.col("is_out")).get_column("activity_id")
    mine = tied.select(email.get_column("activity_id").gather(tied.get_column("email")), "node")

    def before(months: Collection[str], column: str, values: pl.Series) -> pl.DataFrame:
        # Emails that are all out have no tables of their month.
        rows = kept.scan("activity_thread", ["activity_id", "thread_id"], [month for month in kept.months if month in months])
        return rows.filter(_among(column, values)).collect(engine="streaming")

    def copies(column: str, values: pl.Series) -> pl.DataFrame:
        return portions.rows("copy", ["copy", "activity_id", "month", "is_out"], _among(column, values))

    def nodes(column: str, values: pl.Series) -> pl.DataFrame:
        return portions.rows("node", ["copy", "node"], _among(column, values))

    sharing = copies("copy", nodes("node", tied.get_column("node")).get_column("copy")).filter(~pl.col("is_out"))
    near = pl.concat([sharing.select("activity_id", "month"), touched]).unique()
    affected = before(set(near.get_column("month")), "activity_id", near.get_column("activity_id"))
    others = before(kept.months, "thread_id", affected.get_column("thread_id")).join(touched, on="activity_id", how="anti")
    behind = copies("activity_id", pl.concat([others.select("activity_id"), stale]).to_series())
    gone = behind.join(stale, on="activity_id", how="semi").get_column("copy")
    of_others = behind.filter(~pl.col("is_out")).join(others, on="activity_id", how="semi")
    others_tied = nodes("copy", of_others.get_column("copy")).join(of_others, on="copy").select("activity_id", "node").unique()
    found = threads.threads(pl.concat([ids, others.get_column("activity_id")]), pl.concat([mine, others_tied]))
    changed = others.join(found, on=["activity_id", "thread_id"], how="anti")
    own = found.join(ids.to_frame(), on="activity_id", how="semi")
    rows = pl.concat([own, found.join(changed, on="activity_id", how="semi")])
    return rows, changed.select("activity_id", "month"), gone


def _among(column: str, values: pl.Series) -> pl.Expr:
    return pl.col(column).is_in(values.unique().implode())
