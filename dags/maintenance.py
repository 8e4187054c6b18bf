"""Housekeeping once a week: compact the raw log, drop raw rows that nothing reads any more, old verdicts and abandoned candidates.

What was published and what a run computes stay the same.
"""

from datetime import datetime, timedelta

from airflow.sdk import dag, get_current_context, task

from jobs import tasks
from jobs.quality.notify import RapportNotifier


@dag(
    schedule="0 3 * * 0",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"on_failure_callback": RapportNotifier(), "retries": 2, "retry_delay": timedelta(minutes=30)},
    tags=["rapport", "maintenance"],
    doc_md=__doc__,
)
def maintenance():
    @task(pool="warehouse")
    def maintain_raw() -> dict:
        return tasks.maintain_raw(get_current_context()["run_id"])

    @task(pool="warehouse")
    def drop_gate_runs() -> dict:
        return tasks.drop_gate_runs()

    maintain_raw() >> drop_gate_runs()


maintenance()
