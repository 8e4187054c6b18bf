"""Notices: what, where, rows and runbook, over the log, a webhook and mail; and the alarm about an old version."""

import json
import logging
import smtplib
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from jobs.publish.verdict import Check, GateResult
from jobs.quality.freshness import StaleError, check_freshness
from jobs.quality.notify import Notice, RapportNotifier, failure_notice, held_notice, partial_notice, send
from jobs.settings import PROJECT_ROOT
from tests.publish.marts import DAY, context, settings
from tests.publish.test_protocol import publish_one


@pytest.fixture
def webhook():
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()


def test_a_notice_reaches_log_webhook_and_mail(tmp_path, webhook, caplog, monkeypatch):
    url, received = webhook
    mails = []

    class Server:
        def __init__(self, host, port, timeout):
            self.place = (host, port)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def send_message(self, message):
            mails.append((self.place, message["To"], message.get_content()))

    monkeypatch.setattr(smtplib, "SMTP", Server)
    more = {"notify_webhook": url, "notify_smtp": "smtp://mail.example:2525", "notify_email_to": ["on-call@example.com"]}
    notice = Notice("hold", "rows dropped", "run r1", [f"row {n}" for n in range(12)])
    with caplog.at_level(logging.WARNING, logger="rapport.notice"):
        assert send(notice, settings(tmp_path, **more)) == ["log", "webhook", "mail"]
    assert received[0]["kind"] == "hold" and "and 2 more" in received[0]["text"]
    assert mails[0][:2] == (("mail.example", 2525), "on-call@example.com") and "docs/runbooks/gate-failed.md" in mails[0][2]
    assert "rows dropped" in caplog.text


def test_a_broken_channel_stops_nothing(tmp_path, caplog):
    reached = send(Notice("failure", "x", "y"), settings(tmp_path, notify_webhook="http://127.0.0.1:9/secret-path"))
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
        failure_notice("extract_crm, extract_tables", "no such column"),
    ]
    assert "mart=activity" in notices[0].text() and "graph messages/u1: 403" in notices[1].text()
    assert all((PROJECT_ROOT / n.runbook).exists() for n in notices)


def test_airflow_calls_it_with_its_own_context(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RAPPORT_HOME", str(tmp_path))
    run = SimpleNamespace(dag_id="relationship_kpis", run_id="manual__1")
    RapportNotifier()(
        {"dag_run": run, "ti": SimpleNamespace(task_id="gate"), "exception": ValueError("3 critical checks failed")}
    )
    assert "relationship_kpis, gate, manual__1" in caplog.text and "3 critical checks failed" in caplog.text


def test_an_old_version_raises_the_alarm(tmp_path):
    with pytest.raises(StaleError, match="nothing is published"):
        check_freshness(settings(tmp_path), DAY)
    version = publish_one(tmp_path, "r1").version
    assert check_freshness(settings(tmp_path), DAY + timedelta(hours=48)) == version
    with pytest.raises(StaleError, match="49 hours old, promised are 48"):
        check_freshness(settings(tmp_path), DAY + timedelta(hours=49))
