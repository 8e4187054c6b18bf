"""Alarm when the version that readers see is older than promised (`max_published_age_hours`), or when there is none."""

from datetime import datetime

from airflow.sdk import dag, task

from jobs import tasks
from jobs.quality.notify import RapportNotifier


@dag(
    schedule="15 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"on_failure_callback": RapportNotifier()},
    tags=["rapport", "watch"],
    doc_md=__doc__,
)
def published_freshness():
    @task
    def check() -> str:
        return tasks.check_freshness()

    check()


published_freshness()
