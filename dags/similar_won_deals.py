"""The weekly table of similar won deals, then a version with the current KPI marts and all weeks.

A run computes the weeks that are missing since the last one written, each at its own Monday; weeks once written stay.
"""

from datetime import datetime, timedelta

from airflow.sdk import CronDataIntervalTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from jobs import tasks
from jobs.quality.notify import RapportNotifier
from jobs.runs import TooEarly
from jobs.settings import Settings


@dag(
    schedule=CronDataIntervalTimetable("0 2 * * 1", timezone=Settings().reporting_timezone),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    params={"as_of": Param(None, type=["null", "string"], description="Instant whose latest Monday is the week to reach")},
    default_args={"on_failure_callback": RapportNotifier(), "retries": 1, "retry_delay": timedelta(minutes=10)},
    tags=["rapport", "similar"],
    doc_md=__doc__,
)
def similar_won_deals():
    @task
    def choose_as_of() -> dict:
        context = get_current_context()
        is_scheduled = context["dag_run"].run_type == "scheduled"
        interval_end = context["data_interval_end"] if is_scheduled else None
        try:
            return tasks.begin_weeks(context["run_id"], context["params"]["as_of"], interval_end)
        except TooEarly as early:
            raise (AirflowSkipException(str(early)) if is_scheduled else early) from None

    @task(pool="warehouse")
    def normalise(run: dict) -> dict:
        return tasks.normalise(run)

    @task(pool="warehouse")
    def compute_weeks(run: dict) -> dict:
        return tasks.compute_weeks(run)

    @task(pool="warehouse", retries=0)
    def gate(run: dict) -> dict:
        return tasks.gate(run)

    @task(pool="warehouse")
    def publish(run: dict) -> dict:
        return tasks.publish(run)

    publish(gate(compute_weeks(normalise(choose_as_of()))))


similar_won_deals()
