"""Why two deals are similar, in words."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from jobs.similar.attributes import Attribute
from jobs.similar.learn import DECIMALS
from jobs.similar.neighbours import pair_differences

NO_NEAR_DEAL = "No won deal is near enough; this is one of those won last."
TOO_FEW_DEALS = "Too few closed deals to compare; this is one of those won last."
NOTHING_SHARED = "No attribute is the same or nearly so."

NAMED = 3
"""Attributes that a reason names at most."""

COUNTS = 0.1
"""An attribute is named when it brings at least this share of what the strongest one brings."""

NEARLY = 0.1
"""Difference of percentile ranks up to which two numbers are called similar."""


def reasons(
    deals: pl.DataFrame,
    ranks: np.ndarray,
    opened: np.ndarray,
    won: np.ndarray,
    attributes: Sequence[Attribute],
    importance: np.ndarray,
) -> pl.Series:
    """One sentence a pair of rows: the attributes that are the same or nearly so, those that weigh most first.

    Numbers are shown as both deals have them, the open deal's first; categories by their label.
    """
    pieces = []
    for k, a in enumerate(attributes):
        left, right = deals[a.name][opened], deals[a.name][won]
        is_number = np.array([a.kind == "number"])
        apart = pair_differences(ranks[opened, k, None], ranks[won, k, None], is_number)[:, 0]
        named = (apart <= NEARLY if a.kind == "number" else apart == 0) & (importance[k] > 0)
        words = _numbers(a, left, right) if a.kind == "number" else _category(a, deals, opened)
        pieces.append(
            pl.DataFrame(
                {"pair": np.arange(len(opened)), "weight": importance[k] * (1 - apart), "place": k, "words": words}
            ).filter(pl.Series(named))
        )
    if not pieces or not (named := pl.concat(pieces)).height:
        return pl.repeat(NOTHING_SHARED, len(opened), eager=True)
    sentences = (
        named.filter(pl.col("weight") >= COUNTS * pl.col("weight").max().over("pair"))
        .sort("pair", -pl.col("weight").round(DECIMALS), "place")
        .group_by("pair", maintain_order=True)
        .agg(pl.col("words").head(NAMED))
        .select("pair", _sentence(pl.col("words")).alias("reason"))
    )
    pairs = pl.DataFrame({"pair": np.arange(len(opened))})
    return pairs.join(sentences, on="pair", how="left", maintain_order="left")["reason"].fill_null(NOTHING_SHARED)


def _sentence(words: pl.Expr) -> pl.Expr:
    """`Same industry (Retail), same country (france) and similar revenue (5 and 6).`"""
    count = words.list.len()
    ahead = words.list.head(count - 1).list.join(", ")
    text = pl.when(count > 1).then(ahead + " and " + words.list.last()).otherwise(words.list.last())
    return text.str.slice(0, 1).str.to_uppercase() + text.str.slice(1) + "."


def _category(a: Attribute, deals: pl.DataFrame, opened: np.ndarray) -> pl.Series:
    shown = pl.coalesce(a.label, a.name) if a.label in deals.columns else pl.col(a.name)
    text = deals.select(pl.format(f"same {a.words} ({{}})", shown.cast(pl.String))).to_series()
    return text[opened].cast(pl.String)


def _numbers(a: Attribute, left: pl.Series, right: pl.Series) -> pl.Series:
    both = pl.DataFrame({"left": left, "right": right}).select(
        pl.when(pl.col("left") == pl.col("right"))
        .then(pl.format(f"same {a.words} ({{}})", _number("left")))
        .otherwise(pl.format(f"similar {a.words} ({{}} and {{}})", _number("left"), _number("right")))
    )
    return both.to_series().cast(pl.String)


def _number(column: str) -> pl.Expr:
    """A number as people write it: whole from 10, else two decimals, thousands separated."""
    value = pl.col(column)
    whole = value.round(0, mode="half_away_from_zero")
    digits = whole.cast(pl.Int128, strict=False).cast(pl.String)
    grouped = digits.str.reverse().str.replace_all(r"(\d{3})", "${1},").str.strip_suffix(",").str.reverse()
    small = value.round(2).cast(pl.String).str.strip_suffix(".0")
    return pl.when(value < 10).then(small).otherwise(grouped)
