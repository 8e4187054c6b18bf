"""Notices to people: a run failed, a version is held back, partial or too old.

A notice always goes to the log, and to a webhook and by mail where these are set. A channel that fails is logged and
stops nothing.
"""

import logging
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
from airflow.sdk.bases.notifier import BaseNotifier

from jobs.errors import RapportError
from jobs.publish import RunContext
from jobs.publish.verdict import GateError, GateResult
from jobs.settings import Settings

log = logging.getLogger("rapport.notice")
SEND_SECONDS = 20.0
SHOWN = 10
RUNBOOK_OF_TASK = {
    "extract_tables": "source-schema-changed.md",
    "choose_mailboxes": "source-schema-changed.md",
    "extract_mailboxes": "source-schema-changed.md",
    "publish": "rollback.md",
}


@dataclass(frozen=True)
class Notice:
    """What happened, where, which rows or streams, and the file name of the runbook."""

    kind: str
    what: str
    where: str
    rows: list[str] = field(default_factory=list)
    runbook: str = "gate-failed.md"

    def text(self) -> str:
        """The notice as a few lines."""
        shown = [*self.rows[:SHOWN], *([f"and {len(self.rows) - SHOWN} more"] if len(self.rows) > SHOWN else [])]
        return "\n".join(
            [f"{self.kind}: {self.what}", f"where: {self.where}", *(f"- {row}" for row in shown), f"see {self.runbook}"]
        )


def send(notice: Notice, settings: Settings) -> list[str]:
    """Send a notice over every channel, its runbook as a link; returns the names of those that took it."""
    reached = []
    linked = replace(notice, runbook=f"{settings.notify_runbooks.rstrip('/')}/{notice.runbook}")
    for name, channel in channels(settings).items():
        try:
            channel(linked)
            reached.append(name)
        except (OSError, smtplib.SMTPException, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            log.error("the notice could not be sent by %s: %s", name, type(error).__name__)
    return reached


def channels(settings: Settings) -> dict[str, Callable[[Notice], None]]:
    """The channels that are set, by name."""
    found: dict[str, Callable[[Notice], None]] = {"log": lambda notice: log.warning("%s", notice.text())}
    if settings.notify_webhook:
        url = settings.notify_webhook.get_secret_value()
        found["webhook"] = lambda notice: _post(url, notice)
    if settings.notify_smtp and settings.notify_email_to:
        found["mail"] = lambda notice: _mail(settings, notice)
    return found


def _post(url: str, notice: Notice) -> None:
    httpx.post(url, json={**asdict(notice), "text": notice.text()}, timeout=SEND_SECONDS).raise_for_status()


def _mail(settings: Settings, notice: Notice) -> None:
    assert settings.notify_smtp is not None
    server = urlsplit(settings.notify_smtp.get_secret_value())
    message = EmailMessage()
    message["Subject"] = f"Rapport: {notice.kind}: {notice.where}"
    message["From"] = settings.notify_email_from
    message["To"] = ", ".join(settings.notify_email_to)
    message.set_content(notice.text())
    host, trusted = server.hostname or "localhost", ssl.create_default_context()
    if server.scheme == "smtps":
        client = smtplib.SMTP_SSL(host, server.port or 465, timeout=SEND_SECONDS, context=trusted)
    else:
        client = smtplib.SMTP(host, server.port or 25, timeout=SEND_SECONDS)
    with client as connection:
        if server.username:
            if server.scheme != "smtps":
                connection.starttls(context=trusted)
            connection.login(unquote(server.username), unquote(server.password or ""))
        connection.send_message(message)


def held_notice(context: RunContext, verdict: GateResult) -> Notice:
    """A candidate waits for `rapport release`."""
    rows = [c.text() for c in verdict.failures if c.severity == "hold"]
    return Notice("hold", "a candidate waits for `rapport release --reason ...`", f"run {context.run_id}", rows)


def partial_notice(context: RunContext) -> Notice:
    """A version was built without some streams."""
    rows = [f"{p['source']} {p['stream']}: {p['parked_reason']}" for p in context.parked]
    what = f"{len(rows)} streams are parked, the version is partial"
    return Notice("partial", what, f"run {context.run_id}", rows, "source-schema-changed.md")


def failure_notice(task: str, where: str, error: object) -> Notice:
    """The task `task` failed; the runbook follows from it.

    The text of an error that is not ours may quote records, so that of others only the kind is told.
    """
    runbook = RUNBOOK_OF_TASK.get(task, "gate-failed.md")
    if isinstance(error, GateError) and error.failed:
        what = f"critical checks failed, nothing is published: {len(error.failed)}"
        return Notice("failure", what, where, error.failed, runbook)
    if isinstance(error, RapportError | str):
        what = " ".join(str(error).split())
    elif isinstance(error, OSError) and error.strerror:
        what = error.strerror
    elif error is None:
        what = "the task ended without a word: it was killed, or its machine went away"
    else:
        what = f"{type(error).__name__}, see the task's log"
    return Notice("failure", what, where, runbook=runbook)


class RapportNotifier(BaseNotifier):
    """The failure callback of the tasks: what failed, in which task of which DAG run. An error may bring its own `notice`."""

    def notify(self, context: Any) -> None:
        """Send the notice of a failed task."""
        instance = context.get("task_instance") or context.get("ti")
        run, error = context.get("dag_run"), context.get("exception")
        task = str(getattr(instance, "task_id", ""))
        parts = [getattr(run, "dag_id", ""), task, getattr(run, "run_id", "")]
        where = ", ".join(str(part) for part in parts if part)
        own = getattr(error, "notice", None)
        send(own or failure_notice(task, where or "unknown run", error), Settings())
