"""What a run knows about itself when it reaches the gate."""

import json
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from jobs import runs

CONTRACT_VERSION = "1.0"


@dataclass(frozen=True)
class RunContext:
    """The facts of a run that the gate judges by and that a version's manifest records.

    `watermarks` and `parked` are dicts with `source`, `stream`, `last_complete_round_started_at` and `parked_reason`.
    `is_erasure`: older versions go once this run has published.
    `replayed`: a captured tenant, whose sources have no age. `is_backfill`: an as-of before the published one.
    `never_held`: an erasure or the first run after a changed opt-out list, whose drops are wanted (G5). `opt_out`: digest
    of who had opted out when the KPI marts were built.
    `stages` are dicts with `stage`, `seconds` and further counts.
    """

    run_id: str
    as_of: datetime
    as_of_date: date
    reporting_timezone: str = "UTC"
    tier: str = "basic"
    snapshot_id: str = ""
    watermarks: list[dict[str, Any]] = field(default_factory=list)
    completeness: str = "complete"
    parked: list[dict[str, Any]] = field(default_factory=list)
    history_start: date | str | None = None
    replayed: bool = False
    is_backfill: bool = False
    never_held: bool = False
    is_erasure: bool = False
    opt_out: str = ""
    contract_version: str = CONTRACT_VERSION
    stages: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.history_start, str):
            object.__setattr__(self, "history_start", date.fromisoformat(self.history_start[:10]))

    def source_watermarks(self) -> list[dict[str, Any]]:
        """`source`, kind of stream as `stream`, and the earliest start of a last complete round of that kind.

        Streams that are parked are left out; a mailbox has streams of its own, which are not told apart.
        """
        earliest: dict[tuple[str, str], str] = {}
        for mark in self.to_json()["watermarks"]:
            kind, started = (mark["source"], mark["stream"].split("/")[0]), mark["last_complete_round_started_at"]
            if started and not mark.get("parked_reason"):
                earliest[kind] = min(earliest.get(kind, started), started)
        return [
            {"source": source, "stream": kind, "last_complete_round_started_at": at}
            for (source, kind), at in sorted(earliest.items())
        ]

    def to_json(self) -> dict[str, Any]:
        """The context as JSON values."""
        return json.loads(json.dumps(asdict(self), default=_plain))

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "RunContext":
        """The context that `to_json` gave."""
        return cls(
            **{**stored, "as_of": runs.parse_instant(stored["as_of"]), "as_of_date": date.fromisoformat(stored["as_of_date"])}
        )


def _plain(value: object) -> str:
    return runs.instant_text(value) if isinstance(value, datetime) else str(value)
