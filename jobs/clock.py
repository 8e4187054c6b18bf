"""The only place where Rapport reads the time.

Values go to receive times, publication times, waits and retry times; never into a mart's content or a filter of it.
"""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The current instant, UTC, in whole microseconds."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds of a clock that never goes back, for measuring durations and budgets."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait; tests pass their own function instead."""
    time.sleep(seconds)
