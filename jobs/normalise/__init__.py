"""From the raw log to the normalised lake."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.normalise.job import SnapshotReport
    from jobs.settings import Settings


def run(home: Path, settings: "Settings", run_id: str, progress: Callable[..., None] | None = None) -> "SnapshotReport":
    """Bring `<home>/lake/normalised` up to date with the raw log; see `jobs.normalise.job.normalise`."""
    # The landing filter imports this package for its subject keys and needs nothing of what follows.
    from jobs.normalise.job import normalise

    return normalise(home, settings, run_id, progress)
