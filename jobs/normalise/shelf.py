"""Where frames wait between the steps of a run, so that memory does not follow the size of the mail."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import polars as pl

MEMORY_BYTES = 256 << 20
PREFIX = "shelf-"


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
        waiting = frame.lazy()
        with self._lock:
            if size <= self.memory_bytes:
                self.memory_bytes -= size
                self._sizes[id(waiting)] = size
                return waiting
        file = self.folder / f"{next(self._names)}.arrow"
        frame.write_ipc(file, compression="lz4")
        return pl.scan_ipc(file)

    def take(self, waiting: list[pl.LazyFrame]) -> list[pl.DataFrame]:
        """Frames that were put here, each for the last time: their memory is free for others."""
        with self._lock:
            self.memory_bytes += sum(self._sizes.pop(id(frame), 0) for frame in waiting)
        return pl.collect_all(waiting)


@contextmanager
def shelf_in(folder: Path) -> Iterator[Shelf]:
    """A shelf whose files lie in a folder of their own in `folder` for as long as the context lasts; one that a crash left is removed."""
    for left in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(left)
    with TemporaryDirectory(prefix=PREFIX, dir=folder) as name:
        yield Shelf(Path(name))
