"""How well each attribute separates won from lost deals (S2, S4, S8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jobs.similar.attributes import Attribute
from jobs.similar.rules import Rules

DECIMALS = 9
"""Computed doubles are ordered and compared by their value to so many decimals (K6)."""

FOLDS = 5
NO_BIN = -1

Mode = Literal["learned", "equal", "fallback"]


@dataclass(frozen=True)
class Learned:
    """What the training deals of a week teach; one entry an attribute, None where the mode has no such figure.

    `importance` sums to 1 (equal mode without any value: 0). `held_out_auc`: of all attributes together, on deals not learned from.
    """

    mode: Mode
    won_count: int
    lost_count: int
    importance: np.ndarray | None = None
    mutual_information: np.ndarray | None = None
    bin_count: np.ndarray | None = None
    auc: np.ndarray | None = None
    held_out_auc: float | None = None


def learn(values: np.ndarray, won: np.ndarray, attributes: Sequence[Attribute], rules: Rules) -> Learned:
    """Learn from the training deals, rows of `values` (numbers and category codes, NaN missing) in order of their ids.

    `won` tells won from lost. Too few lost deals leave equal weights, too few won ones nothing but counts (S2).
    """
    won = np.asarray(won, dtype=bool)
    won_count, lost_count = int(won.sum()), int((~won).sum())
    if won_count < rules.similar_min_won:
        return Learned("fallback", won_count, lost_count)
    if lost_count < rules.similar_min_lost:
        return Learned("equal", won_count, lost_count, importance=equal_importance(values))
    bins = [bin_numbers(values[:, k], values[:, k], a, rules.similarity_bins) for k, a in enumerate(attributes)]
    information = np.array([mutual_information(b, won) for b in bins])
    return Learned(
        "learned",
        won_count,
        lost_count,
        importance=normalised(information),
        mutual_information=information,
        bin_count=np.array([np.unique(b[b != NO_BIN]).size for b in bins], dtype=np.int64),
        auc=np.array([area_under_curve(shares_won(b, won, b), won) for b in bins]),
        held_out_auc=held_out_auc(values, won, attributes, rules.similarity_bins),
    )


def equal_importance(values: np.ndarray) -> np.ndarray:
    """The same weight for each attribute with a value in some training deal, 0 for the others (S4)."""
    present = (~np.isnan(values)).any(axis=0)
    return present / max(int(present.sum()), 1)


def bin_numbers(values: np.ndarray, training: np.ndarray, attribute: Attribute, bins: int) -> np.ndarray:
    """The bin of each value: of a number by how many training values are smaller, of a category its code; `NO_BIN` if missing (S4)."""
    missing = np.isnan(values)
    if attribute.kind == "category":
        return np.where(missing, NO_BIN, values).astype(np.int64)
    known = np.sort(training[~np.isnan(training)])
    if not known.size:
        return np.full(values.shape, NO_BIN)
    found = bins * np.searchsorted(known, values, "left") // known.size
    return np.where(missing, NO_BIN, np.minimum(found, bins - 1))


def _counts(bins: np.ndarray, won: np.ndarray) -> np.ndarray:
    """Won and lost deals of each bin number."""
    known = bins != NO_BIN
    size = int(bins.max(initial=NO_BIN)) + 1
    return np.column_stack([np.bincount(bins[known & won], minlength=size), np.bincount(bins[known & ~won], minlength=size)])


def mutual_information(bins: np.ndarray, won: np.ndarray) -> float:
    """What the bin tells about won or lost, in nats, each cell counted one more, times the share of deals with a value (S4)."""
    counts = _counts(bins, won)
    counts = counts[counts.sum(axis=1) > 0]
    known = int(counts.sum())
    if not known:
        return 0.0
    joint = (counts + 1) / (known + 2 * len(counts))
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    return max(0.0, known / bins.size * float((joint * np.log(joint / apart)).sum()))


def normalised(information: np.ndarray) -> np.ndarray:
    """Importances, summing to 1; the same for all where nothing was learned (S4)."""
    total = float(information.sum())
    if round(total, DECIMALS) == 0:
        return np.full(information.shape, 1 / max(information.size, 1))
    return information / total


def shares_won(bins: np.ndarray, won: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The smoothed share of won deals in each bin asked for; 0.5 for one that holds no deal, and without a bin (S8)."""
    counts = _counts(bins, won)
    shares = np.append((counts[:, 0] + 1) / (counts.sum(axis=1) + 2), 0.5)
    return shares[np.where((asked == NO_BIN) | (asked >= len(counts)), len(counts), asked)]


def area_under_curve(scores: np.ndarray, won: np.ndarray) -> float:
    """The share of won-lost pairs in which the won deal scores higher, equal scores counting half (S8)."""
    scores = np.round(scores, DECIMALS)
    lost = np.sort(scores[~won])
    lower, not_higher = (int(np.searchsorted(lost, scores[won], side).sum()) for side in ("left", "right"))
    return (lower + not_higher) / (2 * int(won.sum()) * lost.size)


def held_out_auc(values: np.ndarray, won: np.ndarray, attributes: Sequence[Attribute], bins: int) -> float:
    """AUC of the importance-weighted shares, each fifth of the deals scored by what the other four teach (S8)."""
    scores = np.zeros(won.size)
    fold = np.arange(won.size) % FOLDS
    for held_out in (fold == f for f in range(FOLDS)):
        taught, information, shares = won[~held_out], [], []
        for k, a in enumerate(attributes):
            known = values[~held_out, k]
            learned = bin_numbers(known, known, a, bins)
            information.append(mutual_information(learned, taught))
            shares.append(shares_won(learned, taught, bin_numbers(values[held_out, k], known, a, bins)))
        for importance, share in zip(normalised(np.array(information)), shares, strict=True):
            scores[held_out] += importance * share
    return area_under_curve(scores, won)
