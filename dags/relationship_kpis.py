"""From the raw log to published KPI marts: normalise, dbt, gate, publish.

`as_of` computes for that instant; a scheduled or backfilled run computes for the end of its data interval, any other
for the instant up to which every stream is complete. An as-of before the published one is a backfill: it writes its
day of the history and moves no pointer.
"""

from datetime import datetime, timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, CronDataIntervalTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from jobs import tasks
from jobs.quality.notify import RapportNotifier
from jobs.runs import TooEarly

RAW_CRM = Asset(name="raw_crm", uri="rapport://lake/raw/dataverse")
RAW_EXCHANGE = Asset(name="raw_exchange", uri="rapport://lake/raw/graph")
MARTS = Asset(name="published_marts", uri="rapport://published/current")


@dag(
    schedule=AssetOrTimeSchedule(timetable=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"), assets=RAW_CRM | RAW_EXCHANGE),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    params={
        "as_of": Param(None, type=["null", "string"], description="Instant to compute for, ISO 8601; empty: chosen by the run")
    },
    default_args={"on_failure_callback": RapportNotifier(), "retries": 1, "retry_delay": timedelta(minutes=2)},
    tags=["rapport", "kpi"],
    doc_md=__doc__,
)
def relationship_kpis():
    @task
    def choose_as_of() -> dict:
        context = get_current_context()
        by_interval = context["dag_run"].run_type in ("scheduled", "backfill")
        interval_end = context["data_interval_end"] if by_interval else None
        try:
            return tasks.begin(context["run_id"], context["params"]["as_of"], interval_end)
        except TooEarly as early:
            raise (AirflowSkipException(str(early)) if by_interval else early) from None

    @task(pool="warehouse")
    def normalise(run: dict) -> dict:
        return tasks.normalise(run)

    @task(pool="warehouse")
    def build_marts(run: dict) -> dict:
        return tasks.build_marts(run)

    @task(pool="warehouse", retries=0)
    def gate(run: dict) -> dict:
        return tasks.gate(run)

    @task(pool="warehouse", outlets=[MARTS])
    def publish(run: dict) -> dict:
        return tasks.publish(run)

    publish(gate(build_marts(normalise(choose_as_of()))))


relationship_kpis()
