"""Which messages were ever seen, kept so that a day adds a little and leaves the rest as it is."""

from dataclasses import dataclass, field

import polars as pl

FEW = 10
"""One in so many may be apart from the others before all are put together."""


def _none() -> pl.Series:
    return pl.Series("place", [], dtype=pl.UInt64)


@dataclass(frozen=True)
class Seen:
    """Places (`replay.place`) of messages in order, each once: most of them, and `later` ones; `is_same`: whether `most` is that of the
    run before."""

    most: pl.Series = field(default_factory=_none)
    later: pl.Series = field(default_factory=_none)
    is_same: bool = False

    def has(self, places: pl.Series) -> pl.Series:
        """Which of some places are among them."""
        return _in(places, self.most) | _in(places, self.later)

    def adding(self, places: pl.Series) -> "Seen":
        """These and others."""
        later = pl.concat([self.later, places.filter(~self.has(places))]).unique().sort()
        if len(later) * FEW <= len(self.most):
            return Seen(self.most, later, is_same=True)
        return Seen(pl.concat([self.most, later]).sort())


def _in(places: pl.Series, ordered: pl.Series) -> pl.Series:
    if ordered.is_empty():
        return pl.repeat(False, len(places), dtype=pl.Boolean, eager=True)
    found = ordered.search_sorted(places)
    return ordered.gather(found.clip(upper_bound=len(ordered) - 1)) == places
