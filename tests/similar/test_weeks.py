"""Which weeks a run computes (S1, S9, S10)."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs.similar.weeks import Week, behind, day_start, due_weeks, week_at


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("as_of", "zone", "week_of", "start"),
    [
        (utc(2026, 7, 6), "UTC", date(2026, 7, 6), utc(2026, 7, 6)),
        (utc(2026, 7, 5, 23, 59, 59), "UTC", date(2026, 6, 29), utc(2026, 6, 29)),
        (utc(2026, 7, 12, 23), "UTC", date(2026, 7, 6), utc(2026, 7, 6)),
        (utc(2026, 7, 5, 22), "Europe/Berlin", date(2026, 7, 6), utc(2026, 7, 5, 22)),
        (utc(2026, 7, 5, 21, 59, 59), "Europe/Berlin", date(2026, 6, 29), utc(2026, 6, 28, 22)),
        (utc(2026, 7, 6), "America/New_York", date(2026, 6, 29), utc(2026, 6, 29, 4)),
    ],
)
def test_s1_weekly_as_of_is_the_latest_monday_midnight(as_of, zone, week_of, start):
    assert week_at(as_of, zone) == Week(week_of, start)


def test_s10_a_midnight_that_the_clock_skips():
    start = day_start(date(2017, 10, 15), "America/Sao_Paulo")
    assert start == utc(2017, 10, 15, 3)
    assert start.astimezone(ZoneInfo("America/Sao_Paulo")).hour == 1


def test_s10_a_gap_that_begins_before_midnight():
    start = day_start(date(1919, 3, 31), "America/Toronto")
    local = start.astimezone(ZoneInfo("America/Toronto"))
    assert (local.date(), (start - timedelta(seconds=1)).astimezone(ZoneInfo("America/Toronto")).date()) == (
        date(1919, 3, 31),
        date(1919, 3, 30),
    )
    assert (local.hour, local.minute) == (0, 30)
    assert date(1919, 3, 31).weekday() == 0


def test_s10_every_monday_starts_with_its_first_instant():
    for zone in ("Asia/Beirut", "America/Havana", "Europe/Berlin", "Africa/Cairo", "America/Asuncion"):
        for n in range(520):
            monday = date(2015, 1, 5) + timedelta(weeks=n)
            start = day_start(monday, zone)
            assert start.astimezone(ZoneInfo(zone)).date() == monday
            assert (start - timedelta(seconds=1)).astimezone(ZoneInfo(zone)).date() == monday - timedelta(days=1)


def test_s9_the_first_run_computes_the_latest_week():
    assert [w.week_of for w in due_weeks([], utc(2026, 7, 8), "UTC", 400)] == [date(2026, 7, 6)]


def test_s9_later_runs_fill_the_weeks_between_in_order():
    found = due_weeks([date(2026, 6, 1), date(2026, 6, 15)], utc(2026, 7, 8), "UTC", 400)
    assert found == [Week(d, utc(d.year, d.month, d.day)) for d in (date(2026, 6, 22), date(2026, 6, 29), date(2026, 7, 6))]


@pytest.mark.parametrize("as_of", [utc(2026, 7, 8), utc(2026, 7, 6), utc(2026, 5, 1)])
def test_s9_nothing_is_due_when_the_week_or_a_later_one_is_written(as_of):
    assert due_weeks([date(2026, 7, 6)], as_of, "UTC", 400) == []


def test_s9_weeks_older_than_the_history_are_not_filled():
    found = [w.week_of for w in due_weeks([date(2026, 5, 4)], utc(2026, 7, 7), "UTC", 14)]
    assert found == [date(2026, 6, 29), date(2026, 7, 6)], "after 6 July less 14 days, 22 June is not"
    found = [w.week_of for w in due_weeks([date(2026, 5, 4)], utc(2026, 7, 6), "UTC", 14)]
    assert found == [date(2026, 6, 22), date(2026, 6, 29), date(2026, 7, 6)], "the reporting day is 5 July"


def test_s9_a_week_waits_for_every_stream_that_is_not_parked():
    week = week_at(utc(2026, 7, 8), "UTC")
    marks = [
        {"source": "dataverse", "stream": "accounts", "last_complete_round_started_at": utc(2026, 7, 6), "parked_reason": None},
        {"source": "graph", "stream": "users", "last_complete_round_started_at": utc(2026, 7, 5, 23, 59), "parked_reason": None},
        {"source": "graph", "stream": "messages/a", "last_complete_round_started_at": None, "parked_reason": "403"},
        {"source": "graph", "stream": "messages/b", "last_complete_round_started_at": None, "parked_reason": None},
    ]
    assert behind(week, marks) == ["graph messages/b", "graph users"]
    assert behind(week, marks[:1]) == []
