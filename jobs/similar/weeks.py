"""Which weeks there are, and which of them a run computes (S9, S10)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from jobs import runs

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Week:
    """A week: the date of its Monday, and the instant at which that day starts, its as-of (UTC)."""

    week_of: date
    as_of: datetime


def day_start(day: date, reporting_timezone: str) -> datetime:
    """The first instant of a local day, UTC: midnight, or where the clock skips it the moment after the gap (S10)."""
    zone = ZoneInfo(reporting_timezone)
    midnight = datetime.combine(day, time(), zone).astimezone(UTC)
    if midnight.astimezone(zone).replace(tzinfo=None) == datetime.combine(day, time()):
        return midnight
    before, after = int((midnight - timedelta(days=2)).timestamp()), int((midnight + timedelta(days=2)).timestamp())
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).date() < day:
            before = middle
        else:
            after = middle
    return datetime.fromtimestamp(after, UTC)


def week_at(as_of: datetime, reporting_timezone: str) -> Week:
    """The latest week that has begun by `as_of`; at the first instant of a Monday, the week that begins then (S1)."""
    today = as_of.astimezone(ZoneInfo(reporting_timezone)).date()
    monday = today - timedelta(days=today.weekday())
    if day_start(monday, reporting_timezone) > as_of:
        monday -= WEEK
    return Week(monday, day_start(monday, reporting_timezone))


def due_weeks(written: Sequence[date], as_of: datetime, reporting_timezone: str, history_days: int) -> list[Week]:
    """The weeks to compute, in order: the latest one when none is written, else all after the last written one (S9).

    Weeks that `history_days` have passed by, counted from the reporting day of `as_of`, are left out.
    """
    latest = week_at(as_of, reporting_timezone)
    oldest = runs.as_of_date(as_of, reporting_timezone) - timedelta(days=history_days)
    monday = max(written) + WEEK if written else latest.week_of
    mondays = []
    while monday <= latest.week_of:
        mondays.append(monday)
        monday += WEEK
    return [Week(m, day_start(m, reporting_timezone)) for m in mondays if m > oldest]


def behind(week: Week, watermarks: Iterable[Mapping[str, Any]]) -> list[str]:
    """The streams, not parked, without a complete round that started at or after the week's as-of, as `source stream` (S9)."""
    return sorted(
        f"{mark['source']} {mark['stream']}"
        for mark in watermarks
        if not mark.get("parked_reason")
        and (mark["last_complete_round_started_at"] is None or mark["last_complete_round_started_at"] < week.as_of)
    )
