"""Tables that lie by the month of their activities: what a run rewrites of them.

Mail and the other activities each have files of their own in a month, so that a run touches one kind alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from jobs.normalise import threads
from jobs.normalise.activities import ACTIVITY, PARTICIPANT, PARTY, SUBJECT

OUTPUTS = {"activity": ACTIVITY, "activity_participant": PARTICIPANT, "activity_party": PARTY, "activity_thread": threads.THREAD,
           "activity_subject": SUBJECT}  # fmt: skip
SORT = {
    "activity": ["activity_id"],
    "activity_participant": ["activity_id", "address", "party_id"],
    "activity_party": ["activity_id", "address", "party_type", "party_id"],
    "activity_thread": ["activity_id"],
    "activity_subject": ["activity_id"],
}
"""Row order of the published tables; those that are kept for the next run lie in order of `copy`."""

Months = dict[str, dict[str, pl.DataFrame]]


@dataclass(frozen=True)
class Partitions:
    """What lies by month: `scan(table, columns)` reads a table with its `month`, `load(month, table)` one month of it."""

    months: list[str]
    scan: Callable[[str, list[str]], pl.DataFrame]
    load: Callable[[str, str], pl.DataFrame]


def month_of(at: pl.Expr) -> pl.Expr:
    """The partition of an activity: its month, or `none`."""
    return at.dt.strftime("%Y-%m").fill_null("none").alias("month")


def rewritten(
    kept: Partitions | None,
    schemas: dict[str, dict[str, pl.DataType]],
    worked: dict[str, pl.DataFrame],
    months: pl.DataFrame,
    touched: list[str],
    gone: dict[str, pl.DataFrame],
) -> Months:
    """Every month that has another content now, with all its tables (`schemas`).

    `worked`: rows of the activities that were worked out, all with activity_id; `months`: activity_id, month of these; `touched`:
    further months that lose rows; `gone`: for each table the activity ids whose kept rows no longer stand.
    """
    parts = {
        name: worked[name].join(months, on="activity_id").partition_by("month", as_dict=True, include_key=False)
        for name in schemas
    }
    result: Months = {}
    for month in sorted({*touched, *months.get_column("month").to_list()}):
        result[month] = {}
        for name, schema in schemas.items():
            rows = [parts[name][month,]] if (month,) in parts[name] else []
            if kept is not None and month in kept.months:
                rows.append(kept.load(month, name).join(gone[name], on="activity_id", how="anti"))
            table = pl.concat([pl.DataFrame(schema=schema), *(frame.select(schema.keys()) for frame in rows)])
            result[month][name] = table.sort(SORT.get(name, ["copy"]), nulls_last=True)
    return result


def gathered(kept: Partitions | None, months: Months, table: str, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """Some columns of a table as it is now: rewritten months (`months`) and those that stay."""
    parts = [tables[table].select(columns.keys()) for tables in months.values()]
    if kept is not None:
        parts.append(kept.scan(table, list(columns)).filter(~pl.col("month").is_in(list(months))).select(columns.keys()))
    return pl.concat([pl.DataFrame(schema=columns), *parts])


def held(kept: Partitions | None, months: Months) -> pl.DataFrame:
    """Copies behind the activities, and behind those that are left out because somebody on them opted out (N55).

    Returns stream, outcome (kept, ignored:opted_out), row_count: counted where the work ends, so that a copy that is lost on the way
    is missing in the sum.
    """
    copies = gathered(kept, months, "copy", {"stream": pl.String, "is_out": pl.Boolean})
    outcome = pl.when("is_out").then(pl.lit("ignored:opted_out")).otherwise(pl.lit("kept")).alias("outcome")
    counts = copies.group_by("stream", "is_out").agg(pl.len().cast(pl.Int64).alias("row_count"))
    return counts.select("stream", outcome, "row_count")
