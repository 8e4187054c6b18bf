"""What can go wrong while reading a source, by how far it reaches."""

from datetime import timedelta

from jobs.errors import RapportError

AT_ONCE = timedelta(0)
SOON = timedelta(minutes=45)
DAILY = timedelta(days=1)


class SourceError(RapportError):
    """The source as a whole cannot be read: unreachable host, refused credentials, a missing setting."""


class StreamBusy(SourceError):
    """Another run is reading the stream."""


class StreamFailed(Exception):
    """One stream cannot go on; it is parked with `reason` and tried again after `wait`.

    `code` is the source's error code, `status` the HTTP status (0 without an answer).
    """

    def __init__(self, reason: str, *, wait: timedelta = SOON, status: int = 0, code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        self.status = status
        self.code = code


class SyncStateLost(Exception):
    """The source no longer knows the link that a stream would continue from: the stream starts over."""
