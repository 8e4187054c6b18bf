"""The nearest won deals of each open deal by weighted Gower distance (S2, S5): exact, and the same for any number of threads.

Open and won deals are each cut into leaves of deals that resemble each other. A lower bound of the distance from an open deal to a
whole leaf rules out most leaves; the rest is computed in blocks, roughly in single precision first, then exactly for
what may be among the nearest.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from jobs.similar.learn import DECIMALS

OPEN_LEAF = 128
WON_LEAF = 512
ROUGH = 3e-7
"""More than what one attribute adds to the error of a rough distance, that of the limit it is held against included."""
BOUND_SLACK = 1e-12
NOBODY = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Neighbours:
    """Pairs in order of open deal and rank: rows of the two matrices, and their distance."""

    open_row: np.ndarray
    won_row: np.ndarray
    distance: np.ndarray


def pair_differences(opened: np.ndarray, won: np.ndarray, is_number: np.ndarray) -> np.ndarray:
    """Difference of each attribute for rows paired one to one: of ranks for numbers, 0 or 1 for categories, 1 if missing."""
    apart = np.where(is_number, np.abs(opened - won), opened != won)
    return np.where(np.isnan(opened) | np.isnan(won), 1.0, apart)


def pair_distances(opened: np.ndarray, won: np.ndarray, is_number: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Gower distance of rows paired one to one, added up in the order of the attributes (S5)."""
    differences = pair_differences(opened, won, is_number)
    total = np.zeros(len(opened))
    for k, weight in enumerate(importance):
        total += weight * differences[:, k]
    return total


def nearest(
    opened: np.ndarray,
    won: np.ndarray,
    is_number: np.ndarray,
    importance: np.ndarray,
    *,
    top: int,
    max_distance: float,
    threads: int = 1,
) -> Neighbours:
    """For each row of `opened` its `top` nearest rows of `won` at a distance of at most `max_distance`.

    `won` is in the order that decides ties. Distances are compared to 9 decimals. Open rows may get fewer than `top`, or none.
    """
    weighty = importance > 0
    if not (len(opened) and len(won)):
        return _gather([])
    search = _Search(opened[:, weighty], won[:, weighty], is_number[weighty], importance[weighty], top, max_distance)
    with ThreadPoolExecutor(threads) as pool:
        return _gather(list(pool.map(search.leaf, leaves(search.opened, search.is_number, search.weights, OPEN_LEAF))))


