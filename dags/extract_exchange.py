"""Extract mail and calendars of the selected mailboxes into the raw log by Microsoft Graph delta queries.

Mailboxes are read in groups, each a mapped task in the pool `graph`; a mailbox that fails parks alone. Without a Graph
connection or without consent there is nothing to read and no asset is emitted.
"""

from datetime import datetime, timedelta

from airflow.sdk import Asset, BaseHook, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from jobs import tasks
from jobs.quality.notify import RapportNotifier

RAW_EXCHANGE = Asset(name="raw_exchange", uri="rapport://lake/raw/graph")


@dag(
    schedule="30 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"on_failure_callback": RapportNotifier(), "retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["rapport", "extract"],
    doc_md=__doc__,
)
def extract_exchange():
    @task
    def choose_mailboxes() -> list[list[dict]]:
        try:
            connection = BaseHook.get_connection("graph_default")
        except AirflowNotFoundException:
            raise AirflowSkipException("there is no connection graph_default: the basic tier runs on Dataverse alone") from None
        try:
            crm = BaseHook.get_connection("dataverse_default").as_json()
        except AirflowNotFoundException:
            crm = None
        groups = tasks.mailbox_groups(connection.as_json(), crm, get_current_context()["run_id"])
        if not groups:
            raise AirflowSkipException("no mailbox is selected")
        return groups

    @task(pool="graph")
    def extract_mailboxes(group: list[dict]) -> dict:
        connection = BaseHook.get_connection("graph_default")
        return tasks.extract_mailboxes(connection.as_json(), group, get_current_context()["run_id"])

    @task(outlets=[RAW_EXCHANGE])
    def land(reports: list[dict]) -> dict:
        return tasks.landed(list(reports))

    land(extract_mailboxes.expand(group=choose_mailboxes()))


extract_exchange()
