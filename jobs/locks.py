"""Locks between the runs of one home: a file a lock, which goes with the process that holds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from jobs.errors import RapportError


@contextmanager
def held(path: Path, busy: str, *, seconds: float = 0.0, error: type[RapportError] = RapportError) -> Iterator[None]:
    """Hold the lock file at `path`, made with its folder where it is missing.

    `busy`: what another holder is doing, as in "another run is ..."; `seconds`: how long to wait for it. Raises `error` when the
    lock stays taken, and when the file cannot be made or locked.
    """
    lock = FileLock(path, timeout=seconds)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise error(f"another run is {busy}: wait for it to end, then start again") from None
    except OSError as failure:
        reason = failure.strerror or failure
        raise error(f"{path} cannot be locked: {reason}; free space or set RAPPORT_HOME to a folder that is yours") from None
    try:
        yield
    finally:
        lock.release()
