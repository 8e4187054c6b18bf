"""Where frames wait between the steps of a run, so that memory does not follow the size of the mail."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import BinaryIO

import polars as pl

MEMORY_BYTES = 128 << 20
PREFIX = "shelf-"


@dataclass(frozen=True)
class Finished:
    """A table as it is to stay: its rows, and the Parquet file that holds them if there is one."""

    rows: pl.LazyFrame
    file: Path | None = None


@dataclass
class Shelf:
    """Frames in memory until these fill `memory_bytes`, those that follow as files in `folder`; without a folder all in memory."""

    folder: Path | None = None
    memory_bytes: int = MEMORY_BYTES
    _names: Iterator[int] = field(default_factory=count)
    _sizes: dict[int, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def put(self, frame: pl.DataFrame) -> pl.LazyFrame:
        """The same frame, to be collected when it is needed."""
        if self.folder is None:
            return frame.lazy()
        size = int(frame.estimated_size())
        with self._lock:
            has_room = size <= self.memory_bytes
            self.memory_bytes -= size if has_room else 0
        if has_room:
            waiting = compacted(frame).lazy()
            self._sizes[id(waiting)] = size
            return waiting
        # Dictionaries of Parquet make a piece as small as compression does, at half the cost.
        file = self.folder / f"{next(self._names)}.piece"
        frame.write_parquet(file, compression="uncompressed", statistics=False)
        return pl.scan_parquet(file)

    def take(self, waiting: list[pl.LazyFrame]) -> list[pl.DataFrame]:
        """Frames that were put here, each for the last time: their memory is free for others."""
        with self._lock:
            self.memory_bytes += sum(self._sizes.pop(id(frame), 0) for frame in waiting)
        return pl.collect_all(waiting)

    def finish(self, frame: pl.DataFrame) -> Finished:
        """A table that is worked out, written once for all."""
        if self.folder is None:
            return Finished(frame.lazy())
        file = self.folder / f"{next(self._names)}.parquet"
        write_parquet(frame, file)
        return Finished(pl.scan_parquet(file), file)


def write_parquet(frame: pl.DataFrame, to: Path | BinaryIO) -> None:
    """The one way in which the lake keeps tables: the same rows give the same bytes."""
    frame.rechunk().write_parquet(to, compression="zstd", compression_level=1, statistics=True)


def compacted(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows in memory of their own: a part of a larger frame holds on to every text of the whole."""
    return pl.DataFrame(pl.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest())))


@contextmanager
def shelf_in(folder: Path) -> Iterator[Shelf]:
    """A shelf whose files lie in a folder of their own in `folder` for as long as the context lasts; one that a crash left is removed."""
    for left in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(left)
    with TemporaryDirectory(prefix=PREFIX, dir=folder) as name:
        yield Shelf(Path(name))
