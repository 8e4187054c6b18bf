"""Every DAG file imports, holds the DAG that it is named after, and only wires."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DAGS = sorted((Path(__file__).parent.parent / "dags").glob("*.py"))

LIST = """
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
print("ERRORS", dict(bag.import_errors))
for dag in bag.dags.values():
    print("DAG", dag.dag_id, dag.fileloc.rsplit("/", 1)[1], dag.max_active_runs, len(dag.tasks))
"""


@pytest.fixture(scope="module")
def listing(tmp_path_factory) -> list[list[str]]:
    from jobs.orchestrate import airflow_environment

    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-c", LIST], env={**os.environ, **airflow_environment(home, "airflow")}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("ERRORS", "DAG"))]


def test_all_dag_files_import(listing):
    assert [rest for kind, rest in listing if kind == "ERRORS"] == ["{}"]


def test_file_name_is_dag_id_and_one_run_at_a_time(listing):
    found = {}
    for kind, rest in listing:
        if kind == "DAG":
            dag_id, file, active, tasks = rest.split()
            found[dag_id] = file
            assert int(active) == 1 and int(tasks) > 0, dag_id
    assert found == {p.stem: p.name for p in DAGS}


@pytest.mark.parametrize("file", DAGS, ids=lambda p: p.stem)
def test_a_dag_file_only_wires(file):
    lines = file.read_text().splitlines()
    assert 20 <= len(lines) <= 110
    assert not any(word in file.read_text() for word in ("import polars", "import duckdb", "datetime.now", "time.time"))


CHOICES = """
import sys
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.execution_time.context import set_current_context
from jobs import tasks
tasks.begin = tasks.begin_weeks = lambda run_id, as_of, interval_end: interval_end
choose = DagBag().dags[sys.argv[1]].get_task("choose_as_of").python_callable
for kind in DagRunType:
    context = {"dag_run": SimpleNamespace(run_type=kind), "run_id": "r", "params": {"as_of": None}, "data_interval_end": "end"}
    with set_current_context(context):
        print("CHOICE", kind.value, choose())
"""


@pytest.mark.parametrize(
    ("dag_id", "by_interval"), [("relationship_kpis", {"scheduled", "backfill"}), ("similar_won_deals", {"scheduled"})]
)
def test_a_run_of_the_scheduler_computes_for_the_end_of_its_interval(dag_id, by_interval, tmp_path):
    from jobs.orchestrate import airflow_environment

    environment = {**os.environ, **airflow_environment(tmp_path, "airflow")}
    done = subprocess.run(
        [sys.executable, "-c", CHOICES, dag_id], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    chosen = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("CHOICE"))
    assert {kind for kind, end in chosen.items() if end == "end"} == by_interval
    assert "manual" in chosen


@pytest.mark.parametrize("file", DAGS, ids=lambda p: p.stem)
def test_every_task_tells_of_its_failure(file):
    assert 'default_args={"on_failure_callback": RapportNotifier()' in file.read_text()
