"""The benchmarks at a tiny size: every row is there, and peers give the results that they are compared for."""

import json
import os
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

from benchmarks import build, extract, normalise
from benchmarks.__main__ import main
from benchmarks.build.duckdb_script import MARTS
from benchmarks.measure import MeasureError, measure, measure_again
from benchmarks.workspace import Workspace

pytestmark = pytest.mark.long


def hold(megabytes: int) -> dict[str, int]:
    """Touch so much memory."""
    return {"bytes": len(os.urandom(megabytes * 1_000_000))}


def fail(word: str) -> None:
    raise ValueError(word)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, runs=1)


def test_measures_peak_memory_of_the_child() -> None:
    little, much = (measure("tests.benchmarks.test_runners:hold", megabytes=size) for size in (1, 300))
    assert 250e6 < much.peak_bytes - little.peak_bytes < 350e6
    assert little.outcome == {"bytes": 1_000_000}
    assert much.seconds > 0 and much.startup_seconds > 0


def test_a_failure_is_told() -> None:
    with pytest.raises(MeasureError, match="ValueError: what went wrong"):
        measure("tests.benchmarks.test_runners:fail", word="what went wrong")


def test_only_cheap_things_are_measured_again() -> None:
    cheap = measure("tests.benchmarks.test_runners:hold", megabytes=1)
    assert measure_again(lambda: cheap, 3).runs == 3
    slow = type(cheap)(60.0, 0.1, 60.0, 1, {})
    assert measure_again(lambda: slow, 3).runs == 1


def test_normalise_agrees_with_pandas(work: Workspace) -> None:
    report = normalise.run(800, work)
    assert [row.role for row in report.rows] == ["ours", "ours", "ours", "floor", "peer"]
    assert report.notes == []
    root = work.folder / "normalise" / "lake" / "normalised"
    files = json.loads((root / "snapshot.json").read_text())["tables"]

    def ours(name: str, *columns: str) -> set[tuple[object, ...]]:
        frame = pl.read_parquet([root / file for file in files[name]], hive_partitioning=False)
        return set(frame.select(columns).iter_rows())

    def theirs(name: str, *columns: str) -> set[tuple[object, ...]]:
        return set(pl.read_parquet(work.folder / "peer" / f"{name}.parquet").select(columns).iter_rows())

    for name, *columns in (
        ("activity", "activity_id", "occurred_at", "is_automated", "is_bulk"),
        ("activity_participant", "activity_id", "address", "role"),
        ("activity_thread", "activity_id", "thread_id"),
    ):
        assert ours(name, *columns) == theirs(name, *columns), name
    sides = {address: side for address, side in ours("person_address", "address", "side")}
    assert all(sides[address] == side for address, side in theirs("person_address", "address", "side"))


def test_build_agrees_with_the_script_and_passes_the_gate(work: Workspace) -> None:
    home = build.lake_home(2_000, work, "build")
    known = build.environment(home)
    built = measure("benchmarks.build.rapport:marts", known, as_of=build.AS_OF, run_id="build").outcome["candidate"]
    out = work.fresh("peer")
    rows = measure("benchmarks.build.duckdb_script:marts", home=home, as_of=build.AS_OF, out=out).outcome
    assert all(rows.values())
    with duckdb.connect() as con:
        con.execute(f"SET TimeZone = 'UTC'; ATTACH '{built}' AS dbt (READ_ONLY); ATTACH '{out}/marts.duckdb' AS hand (READ_ONLY)")
        for name in MARTS:
            columns = con.execute(f"DESCRIBE dbt.main.{name}").fetchall()
            listed = ", ".join(f"round({c}, 9)" if kind == "DOUBLE" else c for c, kind, *_ in columns)
            dbt, hand = (f"SELECT {listed} FROM {side}.main.{name}" for side in ("dbt", "hand"))
            different = con.execute(f"SELECT count(*) FROM (({dbt} EXCEPT {hand}) UNION ALL ({hand} EXCEPT {dbt}))").fetchone()[0]
            assert (name, different) == (name, 0)
    floor = measure("benchmarks.build.duckdb_script:aggregate", home=home, out=work.fresh("floor"))
    assert floor.outcome["rows"] > 0
    checked = measure("benchmarks.gate.rapport:check", known, candidate=built, as_of=build.AS_OF).outcome
    assert not [text for text in checked["failures"] if not text.startswith("warn")]
    assert measure("benchmarks.gate.scan:scan", known, candidate=built, as_of=build.AS_OF).outcome["rows"] > sum(rows.values())


def test_extract(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "find_spec", lambda name: None)
    report = extract.run(400, work)
    assert [row.role for row in report.rows] == ["ours", "ours", "floor"]
    assert report.rows[0].count >= 1_500
    assert report.rows[0].measured.outcome["records"] > 0
    assert "dlt is not installed" in report.notes[0]


def test_command_prints_a_table_and_writes_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = CliRunner().invoke(main, ["similar", "--size", "100", "--runs", "1", "--json", str(file)], catch_exceptions=False)
    assert done.exit_code == 0 and "similar" in done.output and "peak MB" in done.output
    assert json.loads(file.read_text())["similar"]["rows"]


def test_a_failing_benchmark_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(size: int, work: Workspace) -> None:
        measure("tests.benchmarks.test_runners:fail", word=f"at size {size}")

    monkeypatch.setattr(normalise, "run", run)
    monkeypatch.setattr(build, "run", run)
    done = CliRunner().invoke(main, ["normalise", "build"])
    assert done.exit_code == 1
    assert "normalise: " in done.output and "build: " in done.output and f"ValueError: at size {build.DEFAULT}" in done.output
    assert "failed: normalise, build" in done.output


@pytest.mark.long
def test_every_benchmark_by_the_command(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = CliRunner().invoke(main, ["all", "--size", "1000", "--runs", "1", "--json", str(file)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    assert list(figures) == ["normalise", "build", "extract", "gate", "similar"]
    assert all(row["measured"]["seconds"] > 0 for report in figures.values() for row in report["rows"])
    assert not [note for report in figures.values() for note in report["notes"] if "differ" in note or " in the script" in note]
