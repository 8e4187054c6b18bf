"""What a run computes for: its as-of, its reporting day, and whether it is a backfill."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jobs.errors import RapportError


class AsOfError(RapportError):
    """No as-of can be chosen."""


class TooEarly(RapportError):
    """What a run builds on does not exist yet; a scheduled run lets its turn pass, any other fails."""


def parse_instant(text: str) -> datetime:
    """An ISO 8601 instant as UTC in whole seconds; one without an offset is UTC."""
    try:
        parsed = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise AsOfError(f"as_of {text!r} is no ISO 8601 instant; write it like 2026-07-06T00:00:00Z") from None
    aware = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    return aware.replace(microsecond=0)


def instant_text(instant: datetime) -> str:
    """The one spelling of instants in run records and dbt vars."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_of_date(as_of: datetime, reporting_timezone: str) -> date:
    """The reporting day that holds the last instant before `as_of`; at midnight that is the day before."""
    return (as_of - timedelta(microseconds=1)).astimezone(ZoneInfo(reporting_timezone)).date()


def choose_as_of(
    *,
    param: str | None,
    interval_end: datetime | None,
    configured: datetime | None,
    watermarks: list[dict[str, Any]],
    published_as_of: datetime | None,
) -> datetime:
    """The instant to compute for.

    The DAG parameter wins; then the data interval's end of a scheduled or backfilled run (`interval_end`, None for
    others); then the configured one, which a replayed tenant brings; else the earliest start over the streams not
    parked of their last complete round, never before what is published.
    """
    if not watermarks:
        raise TooEarly("nothing has been extracted yet: run extract_crm (and extract_exchange) first")
    if param:
        return parse_instant(param)
    if interval_end is not None:
        return interval_end.astimezone(UTC).replace(microsecond=0)
    if configured is not None:
        return configured.replace(tzinfo=configured.tzinfo or UTC).astimezone(UTC).replace(microsecond=0)
    starts = [
        w["last_complete_round_started_at"]
        for w in watermarks
        if w["last_complete_round_started_at"] and not w.get("parked_reason")
    ]
    if not starts:
        raise AsOfError("no stream has a complete round yet: run extract_crm (and extract_exchange) first, or give as_of")
    earliest = min(starts).astimezone(UTC).replace(microsecond=0)
    return max(earliest, published_as_of) if published_as_of else earliest


def published_manifest(home: Path) -> dict[str, Any] | None:
    """The manifest of the version that readers see, None before the first publication."""
    path = home / "published" / "current" / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else None
