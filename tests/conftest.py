"""Shared worlds: each is run once a session and read by many tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny_tenant


def rapport(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the `rapport` command as a user would; settings from the tester's own environment do not reach it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAPPORT_", "AIRFLOW"))}
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        cwd=Path(__file__).parent.parent,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after `rapport demo` on the tiny tenant."""
    folder = tiny_tenant.write(tmp_path_factory.mktemp("tenant") / "tiny")
    home = tmp_path_factory.mktemp("home")
    done = rapport("demo", "--tenant", folder, "--home", home)
    assert done.returncode == 0, done.stdout + done.stderr
    return home
