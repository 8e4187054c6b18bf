"""Verdicts and candidates of the past are dropped; what waits for a release stays."""

import os
from datetime import timedelta

from jobs import clock
from jobs.publish import release
from jobs.quality.retention import drop_old_gate_runs
from tests.publish.marts import DAY, candidate, context, read, settings
from tests.publish.test_protocol import publish_one


def aged(path, days):
    moment = (DAY - timedelta(days=days)).timestamp()
    os.utime(path, (moment, moment))
    return path


def test_the_last_verdicts_are_kept(tmp_path):
    for n in range(5):
        publish_one(tmp_path, f"r{n}", sent=n)
        aged(tmp_path / "quality" / f"r{n}", 10 - n)
    dropped = drop_old_gate_runs(settings(tmp_path, keep_quality_runs=2), DAY)
    assert dropped == {"runs": 3, "candidates": 0}
    assert sorted(f.name for f in (tmp_path / "quality").iterdir()) == ["r3", "r4"]
    assert drop_old_gate_runs(settings(tmp_path, keep_quality_runs=2), DAY) == {"runs": 0, "candidates": 0}


def test_abandoned_candidates_go_and_those_under_way_stay(tmp_path):
    old, young = (candidate(tmp_path, context(run_id)) for run_id in ("killed", "under-way"))
    aged(old, 3), aged(young, 1)
    assert drop_old_gate_runs(settings(tmp_path), DAY) == {"runs": 0, "candidates": 1}
    assert young.exists() and not old.exists()


def test_a_held_candidate_can_be_released_however_old_it_is(tmp_path):
    publish_one(tmp_path, "r1")
    publish_one(tmp_path, "r2", sent=5, severity="hold")
    for run, age in (("r1", 90), ("r2", 80), ("r3", 1)):
        (tmp_path / "quality" / run).mkdir(exist_ok=True)
        aged(tmp_path / "quality" / run, age)
    later = clock.now() + timedelta(days=90)
    assert drop_old_gate_runs(settings(tmp_path, keep_quality_runs=1), later) == {"runs": 1, "candidates": 0}
    assert release(tmp_path, settings(tmp_path), "wanted").status == "published"
    assert read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(5,)]
