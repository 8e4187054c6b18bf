"""Progress of a run: one object that stages report to, replaced by whoever wants to show it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from jobs import clock

log = logging.getLogger("rapport")


class Progress:
    """Reports to the log, as a scheduler wants it; a display overrides `start`, `step`, `finish` and `fail`."""

    def start(self, stage: str) -> None:
        log.info("%s: started", stage)

    def step(self, stage: str, done: int, total: int | None = None, note: str = "") -> None:
        """`done` of `total` units; a total of None is unknown."""

    def finish(self, stage: str, seconds: float, note: str) -> None:
        log.info("%s: done in %.1f s%s", stage, seconds, f" ({note})" if note else "")

    def fail(self, stage: str, error: BaseException) -> None:
        log.error("%s: %s", stage, error)


_current = Progress()


def current() -> Progress:
    """The object that stages of this process report to."""
    return _current


def show_on(display: Progress) -> None:
    """Let `display` receive every report of this process from now on."""
    global _current
    _current = display


class Stage:
    """What a running stage can say: `step` for its progress, `note` for its closing line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.note = ""
        self.seconds = 0.0

    def step(self, done: int, total: int | None = None, note: str = "") -> None:
        _current.step(self.name, done, total, note)


@contextmanager
def stage(name: str) -> Iterator[Stage]:
    """Report start, end and failure of the stage `name`; a failure is passed on."""
    running = Stage(name)
    began = clock.monotonic()
    _current.start(name)
    try:
        yield running
    except BaseException as error:
        _current.fail(name, error)
        raise
    running.seconds = clock.monotonic() - began
    _current.finish(name, running.seconds, running.note)
