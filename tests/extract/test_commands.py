"""`rapport status`, `rapport resync`, `rapport doctor`."""

import json
from datetime import timedelta

import click
import pytest
from click.testing import CliRunner

from jobs.extract import parking
from jobs.extract.commands import commands
from jobs.extract.connection import Connection
from jobs.extract.doctor import FAIL, OK, WARN, examine
from sandbox.server import Server
from tests.extract.world import (
    BO,
    CONSENT,
    UNA,
    World,
    account,
    assert_holds_the_tenant,
    guid,
    held,
    mailbox,
    message,
    settings,
    user,
    write,
)


@pytest.fixture
def rapport(monkeypatch):
    group = click.Group(commands={command.name: command for command in commands})

    def run(home, *arguments, **environment):
        monkeypatch.setenv("RAPPORT_HOME", str(home))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(group, arguments)

    return run


def test_status_lists_streams_with_rows_and_parked_ones(tmp_path, rapport):
    world = World(tmp_path, {"dataverse/accounts.jsonl": [account(1), account(2)], **mailbox([message("m1")])})
    world.sandbox.faults.switch_on([{"fault": "forbidden", "stream": "contacts"}])
    world.crm("accounts", "contacts")
    world.exchange()
    streams = {each["stream"]: each for each in map(json.loads, rapport(world.home, "status", "--json").output.splitlines())}
    assert (streams["accounts"]["rows"], streams["accounts"]["parked"]) == (2, None)
    assert streams[f"messages/{UNA}/Inbox"]["rows"] == 1 and streams["accounts"]["last_success_at"].startswith("2026-06-01T08:00")
    assert "403" in streams["contacts"]["parked"] and streams["contacts"]["next_try"].startswith("2026-06-02T08:00")
    shown = rapport(world.home, "status", "--parked").output
    assert "contacts" in shown and "accounts" not in shown
    assert "the raw log is empty" in rapport(tmp_path / "new", "status").output


def test_resync_reads_the_stream_whole_at_the_next_run(tmp_path, rapport):
    world = World(tmp_path, {"dataverse/accounts.jsonl": [account(n) for n in range(5)]})
    world.crm("accounts", "contacts")
    assert "accounts is read whole" in rapport(world.home, "resync", "accounts").output
    report = world.crm("accounts", "contacts")
    assert report.rows == 5
    rounds = world.rows("accounts").filter(op="page").select("round", "round_kind", "link_kind").rows()
    assert rounds == [(1, "full", "next"), (1, "full", "delta"), (2, "full", "next"), (3, "full", "next"), (3, "full", "delta")]
    assert world.rows("contacts")["round_kind"].to_list() == ["full", "delta"]
    assert_holds_the_tenant(world)
    assert world.crm("accounts").rows == 0


def test_resync_asks_for_the_columns_of_the_settings_at_the_next_run(tmp_path, rapport):
    world = World(tmp_path, {"dataverse/opportunities.jsonl": [{"opportunityid": guid(1), "new_region": "north"}]})
    world.crm("opportunities")
    world.given = {"similarity_attributes": [{"name": "new_region", "kind": "category"}]}
    rapport(world.home, "resync", "opportunities")
    world.crm("opportunities")
    assert held(world.rows())["opportunities"][guid(1)]["new_region"] == "north"


def test_resync_of_parked_streams_and_of_many_at_once(tmp_path, rapport):
    world = World(
        tmp_path,
        mailbox([message("m1"), message("s1", "Sent", internetMessageHeaders=[{"name": "References", "value": "<a@b>"}])]),
    )
    world.exchange()
    parking.park(world.home, "graph", f"mailFolders/{UNA}", "HTTP 404", world.clock.at, timedelta(days=1))
    assert world.exchange().partial
    done = rapport(world.home, "resync", "m*", "--source", "graph")
    assert done.exit_code == 0 and done.output.count("read whole") == 7
    report = world.exchange()
    assert not report.partial and report.rows == 5 + 2 + 1
    missing = rapport(world.home, "resync", "ghosts")
    assert "no stream ghosts" in str(missing.exception)


def tenant():
    files = {
        "dataverse/accounts.jsonl": [account(1)],
        **mailbox([message("m1", internetMessageHeaders=[{"name": "List-Id", "value": "x"}])]),
    }
    files["graph/users.jsonl"] = [user(), user(BO, "bo@ours.example")]
    return files


def examined(world, **given):
    world.given = given
    checks = examine(world.settings, world.connection("dataverse"), world.connection("graph"), world.clock.timing)
    return {(check.part, check.what): (check.status, check.detail) for check in checks}


