"""What the tasks tell one another about a run."""

import io

import pytest

from jobs import progress, tasks
from jobs.orchestrate import Display
from jobs.publish import publish, rollback
from jobs.publish.versions import Published
from jobs.quality.freshness import StaleError
from jobs.runs import TooEarly
from tests.normalise.home import land
from tests.normalise.test_snapshot import small_world
from tests.publish.marts import candidate, checked, context, settings, write_project


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RAPPORT_HOME", str(tmp_path))
    monkeypatch.setenv("RAPPORT_DBT_PROJECT_DIR", str(write_project(tmp_path / "dbt_project")))
    mark = {"source": "dataverse", "stream": "contacts", "last_complete_round_started_at": None, "parked_reason": None}
    monkeypatch.setattr("jobs.extract.overview.watermarks", lambda home: [mark])
    land(small_world(), tmp_path)
    return tmp_path


def next_run(run_id):
    return tasks.normalise(tasks.begin(run_id, "2026-07-06T00:00:00Z", None))


def publish_it(home, run):
    made = context(run["run_id"], opt_out=run["opt_out"])
    publish(checked(home, made, candidate(home, made, sent=int(run["run_id"][1:]))), home, made, settings(home))


def test_g5_only_the_first_run_published_after_a_changed_opt_out_is_never_held(home, monkeypatch):
    first = next_run("r1")
    assert not tasks._context(first, settings(home)).never_held
    publish_it(home, first)
    assert not tasks._context(next_run("r2"), settings(home)).never_held

    file = home / "opt_out.csv"
    file.write_text("kind,value\naddress,cleo@acme.example\n")
    monkeypatch.setenv("RAPPORT_PRIVACY_OPT_OUT_FILE", str(file))
    failed, second = next_run("r3"), next_run("r4")
    assert tasks._context(failed, settings(home)).never_held and tasks._context(second, settings(home)).never_held
    assert "cleo" not in str(second)
    publish_it(home, second)
    assert not tasks._context(next_run("r5"), settings(home)).never_held

    file.write_text("kind,value\n")
    assert tasks._context(next_run("r6"), settings(home)).never_held


def test_a_weekly_run_does_not_bring_back_what_was_rolled_back(home):
    for run_id in ("r1", "r2"):
        publish_it(home, next_run(run_id))
    first, second = (v.name for v in sorted(Published(home).versions(), key=lambda v: v.manifest["run_id"]))
    rollback(home, settings(home), first, "wrong figures")
    with pytest.raises(TooEarly, match=f"rolled back from {second} to {first}"):
        tasks.begin_weeks("w1", "2026-07-06T00:00:00Z", None)
    publish_it(home, next_run("r3"))
    assert tasks.begin_weeks("w1", "2026-07-06T00:00:00Z", None)["is_backfill"] is False


def test_a_weekly_version_says_what_its_kpi_marts_were_built_from(home, monkeypatch):
    publish_it(home, next_run("r1"))
    file = home / "opt_out.csv"
    file.write_text("kind,value\naddress,cleo@acme.example\n")
    monkeypatch.setenv("RAPPORT_PRIVACY_OPT_OUT_FILE", str(file))
    weekly = tasks._context(tasks.normalise(tasks.begin_weeks("w1", "2026-07-06T00:00:00Z", None)), settings(home))
    assert (weekly.snapshot_id, weekly.never_held) == ("snapshot-r1", False)
    assert tasks._context(next_run("r2"), settings(home)).never_held


def test_design_4_10_the_weekly_run_waits_for_kpi_marts_of_its_contract(home, monkeypatch):
    publish_it(home, next_run("r1"))
    monkeypatch.setattr("jobs.publish.CONTRACT_VERSION", "1.1")
    with pytest.raises(TooEarly, match=r"contract 1\.0, the code of 1\.1: run the DAG relationship_kpis"):
        tasks.begin_weeks("w1", "2026-07-06T00:00:00Z", None)


def test_an_alarm_about_age_is_a_stage_that_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("RAPPORT_HOME", str(tmp_path))
    display = Display(io.StringIO())
    monkeypatch.setattr(progress, "_current", display)
    with pytest.raises(StaleError):
        tasks.check_freshness()
    assert [(stage, str(error)[:28]) for stage, error in display.failures] == [
        ("check freshness", "nothing is published yet: ru")
    ]
