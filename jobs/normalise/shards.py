"""The copies of all mail in portions that can be worked out one after the other, so that memory does not follow their number."""

from collections.abc import Iterator

import polars as pl

from jobs.normalise.shelf import Shelf

Frames = dict[str, pl.DataFrame]
"""Tables by name; here `copy` (with copy, same_id, same_content), and others that belong to it by the column `copy`."""

WAITING_BYTES = 128 << 20
"""Rows that wait in memory until there are enough of every shard for one file each."""


class Shards:
    """Rows about copies, cut by message id; the last shard holds copies without one. A single shard holds everything."""

    def __init__(self, count: int, shelf: Shelf, schemas: dict[str, dict[str, pl.DataType]]) -> None:
        self._count, self._shelf, self._schemas = count, shelf, schemas
        self._pieces: dict[tuple[int, str], list[pl.LazyFrame]] = {}
        self._waiting: dict[tuple[int, str], list[pl.DataFrame]] = {}
        self._waiting_bytes = 0

    def add(self, frames: Frames) -> None:
        """Add rows; `copy` numbers those of one call without a gap, in order."""
        for shard, part in [(0, frames)] if self._count == 1 else self._cut(frames):
            for name, frame in part.items():
                self._waiting.setdefault((shard, name), []).append(frame)
                self._waiting_bytes += int(frame.estimated_size())
        if self._waiting_bytes > WAITING_BYTES:
            self._put_away()

    def _put_away(self) -> None:
        for key, frames in self._waiting.items():
            self._pieces.setdefault(key, []).append(self._shelf.put(pl.concat(frames)))
        self._waiting, self._waiting_bytes = {}, 0

    def _cut(self, frames: Frames) -> Iterator[tuple[int, Frames]]:
        copy = frames["copy"]
        shard = copy.select((pl.col("same_id") % self._count).fill_null(self._count).alias("shard")).to_series()
        first = copy.get_column("copy").min() or 0
        for name, frame in frames.items():
            numbered = frame.with_columns(shard.gather(frame.get_column("copy") - first))
            for (number,), part in numbered.partition_by("shard", as_dict=True, include_key=False).items():
                yield number, {name: part}

    def everything(self) -> Frames:
        """All rows."""
        self._put_away()
        parts = [self._take(shard) for shard in range(self._count + 1)]
        return {name: pl.concat([part[name] for part in parts]) for name in self._schemas}

    def bundles(self) -> Iterator[Frames]:
        """All rows, in bundles each of which holds all copies that can decide one email together.

        A copy without message id is one email with others of the same sender and subject (N17), so these come together, as the last.
        """
        self._put_away()
        if self._count == 1:
            yield self._take(0)
            return
        apart = [self._take(self._count)]
        contents = apart[0]["copy"].get_column("same_content").unique()
        for shard in range(self._count):
            frames = self._take(shard)
            copy = frames["copy"]
            likely = copy.filter(pl.col("same_content").is_in(contents.implode())).get_column("same_id").unique()
            if not likely.is_empty():
                moved = copy.filter(pl.col("same_id").is_in(likely.implode())).select("copy")
                apart.append({name: frame.join(moved, on="copy", how="semi") for name, frame in frames.items()})
                frames = {name: frame.join(moved, on="copy", how="anti") for name, frame in frames.items()}
            yield frames
        yield {name: pl.concat([part[name] for part in apart]) for name in self._schemas}

    def _take(self, shard: int) -> Frames:
        pieces = {name: self._pieces.pop((shard, name), []) for name in self._schemas}
        return {
            name: pl.concat([pl.DataFrame(schema=self._schemas[name]), *self._shelf.take(pieces[name])]) for name in self._schemas
        }
