"""The gate over a candidate with every mart, beside one scan that counts the nulls of every column."""

from benchmarks.build import AS_OF, environment, lake_home
from benchmarks.measure import Measurement, measure
from benchmarks.report import Report
from benchmarks.workspace import Workspace

DEFAULT, FULL = 200_000, 10_000_000


def run(activities: int, work: Workspace) -> Report:
    """Measure on the marts of `activities` generated activities."""
    report = Report(f"gate: the marts of {activities:,} activities", "mart rows")
    home = lake_home(activities, work, "gate")
    known = environment(home)
    candidate = measure("benchmarks.build.rapport:marts", known, as_of=AS_OF, run_id="gate").outcome["candidate"]

    def taken(target: str) -> Measurement:
        return work.measured(lambda: measure(f"benchmarks.gate.{target}", known, candidate=candidate, as_of=AS_OF))

    floor = taken("scan:scan")
    checked = report.add("gate: every check", "ours", floor.outcome["rows"], taken("rapport:check"))
    report.add("DuckDB: rows and nulls of each mart", "floor", floor.outcome["rows"], floor)
    report.compare("gate", checked.seconds, "seconds", "under 60 at 10,000,000 activities")
    report.against("gate / one scan", checked, floor)
    report.notes.append(f"verdict: {checked.outcome['summary']}")
    report.notes += [f"failed: {text}" for text in checked.outcome["failures"]]
    return report
