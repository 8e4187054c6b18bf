"""The as-of of a run and its reporting day."""

from datetime import UTC, date, datetime

import pytest

from jobs.runs import AsOfError, TooEarly, as_of_date, choose_as_of, instant_text, parse_instant


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def mark(start: str | None, parked: str | None = None) -> dict:
    return {
        "source": "graph",
        "stream": "s",
        "last_complete_round_started_at": utc(start) if start else None,
        "parked_reason": parked,
    }


def choose(**given):
    defaults = {"param": None, "interval_end": None, "configured": None, "watermarks": [mark(None)], "published_as_of": None}
    return choose_as_of(**{**defaults, **given})


def test_reporting_day_of_midnight_is_the_day_before():
    assert as_of_date(utc("2026-07-06T00:00:00"), "UTC") == date(2026, 7, 5)
    assert as_of_date(utc("2026-07-06T00:00:01"), "UTC") == date(2026, 7, 6)


def test_reporting_day_follows_the_zone():
    assert as_of_date(utc("2026-07-05T22:30:00"), "Europe/Berlin") == date(2026, 7, 6)
    assert as_of_date(utc("2026-07-06T03:00:00"), "America/New_York") == date(2026, 7, 5)


def test_parameter_wins_over_interval_and_setting():
    chosen = choose(param="2026-01-01T00:00:00Z", interval_end=utc("2026-02-01T00:00:00"), configured=utc("2026-03-01T00:00:00"))
    assert chosen == utc("2026-01-01T00:00:00")


def test_interval_end_wins_over_the_setting_of_a_replayed_tenant():
    assert choose(interval_end=utc("2026-02-01T00:00:00"), configured=utc("2026-03-01T00:00:00")) == utc("2026-02-01T00:00:00")


def test_earliest_complete_stream_decides_and_parked_ones_do_not():
    marks = [mark("2026-05-02T10:00:00"), mark("2026-05-02T09:00:00"), mark("2026-01-01T00:00:00", "403"), mark(None)]
    assert choose(watermarks=marks) == utc("2026-05-02T09:00:00")


def test_never_before_the_published_version():
    assert choose(watermarks=[mark("2026-05-02T09:00:00")], published_as_of=utc("2026-05-03T00:00:00")) == utc(
        "2026-05-03T00:00:00"
    )


def test_nothing_to_choose_from_is_an_error_that_says_what_to_run():
    with pytest.raises(AsOfError, match="extract_crm"):
        choose(watermarks=[mark(None)])


@pytest.mark.parametrize("given", [{}, {"param": "2026-01-01T00:00:00Z"}, {"interval_end": utc("2026-02-01T00:00:00")}])
def test_it_is_too_early_before_anything_was_extracted(given):
    with pytest.raises(TooEarly, match="extract_crm"):
        choose(watermarks=[], **given)


def test_instants_are_whole_seconds_in_utc():
    assert instant_text(parse_instant("2026-07-06T02:00:00.9+02:00")) == "2026-07-06T00:00:00Z"
    with pytest.raises(AsOfError, match="tomorrow"):
        parse_instant("tomorrow")
