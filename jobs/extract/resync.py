"""Ask for a stream to be read whole again."""

from datetime import datetime
from pathlib import Path

from jobs.extract import parking
from jobs.extract.log import Page, StreamLog
from jobs.settings import Settings

RUN_ID = "resync"


def resync_stream(home: Path, source: str, stream: str, settings: Settings, now: datetime) -> None:
    """Append an empty page without a link: the next run begins a full round. A parked stream is due at once.

    Raises SourceError while a run is reading the stream.
    """
    log = StreamLog(home, source, stream, RUN_ID)
    with log.locked():
        parking.clear(log.folder)
        if log.state is not None:
            facts = {"received": 0, "dropped": {}, "unknown_keys": {}}
            log.append(Page(log.next_round("full", now), 0, [], facts, None, "next", now))
            log.flush()
