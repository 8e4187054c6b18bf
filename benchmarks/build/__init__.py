"""Building the marts with dbt, in full and a day later, beside a hand-written DuckDB script and one aggregation."""

import shutil
from pathlib import Path

from benchmarks.measure import Measurement, measure
from benchmarks.report import Report
from benchmarks.workspace import Workspace, link_tree

DEFAULT, FULL = 200_000, 10_000_000
NEW_SHARE = 0.001
AS_OF, NEXT_DAY = "2026-07-06T00:00:00Z", "2026-07-07T00:00:00Z"


def lake_home(activities: int, work: Workspace, name: str) -> Path:
    """A fresh home whose lake is the generated one as of `AS_OF`."""
    new = max(10, round(activities * NEW_SHARE))
    generated = work.generated(f"lake-{activities}", "benchmarks.generate:lake", activities=activities, new_activities=new)
    home = work.fresh(name)
    link_tree(generated, home)
    use_snapshot(home, "base")
    return home


def use_snapshot(home: Path, name: str) -> None:
    """Make the manifest `base` or `day` the current one."""
    current = home / "lake" / "normalised" / "snapshot.json"
    current.unlink(missing_ok=True)
    shutil.copyfile(home / f"{name}.json", current)


def environment(home: Path) -> dict[str, str]:
    """What makes the settings of a child name `home`."""
    return {"RAPPORT_HOME": str(home.resolve())}


def run(activities: int, work: Workspace) -> Report:
    """Measure with `activities` generated activities, three participants each."""
    new = max(10, round(activities * NEW_SHARE))
    report = Report(f"build: {activities:,} activities, {new:,} more the day after", "activities")
    home = lake_home(activities, work, "build")
    known = environment(home)

    def ours(function: str, as_of: str = AS_OF, parsed: bool = False) -> Measurement:
        if not parsed:
            shutil.rmtree(home / "warehouse" / "dbt", ignore_errors=True)
        return measure(f"benchmarks.build.rapport:{function}", known, as_of=as_of, run_id=function)

    def peer(function: str) -> Measurement:
        return measure(
            f"benchmarks.build.duckdb_script:{function}",
            home=home,
            out=work.fresh("peer"),
            **({"as_of": AS_OF} if function == "marts" else {}),
        )

    core = report.add("dbt: the script's marts alone", "ours", activities, work.measured(lambda: ours("core_marts")))
    script = report.add("DuckDB script by hand", "peer", activities, work.measured(lambda: peer("marts")))
    floor = report.add("DuckDB: one aggregation", "floor", activities, work.measured(lambda: peer("aggregate")))
    full = report.add("dbt: all marts", "ours", activities, work.measured(lambda: ours("marts")))
    measure("benchmarks.build.rapport:become_base", known, candidate=full.outcome["candidate"], as_of=AS_OF)
    use_snapshot(home, "day")
    day = report.add("dbt: all marts, a day later", "ours", new, work.measured(lambda: ours("marts", NEXT_DAY, parsed=True)))
    report.against("dbt / script, the same marts", core, script, "at most 1.5")
    report.against("dbt, all marts / script", full, script)
    report.against("dbt, all marts / one aggregation", full, floor)
    report.compare("a day later / full", 100 * day.seconds / full.seconds, "%", "under 30 %")
    for name, rows in script.outcome.items():
        if core.outcome["rows"][name] != rows:
            report.notes.append(f"{name} has {core.outcome['rows'][name]:,} rows here and {rows:,} in the script")
    return report
