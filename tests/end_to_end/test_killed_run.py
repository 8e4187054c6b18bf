"""A run that is killed at a stage boundary, and started again, publishes what an undisturbed run does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.server import Server
from tests import tiny_tenant
from tests.conftest import rapport
from tests.end_to_end.test_wrong_input import connected

DAGS = ("extract_crm", "extract_exchange", "relationship_kpis")


def versions(home: Path) -> list[dict]:
    """Manifests of the kept versions, oldest first."""
    kept = [json.loads(file.read_text()) for file in (home / "published" / "versions").glob("*/manifest.json")]
    return sorted(kept, key=lambda manifest: manifest["published_at"])


def content(home: Path) -> str:
    """Hash over the marts of the current version."""
    return json.loads((home / "published" / "current" / "manifest.json").read_text())["content_hash"]


BOUNDARIES = [
    pytest.param("extract Dataverse", marks=pytest.mark.long),
    "extract Exchange",
    pytest.param("normalise", marks=pytest.mark.long),
    "build marts",
    "gate",
]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_after(boundary, tmp_path, tiny_home):
    tenant = tiny_tenant.write(tmp_path / "tiny")
    home = tmp_path / "home"
    with Server(tenant) as server:
        environment = connected(server.url, home, RAPPORT_CALENDAR_PAST_DAYS="1460", RAPPORT_CALENDAR_FUTURE_DAYS="365")
        killed = subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", "run", *DAGS], env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        seen = ""
        for line in killed.stdout:
            seen += line
            if line.split()[:1] == ["done"] and boundary in line:
                killed.kill()
                break
        killed.wait()
        assert boundary in seen and not (home / "published" / "current").exists()
        done = rapport("run", *DAGS, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert content(home) == versions(tiny_home)[0]["content_hash"]


def test_maintenance_and_a_second_demo_publish_nothing_new(tiny_home):
    before = (os.readlink(tiny_home / "published" / "current"), content(tiny_home), len(versions(tiny_home)))
    tenant = tiny_home.parent / "tenant0" / "tiny"
    done = rapport("run", "maintenance", RAPPORT_HOME=str(tiny_home), RAPPORT_KEEP_CANDIDATE_DAYS="1")
    assert done.returncode == 0 and "maintain raw log" in done.stdout, done.stdout + done.stderr
    done = rapport("demo", "--tenant", tenant, "--home", tiny_home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (os.readlink(tiny_home / "published" / "current"), content(tiny_home), len(versions(tiny_home))) == before
