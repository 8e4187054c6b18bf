"""From the table of deals to the similar won deals of each open one and the table of attributes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from jobs.similar.attributes import Attribute, clean, numeric, with_ranks
from jobs.similar.learn import Learned, Mode, learn
from jobs.similar.neighbours import nearest
from jobs.similar.reason import NO_NEAR_DEAL, TOO_FEW_DEALS, reasons
from jobs.similar.rules import Rules

TRAINING_YEARS = 3

PAIRS = {
    "opportunity_id": pl.String,
    "rank": pl.Int64,
    "similar_opportunity_id": pl.String,
    "match": pl.String,
    "distance": pl.Float64,
    "reason": pl.String,
}
ATTRIBUTES = {
    "attribute": pl.String,
    "kind": pl.String,
    "mode": pl.String,
    "importance": pl.Float64,
    "mutual_information": pl.Float64,
    "auc": pl.Float64,
    "bin_count": pl.Int64,
    "won_count": pl.Int64,
    "lost_count": pl.Int64,
}


@dataclass(frozen=True)
class Matches:
    """A week's result. `pairs`: columns of `PAIRS`, by open deal and rank; `attributes`: columns of `ATTRIBUTES`."""

    mode: Mode
    pairs: pl.DataFrame
    attributes: pl.DataFrame


def training_start(week_of: date) -> date:
    """The first close date of training deals, three calendar years before `week_of`; 28 February where the 29th is missing (S1)."""
    year = week_of.year - TRAINING_YEARS
    try:
        return week_of.replace(year=year)
    except ValueError:
        return week_of.replace(year=year, day=28)


def match_deals(
    deals: pl.DataFrame, attributes: Sequence[Attribute], week_of: date, rules: Rules | None = None, threads: int = 1
) -> Matches:
    """The similar won deals of every open deal (S1 to S5) and what was learned about the attributes (S4, S8).

    `deals`: `opportunity_id`, `state` (open, won, lost), `close_date` (closed ones; before `week_of`), a column for each attribute
    and for its label, in any order of rows.
    """
    rules = rules or Rules()
    deals = clean(deals.sort("opportunity_id"), attributes)
    values = numeric(deals, attributes)
    state, closed = deals["state"].to_numpy(), deals["close_date"]
    training = (state != "open") & (closed >= training_start(week_of)).fill_null(False).to_numpy()
    learned = learn(values[training], state[training] == "won", attributes, rules)
    latest = (
        pl.DataFrame({"row": np.arange(len(state), dtype=np.int64), "closed": closed})
        .filter(pl.Series(state == "won"))
        .sort("closed", descending=True, maintain_order=True)["row"]
        .to_numpy()
    )
    opened = np.flatnonzero(state == "open")
    pairs = _empty_pairs()
    if learned.mode != "fallback":
        pairs = _nearest(deals, values, training, opened, latest[training[latest]], learned, attributes, rules, threads)
    reason = TOO_FEW_DEALS if learned.mode == "fallback" else NO_NEAR_DEAL
    ids = deals["opportunity_id"]
    alone = pl.DataFrame({"opportunity_id": ids[opened]}).join(pairs, on="opportunity_id", how="anti")
    pairs = pl.concat([pairs, _fallback(alone, ids[latest[: rules.similar_fallback_count]], reason)])
    return Matches(learned.mode, pairs.sort("opportunity_id", "rank"), attribute_table(learned, attributes))


def _empty_pairs() -> pl.DataFrame:
    return pl.DataFrame(schema=PAIRS)


def _nearest(
    deals: pl.DataFrame,
    values: np.ndarray,
    training: np.ndarray,
    opened: np.ndarray,
    candidates: np.ndarray,
    learned: Learned,
    attributes: Sequence[Attribute],
    rules: Rules,
    threads: int,
) -> pl.DataFrame:
    """Pairs of match nearest; `candidates` are rows in the order that decides ties."""
    ranks = with_ranks(values, values[training], attributes)
    is_number = np.array([a.kind == "number" for a in attributes])
    found = nearest(
        ranks[opened],
        ranks[candidates],
        is_number,
        learned.importance,
        top=rules.similar_top,
        max_distance=rules.similar_max_distance,
        threads=threads,
    )
    left, right = opened[found.open_row], candidates[found.won_row]
    first = np.searchsorted(found.open_row, found.open_row, "left")
    return pl.DataFrame(
        {
            "opportunity_id": deals["opportunity_id"][left],
            "rank": np.arange(len(left)) - first + 1,
            "similar_opportunity_id": deals["opportunity_id"][right],
            "match": pl.repeat("nearest", len(left), eager=True),
            "distance": found.distance,
            "reason": reasons(deals, ranks, left, right, attributes, learned.importance),
        },
        schema=PAIRS,
    )


def _fallback(alone: pl.DataFrame, latest: pl.Series, reason: str) -> pl.DataFrame:
    """The latest won deals for each open deal of `alone`, ranked in the order given (S2)."""
    ranked = pl.DataFrame({"similar_opportunity_id": latest}).with_row_index("rank", offset=1)
    return alone.join(ranked, how="cross").select(
        "opportunity_id",
        pl.col("rank").cast(pl.Int64),
        "similar_opportunity_id",
        pl.lit("fallback").alias("match"),
        pl.lit(None, pl.Float64).alias("distance"),
        pl.lit(reason).alias("reason"),
    )


def attribute_table(learned: Learned, attributes: Sequence[Attribute]) -> pl.DataFrame:
    """One row an attribute and, when learned, the row `(all)` with the held-out AUC."""

    def figures(column: np.ndarray | None) -> list:
        return [None] * len(attributes) if column is None else column.tolist()

    table = pl.DataFrame(
        {
            "attribute": [a.name for a in attributes],
            "kind": [a.kind for a in attributes],
            "mode": [learned.mode] * len(attributes),
            "importance": figures(learned.importance),
            "mutual_information": figures(learned.mutual_information),
            "auc": figures(learned.auc),
            "bin_count": figures(learned.bin_count),
            "won_count": [learned.won_count] * len(attributes),
            "lost_count": [learned.lost_count] * len(attributes),
        },
        schema=ATTRIBUTES,
    )
    if learned.mode == "learned":
        whole = {"attribute": "(all)", "mode": "learned", "auc": learned.held_out_auc}
        counts = {"won_count": learned.won_count, "lost_count": learned.lost_count}
        table = pl.concat([table, pl.DataFrame([{**whole, **counts}], schema=ATTRIBUTES)])
    return table.sort("attribute")
