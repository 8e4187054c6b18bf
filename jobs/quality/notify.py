"""Notices to people: a run failed, a version is held back, partial or too old.

A notice always goes to the log, and to a webhook and by mail where these are set. A channel that fails is logged and
stops nothing.
"""

import logging
import smtplib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import httpx
from airflow.sdk.bases.notifier import BaseNotifier

from jobs.publish import RunContext
from jobs.publish.verdict import GateResult
from jobs.settings import Settings

log = logging.getLogger("rapport.notice")
RUNBOOKS = "docs/runbooks"
SEND_SECONDS = 20.0
SHOWN = 10


@dataclass(frozen=True)
class Notice:
    """What happened, where, which rows or streams, and what to read about it."""

    kind: str
    what: str
    where: str
    rows: list[str] = field(default_factory=list)
    runbook: str = f"{RUNBOOKS}/gate-failed.md"

    def text(self) -> str:
        """The notice as a few lines."""
        shown = [*self.rows[:SHOWN], *([f"and {len(self.rows) - SHOWN} more"] if len(self.rows) > SHOWN else [])]
        return "\n".join(
            [f"{self.kind}: {self.what}", f"where: {self.where}", *(f"- {row}" for row in shown), f"see {self.runbook}"]
        )


def send(notice: Notice, settings: Settings) -> list[str]:
    """Send a notice over every channel; returns the names of those that took it."""
    reached = []
    for name, channel in channels(settings).items():
        try:
            channel(notice)
            reached.append(name)
        except (OSError, smtplib.SMTPException, httpx.HTTPError) as error:
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
    secure = server.scheme == "smtps"
    client = smtplib.SMTP_SSL if secure else smtplib.SMTP
    with client(server.hostname or "localhost", server.port or (465 if secure else 25), timeout=SEND_SECONDS) as connection:
        if server.username:
            if not secure:
                connection.starttls()
            connection.login(server.username, server.password or "")
        connection.send_message(message)


def held_notice(context: RunContext, verdict: GateResult) -> Notice:
    """A candidate waits for `rapport release`."""
    rows = [c.text() for c in verdict.failures if c.severity == "hold"]
    return Notice("hold", "a candidate waits for `rapport release --reason ...`", f"run {context.run_id}", rows)


def partial_notice(context: RunContext) -> Notice:
    """A version was built without some streams."""
    rows = [f"{p['source']} {p['stream']}: {p['parked_reason']}" for p in context.parked]
    what = f"{len(rows)} streams are parked, the version is partial"
    return Notice("partial", what, f"run {context.run_id}", rows, f"{RUNBOOKS}/source-schema-changed.md")


def failure_notice(where: str, error: object) -> Notice:
    """A run failed; the runbook follows from the part of the flow."""
    runbook = "source-schema-changed.md" if where.startswith("extract") else "gate-failed.md"
    return Notice("failure", " ".join(str(error).split()) or "no message", where, runbook=f"{RUNBOOKS}/{runbook}")


class RapportNotifier(BaseNotifier):
    """Airflow's failure callback: what failed, in which task of which DAG run."""

    def notify(self, context: Any) -> None:
        """Send the notice of a failed task or run."""
        instance = context.get("task_instance") or context.get("ti")
        run = context.get("dag_run")
        parts = [getattr(run, "dag_id", None), getattr(instance, "task_id", None), getattr(run, "run_id", None)]
        where = ", ".join(str(part) for part in parts if part)
        send(failure_notice(where or "unknown run", context.get("exception") or context.get("reason") or ""), Settings())
