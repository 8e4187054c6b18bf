"""Threads of mail that is worked out in portions: of everything, and of what a run touched (N25, N26)."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from jobs.normalise import monthly, threads
from jobs.normalise.monthly import Partitions
from jobs.normalise.shelf import Shelf

MONTH = pl.Categorical()


def of_all(bundles: Iterable[tuple[pl.DataFrame, pl.DataFrame]], shelf: Shelf, parts: monthly.Parts) -> None:
    """Add the threads of all emails to `parts`; of each email no more than a few numbers are held meanwhile.

    `bundles`: emails (activity_id, month, is_out), and what ties them (email, its place among those of the bundle, and node).
    """
    every, month, tied = _gathered(bundles)
    found = threads.heads(np.lexsort((every[:, 1], every[:, 0])), tied)
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


def of_touched(kept: Partitions, touched: pl.DataFrame, worked: dict[str, pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Threads of the emails worked out, and of those elsewhere that they join, leave or once were joined by.

    Returns all their rows, and those of other emails (activity_id, month) whose thread is another than before.
    """
    ids = worked["activity"].get_column("activity_id")
    tied = worked["node"].filter(~pl.col("is_out")).select("activity_id", "node")
    every = kept.months

    def before(months: list[str], column: str, values: pl.Series) -> pl.DataFrame:
        rows = kept.scan("activity_thread", ["activity_id", "thread_id"], months)
        return rows.filter(pl.col(column).is_in(values.unique().implode())).collect(engine="streaming")

    def nodes(months: list[str], column: str, values: pl.Series) -> pl.DataFrame:
        rows = kept.scan("node", ["activity_id", "is_out", "node"], months).filter(~pl.col("is_out"))
        return rows.filter(pl.col(column).is_in(values.unique().implode())).drop("is_out").collect(engine="streaming")

    near = pl.concat([nodes(every, "node", tied.get_column("node")).select("activity_id", "month"), touched]).unique()
    affected = before(near.get_column("month").unique().to_list(), "activity_id", near.get_column("activity_id"))
    others = before(every, "thread_id", affected.get_column("thread_id")).join(touched, on="activity_id", how="anti")
    others_tied = nodes(others.get_column("month").unique().to_list(), "activity_id", others.get_column("activity_id"))
    others_tied = others_tied.select("activity_id", "node")
    found = threads.threads(pl.concat([ids, others.get_column("activity_id")]), pl.concat([tied, others_tied]))
    changed = others.join(found, on=["activity_id", "thread_id"], how="anti")
    mine = found.join(worked["activity"], on="activity_id", how="semi")
    return pl.concat([mine, found.join(changed, on="activity_id", how="semi")]), changed.select("activity_id", "month")
