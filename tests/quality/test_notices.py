"""Notices: what, where, rows and runbook, over the log, a webhook and mail; and the alarm about an old version."""

import logging
import socketserver
import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest

from jobs.publish.verdict import Check, GateError, GateResult
from jobs.quality.freshness import StaleError, check_freshness
from jobs.quality.notify import Notice, RapportNotifier, failure_notice, held_notice, partial_notice, send
from jobs.settings import PROJECT_ROOT
from tests.publish.marts import DAY, context, settings
from tests.publish.test_protocol import publish_one


class MailServer(socketserver.StreamRequestHandler):
    """As much of SMTP as a client without encryption needs; `talk` is every line that it was sent."""

    def handle(self):
        self.wfile.write(b"220 here\r\n")
        in_message = False
        for line in self.rfile:
            text = line.decode().rstrip("\r\n")
            self.server.talk.append(text)
            if in_message:
                in_message = text != "."
                if not in_message:
                    self.wfile.write(b"250 taken\r\n")
            elif text.upper() == "DATA":
                in_message = True
                self.wfile.write(b"354 go on\r\n")
            else:
                self.wfile.write(b"221 bye\r\n" if text.upper() == "QUIT" else b"250 fine\r\n")


@pytest.fixture
def mail_server():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer) as server:
        server.talk = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_notice_reaches_log_webhook_and_mail(tmp_path, webhook, mail_server, caplog):
    url, received = webhook
    more = {
        "notify_webhook": url,
        "notify_smtp": f"smtp://127.0.0.1:{mail_server.server_address[1]}",
        "notify_email_to": ["on-call@example.com"],
        "notify_runbooks": "https://git.example.com/runbooks/",
    }
    notice = Notice("hold", "rows dropped", "run r1", [f"row {n}" for n in range(12)])
    with caplog.at_level(logging.WARNING, logger="rapport.notice"):
        assert send(notice, settings(tmp_path, **more)) == ["log", "webhook", "mail"]
    assert received[0]["kind"] == "hold" and "and 2 more" in received[0]["text"]
    mail = mail_server.talk
    assert "rcpt TO:<on-call@example.com>" in mail and "Subject: Rapport: hold: run r1" in mail and "- row 9" in mail
    link = "see https://git.example.com/runbooks/gate-failed.md"
    assert link in mail and link in received[0]["text"] and link in caplog.text
    assert "rows dropped" in caplog.text


def test_a_password_is_never_sent_in_the_clear(tmp_path, mail_server, caplog):
    address = f"smtp://me:secret-word@127.0.0.1:{mail_server.server_address[1]}"
    more = {"notify_smtp": address, "notify_email_to": ["on-call@example.com"]}
    assert send(Notice("failure", "x", "y"), settings(tmp_path, **more)) == ["log"]
    assert mail_server.talk and not any(line.upper().startswith(("AUTH", "DATA")) for line in mail_server.talk)
    assert "secret-word" not in caplog.text and "by mail" in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/secret-path", "http://[secret-path", "secret-path"])
def test_a_broken_channel_stops_nothing(tmp_path, caplog, url):
    reached = send(Notice("failure", "x", "y"), settings(tmp_path, notify_webhook=url))
    assert reached == ["log"] and "webhook" in caplog.text and "secret-path" not in caplog.text


def test_notices_name_rows_and_an_existing_runbook(tmp_path):
    verdict = GateResult(
        "r1",
        {},
        [Check("cross_version", "row_drop", "hold", "G5", "r", "r", unexpected=1, examples=[{"mart": "activity"}])],
        tmp_path,
    )
    parked = context("r1", parked=[{"source": "graph", "stream": "messages/u1", "parked_reason": "403"}])
    notices = [
        held_notice(context("r1"), verdict),
        partial_notice(parked),
        failure_notice("extract_tables", "extract_crm, extract_tables", "no such column"),
        failure_notice("publish", "relationship_kpis, publish", OSError(28, "No space left on device")),
    ]
    assert "mart=activity" in notices[0].text() and "graph messages/u1: 403" in notices[1].text()
    assert "No space left on device" in notices[3].text()
    assert all((PROJECT_ROOT / "docs" / "runbooks" / n.runbook).exists() for n in notices)
    assert len({n.runbook for n in notices}) == 3


def called(task, error):
    run = SimpleNamespace(dag_id="relationship_kpis", run_id="manual__1")
    RapportNotifier()({"dag_run": run, "ti": SimpleNamespace(task_id=task), "exception": error})


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RAPPORT_HOME", str(tmp_path))
    return tmp_path


def test_a_failed_gate_tells_rows_and_place(home, caplog):
    checks = [Check("kpi_lead", "key_unique", "critical", "M", "r", "r", unexpected=2, examples=[{"lead_id": "l1"}])]
    with pytest.raises(GateError) as failed:
        GateResult("r1", {}, checks, home).raise_critical()
    called("gate", failed.value)
    assert "relationship_kpis, gate, manual__1" in caplog.text and "nothing is published" in caplog.text
    assert "- kpi_lead: key_unique (M): 2 rows: lead_id=l1" in caplog.text and "see docs/runbooks/gate-failed.md" in caplog.text


def test_records_that_other_errors_quote_stay_out_of_notices(home, caplog):
    called("normalise", ValueError("cannot parse cleo@acme.example"))
    assert "ValueError, see the task's log" in caplog.text and "cleo" not in caplog.text


def test_a_killed_task_is_told_too(home, caplog):
    called("normalise", None)
    assert "killed" in caplog.text and "relationship_kpis, normalise" in caplog.text


def test_an_old_version_raises_the_alarm(home, caplog):
    with pytest.raises(StaleError, match="nothing is published"):
        check_freshness(settings(home), DAY)
    version = publish_one(home, "r1").version
    assert check_freshness(settings(home), DAY + timedelta(hours=48)) == version
    with pytest.raises(StaleError, match="49 hours old, promised are 48") as stale:
        check_freshness(settings(home), DAY + timedelta(hours=49))
    called("check", stale.value)
    assert f"stale: the published version is 49 hours old, promised are 48\nwhere: {version}" in caplog.text
