"""Open, won and lost deals with their attributes: input of the benchmark `similar`."""

from datetime import date

import numpy as np
import polars as pl

from benchmarks.columns import guids

WEEK = date(2026, 7, 6)


def deal_table(open_count: int = 50_000, won_count: int = 200_000, lost_count: int = 100_000, seed: int = 7) -> pl.DataFrame:
    """One row a deal in random order: `opportunity_id`, `state` (open, won, lost), `close_date` (within three years before `WEEK`;
    null when open), `value`, and the eight attributes of S3.

    Industry and value band move the chance of winning, the other attributes are noise; one in ten values is missing.
    """
    rng = np.random.default_rng(seed)
    closed, count = won_count + lost_count, open_count + won_count + lost_count
    industry = rng.integers(1, 31, count)
    value = np.round(np.exp(rng.normal(10.5, 1.2, count)))
    merit = (
        np.where(industry % 3 == 0, 1.0, 0.0) + np.where((value > 20_000) & (value < 80_000), 1.0, 0.0) + rng.normal(0, 1, count)
    )
    state = np.full(count, "open", dtype=object)
    order = np.argsort(-merit[:closed], kind="stable")
    state[order[:won_count]], state[order[won_count:]] = "won", "lost"
    week = (WEEK - date(1970, 1, 1)).days
    frame = pl.DataFrame(
        {
            "opportunity_id": guids(rng, count), "state": pl.Series(state.tolist()), "close_date": pl.Series(week - rng.integers(1, 3 * 365, count)).cast(pl.Int32).cast(pl.Date),
            "value": value, "estimated_value": value, "account_revenue": np.round(10 ** rng.uniform(5, 10, count), -3), "account_employees": rng.integers(1, 20_000, count).astype(float),
            "industry": pl.Series(industry).cast(pl.String), "country": pl.Series(rng.integers(0, 40, count)).cast(pl.String), "lead_source": pl.Series(rng.integers(1, 11, count)).cast(pl.String),
            "currency": pl.Series(rng.integers(0, 5, count)).cast(pl.String), "owner_business_unit": pl.Series(rng.integers(0, 12, count)).cast(pl.String),
        }
    )  # fmt: skip
    attributes = frame.columns[4:]
    missing = {name: pl.Series(rng.random(count) < 0.1) for name in attributes}
    frame = frame.with_columns(pl.when(~missing[name]).then(name).alias(name) for name in attributes)
    frame = frame.with_columns(close_date=pl.when(pl.col("state") != "open").then("close_date"))
    return frame[rng.permutation(count)]
