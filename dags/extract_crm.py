"""Extract the Dataverse tables into the raw log by change tracking.

The asset is emitted once, by the last task, even when nothing changed.
"""

from datetime import datetime, timedelta

from airflow.sdk import Asset, BaseHook, dag, get_current_context, task

from jobs import tasks
from jobs.quality.notify import RapportNotifier

RAW_CRM = Asset(name="raw_crm", uri="rapport://lake/raw/dataverse")


@dag(
    schedule="0 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"on_failure_callback": RapportNotifier(), "retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["rapport", "extract"],
    doc_md=__doc__,
)
def extract_crm():
    @task
    def extract_tables() -> dict:
        connection = BaseHook.get_connection("dataverse_default")
        return tasks.extract_crm(connection.as_json(), get_current_context()["run_id"])

    @task(outlets=[RAW_CRM])
    def land(report: dict) -> dict:
        return tasks.landed([report])

    land(extract_tables())


extract_crm()
