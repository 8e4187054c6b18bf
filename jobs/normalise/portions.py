"""Copies of mail and what belongs to them, kept for the next run: the portions of a rebuild, and small ones that later runs add.

A row lies where it was written until too many beside it are of no use, so that a run writes what it worked out and little else.
"""

from dataclasses import dataclass, field

import polars as pl

from jobs.normalise.frame import Frame
from jobs.normalise.shards import Frames
from jobs.normalise.shelf import Finished, Shelf

FULL_ROWS = 100_000
"""Portions of this many copies take no more."""


def _none() -> pl.Series:
    return pl.Series("copy", [], dtype=pl.UInt32)


@dataclass(frozen=True)
class Portions:
    """Tables of each portion by name, every one with the column `copy` first; rows of copies that are `gone` count no longer."""

    tables: list[dict[str, Finished]] = field(default_factory=list)
    gone: pl.Series = field(default_factory=_none)

    def rows(self, table: str, columns: list[str], which: pl.Expr, of: pl.Series | None = None) -> pl.DataFrame:
        """Rows that a condition on `columns`, `copy` among them, holds for; `portion`, which may be among them too, is the number of the
        portion that a row lies in. `of`: numbers of the portions to look in, otherwise all."""
        numbered = [
            tables[table].rows.with_columns(pl.lit(number, pl.UInt32).alias("portion")).select(columns)
            for number, tables in enumerate(self.tables)
        ]
        parts = numbered if of is None else [numbered[0].clear(), *(numbered[number] for number in of.unique())]
        return self._standing(pl.concat(pl.collect_all([part.filter(which) for part in parts])))

    def each(self, table: str, columns: list[str]) -> list[pl.LazyFrame]:
        """The rows that count, a portion at a time."""
        return [self._standing(tables[table].rows.select("copy", *columns)) for tables in self.tables]

    def adding(self, fresh: Frames, gone: pl.Series, shelf: Shelf) -> "Portions":
        """These without copies that are `gone`, and with others.

        The new rows take in portions that are mostly gone, and the last ones as long as these have not many more rows: so a portion
        is written again only a few times, and there are never many.
        """
        every = pl.concat([self.gone, gone])
        copies = [tables["copy"].rows.select("copy") for tables in self.tables]
        counts = pl.collect_all([rows.select(pl.len(), lost=pl.col("copy").is_in(every.implode()).sum()) for rows in copies])
        stay, joined, size = [], [], fresh["copy"].height
        for tables, count in zip(reversed(self.tables), reversed(counts), strict=True):
            total, lost = count.row(0)
            is_last = not stay and total <= 2 * size and total < FULL_ROWS
            if is_last or 2 * lost > total:
                joined.append(tables)
                size += total - lost
            else:
                stay.append(tables)
        old = Portions(joined, every)
        merged = {name: pl.concat([frame, *pl.collect_all(old.each(name, frame.columns[1:]))]) for name, frame in fresh.items()}
        left = Portions(joined).each("copy", [])
        let_go = pl.concat([_none().to_frame(), *pl.collect_all(left)]).to_series()
        added = [] if stay and merged["copy"].is_empty() else [portion(merged, shelf)]
        return Portions([*reversed(stay), *added], every.filter(~every.is_in(let_go.implode())).sort())

    def _standing(self, rows: Frame) -> Frame:
        return rows if self.gone.is_empty() else rows.filter(~pl.col("copy").is_in(self.gone.implode()))


def portion(tables: Frames, shelf: Shelf) -> dict[str, Finished]:
    """A portion as it is to stay."""
    return {name: shelf.finish(frame) for name, frame in tables.items()}
