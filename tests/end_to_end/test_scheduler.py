"""The DAGs under a real scheduler: they start by themselves, survive a killed task, and can be backfilled."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from sandbox.server import Server
from tests import tiny_tenant
from tests.conftest import rapport
from tests.end_to_end.test_wrong_input import connected, free_port

pytestmark = pytest.mark.long


class Scheduler:
    """`rapport airflow standalone` on a home, and what its metadata database says."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home, self.environment = home, environment

    def rows(self, query: str) -> list[tuple]:
        with sqlite3.connect(f"file:{self.home}/airflow/airflow.db?mode=ro", uri=True) as con:
            return con.execute(query).fetchall()

    def tries(self, task: str, state: str) -> list[int]:
        """The try numbers of the KPI DAG's instances of `task` that are in `state`."""
        query = f"select try_number from task_instance where dag_id = 'relationship_kpis' and task_id = '{task}' and state = '{state}'"
        return [row[0] for row in self.rows(query)]

    def wait(self, what: str, happened: Callable[[], object], seconds: float = 420) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if happened():
                    return
            except sqlite3.OperationalError:
                pass
            time.sleep(0.5)
        pytest.fail(
            f"no {what} within {seconds:.0f} s: {self.rows('select dag_id, task_id, try_number, state from task_instance')}"
        )


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    tenant = tiny_tenant.write(tmp_path / "tiny")
    port = str(free_port())
    with Server(tenant) as server:
        environment = connected(server.url, tmp_path / "home", AIRFLOW__API__PORT=port)
        environment |= {"AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}"}
        del environment["RAPPORT_AS_OF"]
        log = (tmp_path / "standalone.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", "airflow", "standalone"],
            env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield Scheduler(tmp_path / "home", environment)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
            process.wait()


def test_scheduler_publishes_survives_a_killed_task_and_backfills(scheduler):
    current = scheduler.home / "published" / "current"
    scheduler.wait("publication", current.exists)

    assert rapport("airflow", "dags", "trigger", "relationship_kpis", **scheduler.environment).returncode == 0
    scheduler.wait("running build", lambda: scheduler.tries("build_marts", "running"))
    workload = UUID(scheduler.rows("select id from task_instance where task_id = 'build_marts' and state = 'running'")[0][0])
    before = os.readlink(current)
    scheduler.wait("worker", lambda: subprocess.run(["pkill", "-KILL", "-f", f"airflow worker -- {workload}"]).returncode == 0)
    scheduler.wait("retry", lambda: scheduler.tries("build_marts", "up_for_retry"))
    assert os.readlink(current) == before
    scheduler.wait("second try", lambda: 2 in scheduler.tries("build_marts", "success"))

    days = ["--from-date", "2026-06-20", "--to-date", "2026-06-21"]
    command = ["airflow", "backfill", "create", "--dag-id", "relationship_kpis", *days]
    runs = "select state from dag_run where run_type = 'backfill'"
    dry = rapport(*command, "--dry-run", **scheduler.environment)
    assert "2026-06-20" in dry.stdout and "2026-06-21" in dry.stdout and scheduler.rows(runs) == []
    scheduler.wait("end of runs", lambda: not scheduler.rows("select 1 from dag_run where state in ('running', 'queued')"))
    before = json.loads((current / "manifest.json").read_text())
    assert rapport(*command, **scheduler.environment).returncode == 0
    scheduler.wait("backfill", lambda: scheduler.rows(runs) == [("success",)] * 2)
    assert json.loads((current / "manifest.json").read_text()) == before

    days = "select distinct as_of_date from read_parquet(?, hive_partitioning = true) where as_of_date < '2026-07-01' order by 1"
    found = duckdb.execute(days, [f"{scheduler.home}/lake/history/kpi/*/*.parquet"]).fetchall()
    assert [str(day) for (day,) in found] == ["2026-06-20", "2026-06-21"]
