"""Normalising mailbox copies, in full and a day later, beside a DuckDB floor and the same core rules in pandas."""

import shutil

from benchmarks.measure import Measurement, measure
from benchmarks.report import Report
from benchmarks.workspace import Workspace, link_tree

DEFAULT, FULL = 200_000, 1_000_000
NEW_SHARE = 0.003
"""Share of the copies that arrive on the day after."""


def run(copies: int, work: Workspace) -> Report:
    """Measure with `copies` generated mailbox copies."""
    new = max(1, round(copies * NEW_SHARE))
    raw = work.generated(f"raw-{copies}", "benchmarks.generate:raw_log", copies=copies, new_copies=new)
    report = Report(f"normalise: {copies:,} mailbox copies, {new:,} more the day after", "copies")

    def in_full() -> Measurement:
        link_tree(raw / "first", work.fresh("normalise"))
        return measure("benchmarks.normalise.rapport:normalise", home=work.folder / "normalise")

    def day_after() -> Measurement:
        home = work.fresh("normalise-day")
        shutil.copytree(work.folder / "normalise", home, dirs_exist_ok=True)
        link_tree(raw / "day", home)
        return measure("benchmarks.normalise.rapport:normalise", home=home)

    def again() -> Measurement:
        return measure("benchmarks.normalise.rapport:normalise", home=work.folder / "normalise-day")

    def peer(target: str) -> Measurement:
        return measure(target, home=raw / "first", out=work.fresh("peer"))

    ours = report.add("full", "ours", copies, work.measured(in_full))
    day = report.add("a day later", "ours", new, work.measured(day_after))
    nothing = report.add("nothing new", "ours", 0, work.measured(again))
    floor = report.add(
        "DuckDB: read, parse, write", "floor", copies, work.measured(lambda: peer("benchmarks.normalise.duckdb_floor:parse"))
    )
    pandas = report.add(
        "pandas: the core rules", "peer", copies, work.measured(lambda: peer("benchmarks.normalise.pandas_rules:normalise"))
    )
    report.against("full / DuckDB floor", ours, floor, "at most 2.0")
    report.against("pandas / full", pandas, ours, "at least 10")
    report.compare("a day later / full", 100 * day.seconds / ours.seconds, "%")
    work_of_day = day.seconds - nothing.seconds
    report.compare("  beside what a run with nothing new takes", 100 * work_of_day / ours.seconds, "%", "under 3")
    cpu_of_day = day.cpu_seconds - nothing.cpu_seconds
    report.compare("  the same by processor seconds", 100 * cpu_of_day / ours.cpu_seconds, "%")
    for name in ("activities", "participants", "threads"):
        if ours.outcome[name] != pandas.outcome[name]:
            report.notes.append(f"{name} differ: {ours.outcome[name]:,} here, {pandas.outcome[name]:,} in pandas")
    return report
