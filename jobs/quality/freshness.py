"""Whether readers have what they were promised: a version that is not too old."""

from datetime import datetime

from jobs import runs
from jobs.errors import RapportError
from jobs.publish.versions import Published
from jobs.quality.notify import Notice
from jobs.settings import Settings


class StaleError(RapportError):
    """The published version is older than promised, or there is none; `notice` says so to people when the task fails."""

    def __init__(self, notice: Notice) -> None:
        super().__init__(notice.what)
        self.notice = notice


def staleness(settings: Settings, now: datetime) -> Notice | None:
    """A notice when the published version's as-of lies more than `max_published_age_hours` before `now`, else None."""
    current = Published(settings.home).current()
    if current is None:
        return _notice("nothing is published yet: run the DAG relationship_kpis", "published/current")
    hours = (now - runs.parse_instant(current.manifest["as_of"])).total_seconds() / 3600
    if hours <= settings.max_published_age_hours:
        return None
    what = f"the published version is {hours:.0f} hours old, promised are {settings.max_published_age_hours:.0f}"
    return _notice(what, current.name)


def check_freshness(settings: Settings, now: datetime) -> str:
    """The name of the fresh version; raises `StaleError` when it is too old or missing."""
    notice = staleness(settings, now)
    if notice is not None:
        raise StaleError(notice)
    return Published(settings.home).current_name() or ""


def _notice(what: str, where: str) -> Notice:
    return Notice("stale", what, where)
