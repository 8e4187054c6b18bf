"""Streams that are set aside: parked ones, which failed and are tried again later, and retired ones, which are no longer read.

A mark is the file `parked.json` in the stream's folder.
"""

import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from jobs.extract.errors import SourceError
from jobs.extract.files import raw_root, stream_folder, stream_folders

MARK = "parked.json"


@dataclass(frozen=True)
class Parked:
    """A stream set aside: why, since when, and when it is tried again (None: not before someone says so)."""

    source: str
    stream: str
    reason: str
    since: datetime
    next_try: datetime | None
    is_retired: bool = False

    def waits(self, now: datetime) -> bool:
        """Whether it is not yet time to try again."""
        return not self.is_retired and self.next_try is not None and self.next_try > now


def read(folder: Path) -> Parked | None:
    """The mark in a stream's folder, None when the stream is read normally."""
    try:
        found = orjson.loads((folder / MARK).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SourceError(f"{folder / MARK} cannot be read ({type(error).__name__}): remove it to try the stream again") from None
    for name in ("since", "next_try"):
        found[name] = datetime.fromisoformat(found[name]) if found[name] else None
    return Parked(**found)


def _write(folder: Path, mark: Parked) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{MARK}.tmp"
        temporary.write_bytes(orjson.dumps(asdict(mark)))
        os.replace(temporary, folder / MARK)
    except OSError as error:
        raise SourceError(
            f"cannot write to {folder}: {error.strerror}; free space or set RAPPORT_HOME to another folder"
        ) from None


def park(home: Path, source: str, stream: str, reason: str, now: datetime, wait: timedelta) -> Parked:
    """Set a stream aside until `now` + `wait`; a stream that is parked already keeps the time since when."""
    folder = stream_folder(home, source, stream)
    before = read(folder)
    since = before.since if before and not before.is_retired else now
    mark = Parked(source, stream, reason, since, now + wait)
    _write(folder, mark)
    return mark


def retire(folder: Path, source: str, stream: str, reason: str, now: datetime) -> None:
    """Say that a stream is no longer read; its rows stay."""
    if (before := read(folder)) is None or not before.is_retired:
        _write(folder, Parked(source, stream, reason, now, None, is_retired=True))


def clear(folder: Path) -> None:
    """Read the stream normally again."""
    (folder / MARK).unlink(missing_ok=True)


def parked(home: Path) -> list[Parked]:
    """The streams that are parked, by name."""
    marks = (read(folder) for folder in stream_folders(home) if (folder / MARK).exists())
    found = [mark for mark in marks if mark is not None and not mark.is_retired]
    return sorted(found, key=lambda mark: (mark.source, mark.stream))


def mailbox_folders(home: Path, mailbox: str = "*") -> list[Path]:
    """Folders of the streams of one mailbox, or of all; `mailbox` is the name that stands for its user id in paths."""
    root = raw_root(home) / "graph"
    single = [folder for kind in ("mailFolders", "calendarView") for folder in root.glob(f"{kind}/{mailbox}")]
    return single + [folder for kind in ("messages", "messageHeaders") for folder in root.glob(f"{kind}/{mailbox}/*")]