def _gather(parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Neighbours:
    empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    rows, found, distance = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    order = np.lexsort((found, np.round(distance, DECIMALS), rows))
    return Neighbours(rows[order], found[order], distance[order])


def leaves(values: np.ndarray, is_number: np.ndarray, weights: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows cut into leaves of at most `size`, by the attribute that spreads most, until none does; each leaf in row order."""
    found: list[np.ndarray] = []
    waiting = [np.arange(len(values))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= size:
            found.append(rows)
            continue
        column, cut = _widest(values[rows], is_number, weights)
        order = np.argsort(values[rows, column], kind="stable") if column is not None else np.arange(len(rows))
        waiting += [np.sort(rows[order[cut:]]), np.sort(rows[order[:cut]])]
    return [rows for rows in found if len(rows)]


def _widest(values: np.ndarray, is_number: np.ndarray, weights: np.ndarray) -> tuple[int | None, int]:
    """The attribute with the largest weighted spread, and where to cut its sorted values; None if no attribute spreads.

    Missing values sort last and count as one more value at full distance.
    """
    low, high = _extent(values)
    missing = np.isnan(values)
    spread = np.where(is_number, high - low, high > low)
    spread = np.where(missing.any(axis=0), np.where(missing.all(axis=0), 0.0, 1.0), spread) * weights
    middle = len(values) // 2
    if not spread.size or spread.max() <= 0:
        return None, middle
    column = int(spread.argmax())
    ordered = np.sort(values[:, column])
    edges = 1 + np.flatnonzero(~((ordered[1:] == ordered[:-1]) | np.isnan(ordered[:-1])))
    return column, int(edges[np.abs(edges - middle).argmin()])


def _extent(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of each column; inf and -inf where all are missing."""
    missing = np.isnan(values)
    low = np.where(missing, np.inf, values).min(axis=0, initial=np.inf)
    high = np.where(missing, -np.inf, values).max(axis=0, initial=-np.inf)
    return low, high


class _Search:
    """The won deals, ready to be searched."""

    def __init__(
        self, opened: np.ndarray, won: np.ndarray, is_number: np.ndarray, weights: np.ndarray, top: int, max_distance: float
    ) -> None:
        self.opened, self.won, self.is_number, self.weights = opened, won, is_number, weights
        self.top, self.max_distance = top, max_distance
        self.leaves = leaves(won, is_number, weights, WON_LEAF)
        extents = [_extent(won[rows]) for rows in self.leaves]
        self.low = np.array([low for low, _ in extents]).reshape(len(extents), -1)
        self.high = np.array([high for _, high in extents]).reshape(len(extents), -1)
        self.first = np.array([rows[0] for rows in self.leaves], dtype=np.int64)
        scale = np.where(is_number, weights, 1.0)
        self.rough_open = (opened * scale).astype(np.float32)
        self.rough_won = [np.ascontiguousarray((won[rows] * scale).astype(np.float32).T) for rows in self.leaves]
        self.slack = np.float32(ROUGH * (len(weights) + 4))
        self.gaps = [np.isnan(won[rows]).any(axis=0) for rows in self.leaves]

    def bounds(self, rows: np.ndarray) -> np.ndarray:
        """A distance that no deal of a leaf comes below (open deals x leaves), rounded as distances are."""
        total = np.zeros((len(rows), len(self.leaves)))
        for k, weight in enumerate(self.weights):
            value = self.opened[rows, k][:, None]
            beyond = np.maximum(np.maximum(self.low[:, k] - value, value - self.high[:, k]), 0.0)
            apart = np.minimum(beyond, 1.0) if self.is_number[k] else beyond > 0
            total += weight * np.where(np.isnan(value), 1.0, apart)
        return np.round(total - BOUND_SLACK, DECIMALS)

    def leaf(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The nearest deals of the open deals `rows`: open row, won row, distance."""
        best = _Best(len(rows), self.top, self.max_distance)
        bounds = self.bounds(rows)
        least = bounds.min(axis=0)
        for leaf in np.lexsort((self.first, least)):
            if least[leaf] > best.farthest():
                break
            alive = np.flatnonzero(best.admits(bounds[:, leaf], self.first[leaf]))
            if alive.size:
                self._compare(rows, alive, leaf, best)
        place, rank = np.nonzero(best.won != NOBODY)
        opened, won = rows[place], best.won[place, rank]
        return opened, won, pair_distances(self.opened[opened], self.won[won], self.is_number, self.weights)

    def _compare(self, rows: np.ndarray, alive: np.ndarray, leaf: int, best: "_Best") -> None:
        """Take from one leaf what is nearer than the best so far."""
        rough = self._rough(rows[alive], leaf)
        limit = best.distance[alive, -1].astype(np.float32)
        if rough.shape[1] > self.top:
            limit = np.minimum(limit, np.partition(rough, self.top - 1, axis=1)[:, self.top - 1])
        place, column = np.nonzero(rough <= (limit + self.slack)[:, None])
        if not place.size:
            return
        who, won = alive[place], self.leaves[leaf][column]
        exact = pair_distances(self.opened[rows[who]], self.won[won], self.is_number, self.weights)
        best.take(who, won, np.round(exact, DECIMALS))

    def _rough(self, rows: np.ndarray, leaf: int) -> np.ndarray:
        """Distances of open deals to the deals of a leaf in single precision."""
        opened, won = self.rough_open[rows], self.rough_won[leaf]
        total = np.zeros((len(rows), won.shape[1]), np.float32)
        part = np.empty_like(total)
        for k, weight in enumerate(self.weights.astype(np.float32)):
            value = opened[:, k, None]
            if self.is_number[k]:
                np.subtract(value, won[k], out=part)
                np.abs(part, out=part)
                if self.gaps[leaf][k] or np.isnan(value).any():
                    np.fmin(part, weight, out=part)
            else:
                np.multiply(value != won[k], weight, out=part)
            total += part
        return total


class _Best:
    """The nearest so far of some open deals, each in order of rounded distance and tie order."""

    def __init__(self, count: int, top: int, max_distance: float) -> None:
        self.distance = np.full((count, top), max_distance)
        self.won = np.full((count, top), NOBODY)

    def farthest(self) -> float:
        """The largest distance that could still enter."""
        return float(self.distance[:, -1].max())

    def admits(self, distance: np.ndarray, won: np.ndarray) -> np.ndarray:
        """Whether a deal at `distance` that comes at `won` in the tie order would enter, one open deal an entry."""
        last = self.distance[:, -1]
        return (distance < last) | ((distance == last) & (won < self.won[:, -1]))

    def take(self, who: np.ndarray, won: np.ndarray, distance: np.ndarray) -> None:
        """Merge candidates: places of open deals in ascending order, won rows, rounded distances."""
        last = self.distance[who, -1]
        enters = (distance < last) | ((distance == last) & (won < self.won[who, -1]))
        who, won, distance = who[enters], won[enters], distance[enters]
        touched, top = np.unique(who), self.distance.shape[1]
        everyone = np.concatenate([np.repeat(touched, top), who])
        deals = np.concatenate([self.won[touched].ravel(), won])
        distances = np.concatenate([self.distance[touched].ravel(), distance])
        order = np.lexsort((deals, distances, everyone))
        starts = np.searchsorted(everyone[order], touched)
        kept = order[starts[:, None] + np.arange(top)]
        self.distance[touched], self.won[touched] = distances[kept], deals[kept]