def test_doctor_names_what_is_missing(tmp_path):
    world = World(tmp_path, tenant())
    world.sandbox.faults.switch_on(
        [
            {"fault": "forbidden", "stream": "contacts"},
            {"fault": "change_tracking_off", "stream": "tasks"},
            {"fault": "column_missing", "stream": "leads", "column": "fullname"},
            {"fault": "forbidden", "stream": f"calendarView/{UNA}"},
            {"fault": "not_found", "stream": f"*/{BO}*"},
        ]
    )
    checks = examined(world)
    assert checks["Dataverse", "accounts"] == (OK, "")
    status, detail = checks["Dataverse", "contacts"]
    assert status == FAIL and "prvReadcontact" in detail
    assert checks["Dataverse", "tasks"][0] == WARN and "change tracking is off" in checks["Dataverse", "tasks"][1]
    assert checks["Dataverse", "leads"][0] == FAIL and "fullname" in checks["Dataverse", "leads"][1]
    assert checks["Graph", f"{UNA} calendar"][0] == FAIL and "Calendars.Read" in checks["Graph", f"{UNA} calendar"][1]
    assert checks["Graph", f"{UNA} internetMessageHeaders"] == (OK, "given with Mail.Read")
    assert checks["Graph", f"{BO} folders"][0] == WARN
    assert checks["home", "disk space"][0] == OK


@pytest.mark.parametrize(
    ("stream", "what", "permission"),
    [
        ("users", "users", "User.Read.All"),
        ("groupMembers/*", "group", "GroupMember.Read.All"),
        (f"mailboxSettings/{UNA}", f"{UNA} settings", "MailboxSettings.Read"),
        (f"mailFolders/{UNA}", f"{UNA} folders", "Mail.Read"),
        (f"messages/{UNA}/*", f"{UNA} mail", "Mail.Read"),
        (f"messageHeaders/{UNA}/*", f"{UNA} sent mail", "Mail.Read"),
        (f"calendarView/{UNA}", f"{UNA} calendar", "Calendars.Read"),
    ],
)
def test_doctor_names_the_permission_that_a_check_lacks(tmp_path, stream, what, permission):
    world = World(tmp_path, {**tenant(), "graph/groups.jsonl": [{"id": "sales", "members": [UNA]}]})

    def failed():
        checks = examined(world, mailboxes=[UNA], mailbox_group="sales").items()
        return {
            name: detail for (part, name), (status, detail) in checks if part == "Graph" and status == FAIL and name != "clock"
        }

    assert failed() == {}
    world.sandbox.faults.switch_on([{"fault": "forbidden", "stream": stream}])
    assert list(failed()) == [what] and f"grant {permission} (application)" in failed()[what]


def test_doctor_checks_the_tables_that_name_a_role_s_holders(tmp_path):
    world = World(tmp_path, tenant())
    assert ("Dataverse", "roles") not in examined(world)
    world.sandbox.faults.switch_on([{"fault": "forbidden", "stream": "roles"}])
    checks = examined(world, mailbox_role="Sales")
    assert checks["Dataverse", "roles"][0] == FAIL and "prvReadrole" in checks["Dataverse", "roles"][1]
    assert checks["Dataverse", "systemuserrolescollection"] == (OK, "")


def test_doctor_tells_whether_read_basic_gives_headers(tmp_path):
    world = World(tmp_path, tenant())
    world.sandbox.faults.switch_on([{"fault": "read_basic"}])
    checks = examined(world, mail_profile="Mail.ReadBasic.All")
    status, detail = checks["Graph", f"{UNA} internetMessageHeaders"]
    assert status == WARN and "not given with Mail.ReadBasic.All" in detail
    assert ("Graph", f"{UNA} sent mail") not in checks


def test_doctor_reads_no_mailbox_without_consent(tmp_path):
    world = World(tmp_path, tenant())
    assert examined(world, exchange_consent=None)["Graph", "consent"][0] == WARN
    assert not [request for request in world.sandbox.requests if request["path"].startswith("/graph")]


def test_doctor_finds_a_clock_that_is_wrong(tmp_path):
    world = World(tmp_path, tenant())
    status, detail = examined(world)["Dataverse", "clock"]
    assert status == FAIL and "set this machine's clock" in detail


def test_doctor_command_ends_with_the_first_failure(tmp_path, rapport):
    folder = write(tmp_path / "tenant", tenant())
    with Server(folder) as server:
        environment = {
            "AIRFLOW_CONN_DATAVERSE_DEFAULT": json.dumps({"host": server.dataverse_url}),
            "AIRFLOW_CONN_GRAPH_DEFAULT": json.dumps({"host": server.graph_url}),
            "RAPPORT_EXCHANGE_CONSENT": json.dumps(CONSENT),
        }
        done = rapport(tmp_path / "home", "doctor", **environment)
        assert done.exit_code == 0, done.output
        assert "sign-in" in done.output
        server.sandbox.faults.switch_on([{"fault": "forbidden", "stream": "users"}])
        assert "grant User.Read.All" in str(rapport(tmp_path / "home", "doctor", **environment).exception)


def test_doctor_without_connections_says_which_to_set(tmp_path):
    checks = examine(settings(tmp_path), None, Connection("http://127.0.0.1:9/graph"), World(tmp_path, tenant()).clock.timing)
    by_part = {check.part: check for check in checks}
    assert "AIRFLOW_CONN_DATAVERSE_DEFAULT" in by_part["Dataverse"].detail
    assert (by_part["Graph"].status, "cannot reach 127.0.0.1:9" in by_part["Graph"].detail) == (FAIL, True)
