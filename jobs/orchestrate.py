"""Run the DAGs in this process, without a scheduler, and show how far they are.

The DAGs are those that a scheduler runs; only the metadata database is separate (`airflow-inprocess/`), because a
scheduler would adopt runs that it finds in its own.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from jobs import progress
from jobs.errors import RapportError
from jobs.locks import held
from jobs.settings import PROJECT_ROOT

IN_PROCESS = "airflow-inprocess"
POOLS = {
    "graph": (4, "mailbox groups read from Microsoft Graph at a time"),
    "warehouse": (1, "one writer of the candidate warehouse"),
}


class RunFailed(RapportError):
    """A DAG run failed; the text is the failure of the stage that stopped it."""


class Display(progress.Progress):
    """A line per stage on a terminal, with a bar where the total is known; plain lines elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self.console = Console(file=out, highlight=False)
        self.bars = Progress(
            SpinnerColumn(), TextColumn("{task.description:<24}"), BarColumn(bar_width=24), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
            console=self.console, transient=True,
        )  # fmt: skip
        self.running: dict[str, TaskID] = {}
        self.failures: list[tuple[str, BaseException]] = []

    def start(self, stage: str) -> None:
        self.running[stage] = self.bars.add_task(stage, total=None, note="")

    def step(self, stage: str, done: int, total: int | None = None, note: str = "") -> None:
        if stage in self.running:
            self.bars.update(self.running[stage], completed=done, total=total, note=note)

    def _end(self, stage: str) -> None:
        task = self.running.pop(stage, None)
        if task is not None:
            self.bars.remove_task(task)

    def finish(self, stage: str, seconds: float, note: str) -> None:
        self._end(stage)
        self.console.print(f"  [green]done[/]    {stage:<24} {seconds:7.1f} s  {note}", soft_wrap=True)

    def fail(self, stage: str, error: BaseException) -> None:
        self._end(stage)
        self.failures.append((stage, error))
        self.console.print(f"  [red]failed[/]  {stage}", markup=True)


def airflow_environment(home: Path, folder: str) -> dict[str, str]:
    """Environment of an Airflow that keeps everything under `home/folder` and stays quiet and offline."""
    airflow_home = (home / folder).resolve()
    return {
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "180",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home}/airflow.db",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "RAPPORT_HOME": str(home.resolve()),
    }


@contextmanager
def output_to(log_file: Path) -> Iterator[TextIO]:
    """Send everything the process prints to `log_file` and yield a stream to the terminal as it was."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal, errors = os.dup(1), os.dup(2)
    with open(log_file, "ab") as sink, os.fdopen(terminal, "w", buffering=1, closefd=False) as shown:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield shown
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(terminal, 1)
            os.dup2(errors, 2)
            os.close(terminal)
            os.close(errors)


@contextmanager
def _run_lock(home: Path) -> Iterator[None]:
    """Hold the lock of in-process runs; raises `RapportError` when another has it."""
    with held(home / "run.lock", f"using {home}"):
        yield


def forget_runs(home: Path) -> None:
    """Remove what in-process runs leave: their metadata database, in which tasks tell each other mailboxes, and their log."""
    with _run_lock(home):
        for folder in (IN_PROCESS, "logs"):
            shutil.rmtree(home / folder, ignore_errors=True)


def run_dags(
    dag_ids: list[str], home: Path, *, conf: dict[str, dict[str, Any]] | None = None, log_file: Path | None = None
) -> None:
    """Run DAGs one after the other in this process; the first failure ends it.

    `conf` gives parameters by DAG. Raises `RunFailed`, or `RapportError` when another run holds the home.
    """
    with _run_lock(home):
        os.environ.update(airflow_environment(home, IN_PROCESS))
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
        with output_to(log_file or home / "logs" / "run.log") as terminal:
            display = Display(terminal)
            progress.show_on(display)
            try:
                with display.bars:
                    _run(dag_ids, conf or {}, display)
            finally:
                progress.show_on(progress.Progress())


def _run(dag_ids: list[str], conf: dict[str, dict[str, Any]], display: Display) -> None:
    with progress.stage("start Airflow"):
        from airflow.dag_processing.dagbag import DagBag
        from airflow.utils.db import upgradedb

        upgradedb()
        create_pools()
        bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    if bag.import_errors:
        file, text = next(iter(bag.import_errors.items()))
        raise RunFailed(f"{Path(file).name} does not import: {text.strip().splitlines()[-1]}")
    for dag_id in dag_ids:
        if dag_id not in bag.dags:
            raise RunFailed(f"there is no DAG {dag_id}; there are {', '.join(sorted(bag.dags))}")
        display.console.print(f"[bold]{dag_id}[/]")
        for task in bag.dags[dag_id].tasks:
            without_retries(task)
        outcome = bag.dags[dag_id].test(run_conf=conf.get(dag_id, {}))
        if str(outcome.state) != "success":
            stage, error = display.failures[0] if display.failures else (dag_id, RunFailed("see the log"))
            raise RunFailed(f"{stage}: {' '.join(str(error).split())}") from error


def without_retries(task: Any) -> None:
    """Let a failure end the run at once: without a scheduler a retry would block until its delay is over."""
    if hasattr(task, "partial_kwargs"):
        task.partial_kwargs["retries"] = 0
    else:
        task.retries = 0


def create_pools() -> None:
    """Make the pools that the DAGs name, as `airflow pools set` would."""
    from airflow.models.pool import Pool

    for name, (slots, why) in POOLS.items():
        Pool.create_or_update_pool(name, slots, why, include_deferred=False)
