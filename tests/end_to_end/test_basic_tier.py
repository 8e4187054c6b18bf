"""Without a Graph connection and without consent the whole way runs on Dataverse alone, and mail comes from its emails."""

import json
from pathlib import Path

import duckdb
import pytest

from sandbox.server import Server
from tests import tiny_tenant as tiny
from tests.conftest import rapport

OUT, IN, MEETING = (f"6100000{n}-0000-4000-8000-000000000001" for n in range(3))
PARTY = "_partyid_value@Microsoft.Dynamics.CRM.lookuplogicalname"
REGARDING = "_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname"


def party(number: int, activity: str, mask: int, table: str, record: str, address: str) -> dict:
    return {
        "activitypartyid": f"7100000{number}-0000-4000-8000-000000000001",
        "_activityid_value": activity,
        "participationtypemask": mask,
        "_partyid_value": record,
        PARTY: table,
        "addressused": address,
    }


def write_tenant(folder: Path) -> Path:
    """The tiny tenant without Exchange: a followed email by Una to Cleo on the deal, Cleo's answer, and a meeting ahead."""
    tiny.write(folder, with_graph=False)
    email = {"statecode": 1, "statuscode": 3, "messageid": None, **tiny.OWNER}
    tiny.write_lines(
        folder / "dataverse" / "emails.jsonl",
        [
            {**email, "activityid": OUT, "subject": "Offer", "senton": "2026-06-02T09:00:00Z", "createdon": "2026-06-02T09:00:00Z",
             "modifiedon": "2026-06-02T09:00:00Z", "messageid": "<offer@ours.example>", "directioncode": True, "isemailfollowed": True,
             "opencount": 2, "_regardingobjectid_value": tiny.DEAL, REGARDING: "opportunity"},
            {**email, "activityid": IN, "subject": "RE: Offer", "senton": "2026-06-02T12:00:00Z", "createdon": "2026-06-02T12:00:00Z",
             "modifiedon": "2026-06-02T12:00:00Z", "messageid": "<answer@acme.example>", "inreplyto": "<offer@ours.example>", "directioncode": False},
        ],
    )  # fmt: skip
    tiny.write_lines(
        folder / "dataverse" / "appointments.jsonl",
        [{"activityid": MEETING, "subject": "Review", "statecode": 3, "statuscode": 5, "scheduledstart": "2026-07-09T10:00:00Z",
          "scheduledend": "2026-07-09T11:00:00Z", "createdon": "2026-06-03T09:00:00Z", "modifiedon": "2026-06-03T09:00:00Z", **tiny.OWNER}],
    )  # fmt: skip
    parties = [
        *tiny.dataverse()["activityparties"],
        party(1, OUT, 1, "systemuser", tiny.UNA, "una@ours.example"),
        party(2, OUT, 2, "contact", tiny.CLEO, "cleo@acme.example"),
        party(3, IN, 1, "contact", tiny.CLEO, "cleo@acme.example"),
        party(4, IN, 2, "systemuser", tiny.UNA, "una@ours.example"),
        party(5, MEETING, 7, "systemuser", tiny.UNA, "una@ours.example"),
        party(6, MEETING, 5, "contact", tiny.CLEO, "cleo@acme.example"),
    ]
    tiny.write_lines(folder / "dataverse" / "activityparties.jsonl", parties)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with Server(write_tenant(tmp_path_factory.mktemp("tenant") / "tiny")) as server:
        connection = json.dumps({"conn_type": "http", "host": f"{server.url}/dataverse"})
        done = rapport(
            "run", "extract_crm", "extract_exchange", "relationship_kpis",
            RAPPORT_HOME=str(home), RAPPORT_AS_OF=tiny.AS_OF, RAPPORT_REPLAYED_TENANT="true", AIRFLOW_CONN_DATAVERSE_DEFAULT=connection,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.fixture(scope="module")
def marts(home):
    with duckdb.connect(str(home / "published" / "current" / "marts.duckdb"), read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        yield con


def test_a_version_of_the_basic_tier_is_published(home):
    manifest = json.loads((home / "published" / "current" / "manifest.json").read_text())
    assert (manifest["tier"], manifest["completeness"]) == ("basic", "complete")
    assert not list((home / "lake" / "raw").glob("graph/*"))


def test_mail_meetings_and_calls_come_from_the_crm(marts):
    measures = (
        "emails_sent, emails_received, meetings_sent, calls_made, time_spent_by_team_minutes, emails_followed, email_open_rate"
    )
    of = f"select {measures} from kpi_contact where contact_id = ?"
    assert marts.execute(of, [tiny.CLEO]).fetchone() == (1, 1, 0, 0, 5 + 2.5, 1, 1.0)
    assert marts.execute(of, [tiny.DAN]).fetchone() == (0, 0, 0, 1, 12, 0, None)
    deal = "select emails_sent, emails_received, last_interaction_by, next_interaction_type from kpi_opportunity where opportunity_id = ?"
    assert marts.execute(deal, [tiny.DEAL]).fetchone() == (1, 1, "them", "meeting")
    reasons = "select link_reason from activity_record_link where record_id = ? order by 1"
    assert marts.execute(reasons, [tiny.DEAL]).fetchall() == [("participant",), ("participant",), ("regarding",)]


def test_response_figures_are_left_out(marts):
    row = marts.execute(
        "select response_time_by_them_hours, response_rate_by_them, responses_awaited_from_us, responses_awaited_from_them "
        "from kpi_contact where contact_id = ?",
        [tiny.CLEO],
    ).fetchone()
    assert row == (None, None, 0, 0)


def test_health_alerts_and_introductions_work_without_exchange(marts):
    assert marts.execute(
        "select state, activities_count from relationship_health where record_id = ?", [tiny.CLEO]
    ).fetchone() == (
        "not_enough_info",
        2,
    )
    assert marts.execute("select user_id from who_knows_whom where contact_id = ?", [tiny.CLEO]).fetchall() == [(tiny.UNA,)]
    sentences = marts.execute(
        "select sentence from relationship_summary where record_id = ? order by position", [tiny.CLEO]
    ).fetchall()
    assert ("The last interaction was an email by the customer 28 days ago.",) in sentences
