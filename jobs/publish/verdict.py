"""What the gate found: one result a check, its evidence, and the verdict over all of them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from jobs.errors import RapportError
from jobs.publish import files

SEVERITIES = ("critical", "hold", "warn")
SHOWN_COLUMNS = 4
RUNBOOK = "docs/runbooks/gate-failed.md"


class GateError(RapportError):
    """A critical check failed, or the gate could not check; nothing was published. `failed`: the texts of failed checks."""

    def __init__(self, text: str, failed: list[str] | None = None) -> None:
        super().__init__(text)
        self.failed = failed or []


@dataclass(frozen=True)
class Check:
    """One check and its outcome.

    `unexpected` counts the rows or facts that break `rule`; `examples` are a few of them; `evidence` is the file with
    more, relative to the run's folder; `observed` says in words what was found where rows cannot.
    """

    table: str
    name: str
    severity: str
    rule: str
    reason: str
    remedy: str
    unexpected: int = 0
    observed: str = ""
    examples: list[dict[str, Any]] = field(default_factory=list)
    evidence: str | None = None

    @property
    def failed(self) -> bool:
        return self.unexpected > 0

    def text(self) -> str:
        """The failure on one line: where, what, how many, and the first rows."""
        shown = "; ".join(", ".join(f"{k}={v}" for k, v in list(row.items())[:SHOWN_COLUMNS]) for row in self.examples[:3])
        found = self.observed or f"{self.unexpected} row{'' if self.unexpected == 1 else 's'}"
        return f"{self.table}: {self.name} ({self.rule}): {found}{f': {shown}' if shown else ''}"


@dataclass(frozen=True)
class GateResult:
    """The verdict on a candidate: `critical` stops, `hold` waits for a release, `pass` publishes."""

    run_id: str
    candidate: dict[str, Any]
    checks: list[Check]
    folder: Path

    @property
    def failures(self) -> list[Check]:
        """Failed checks, the most severe first."""
        return sorted((c for c in self.checks if c.failed), key=lambda c: (SEVERITIES.index(c.severity), c.table, c.name))

    @property
    def status(self) -> str:
        worst = self.failures[0].severity if self.failures else "warn"
        return "pass" if worst == "warn" else worst

    def count(self, severity: str) -> int:
        """How many checks of a severity failed."""
        return sum(c.severity == severity for c in self.failures)

    @property
    def passed(self) -> int:
        return sum(not c.failed for c in self.checks)

    def summary(self) -> str:
        """The verdict in a few words."""
        counts = ", ".join(f"{self.count(s)} {s}" for s in SEVERITIES if self.count(s))
        return f"{self.passed} of {len(self.checks)} checks passed{f', {counts}' if counts else ''}"

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table `quality_result`."""
        return [
            {
                "run_id": self.run_id,
                "table_name": c.table,
                "check_name": c.name,
                "severity": c.severity,
                "status": "failed" if c.failed else "passed",
                "unexpected_count": c.unexpected,
                "rule": c.rule,
                "reason": c.reason,
                "remedy": c.remedy,
                "observed": (c.observed or c.text()) if c.failed else None,
            }
            for c in self.checks
        ]

    def raise_critical(self) -> NoReturn:
        """Raise the error that fails the run."""
        critical = [c for c in self.failures if c.severity == "critical"]
        more = f" (and {len(critical) - 3} more)" if len(critical) > 3 else ""
        raise GateError(
            f"{len(critical)} critical check{'' if len(critical) == 1 else 's'} failed, nothing is published: "
            f"{' | '.join(c.text() for c in critical[:3])}{more}; rows in {self.folder}; see {RUNBOOK}",
            [c.text() for c in critical],
        )

    def save(self) -> None:
        """Keep the verdict beside its evidence."""
        stored = {
            "run_id": self.run_id,
            "candidate": self.candidate,
            "status": self.status,
            "checks": [asdict(c) for c in self.checks],
        }
        files.write_bytes(self.folder / "result.json", json.dumps(stored, indent=1, ensure_ascii=False, default=str).encode())


def run_folder(home: Path, run_id: str) -> Path:
    """Where the verdict and evidence of a run lie."""
    return home / "quality" / "".join(c if c.isalnum() or c in "-_." else "-" for c in run_id)


def fingerprint(candidate: Path) -> dict[str, Any]:
    """What tells a candidate from one that was written to after its check."""
    stat = candidate.stat()
    return {"path": str(candidate), "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def read_result(home: Path, run_id: str) -> GateResult | None:
    """The stored verdict of a run; None when its candidate was never checked."""
    folder = run_folder(home, run_id)
    if not (folder / "result.json").exists():
        return None
    stored = json.loads((folder / "result.json").read_text())
    return GateResult(stored["run_id"], stored["candidate"], [Check(**c) for c in stored["checks"]], folder)
