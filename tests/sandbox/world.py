"""Tiny tenant folders, and the smallest client that follows links."""

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import orjson

from sandbox.server import Sandbox, Transport

USER = "20000000-0000-4000-8000-00000000000a"
API = "/dataverse/api/data/v9.2"
GRAPH = f"/graph/v1.0/users/{USER}"
TRACKED = {"prefer": 'odata.track-changes, odata.maxpagesize=2, odata.include-annotations="*"'}
PAGED = {"prefer": 'odata.maxpagesize=2, IdType="ImmutableId"'}
WINDOW = "startDateTime=2026-06-01T00:00:00Z&endDateTime=2026-07-01T00:00:00Z"
CALENDAR = f"{GRAPH}/calendarView/delta?{WINDOW}"


def write(folder: Path, files: dict[str, list[Any]], description: dict[str, Any] | None = None) -> Path:
    """Write a tenant folder: each file a list of records, or of lines where an item is a string; .gz is packed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tenant.json").write_text(json.dumps(description or {"name": "tiny", "time_zone": "UTC"}))
    for name, rows in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def account(number: int, **columns: Any) -> dict[str, Any]:
    return {"accountid": f"00000000-0000-4000-8000-{number:012d}", "name": f"Account {number}", "statecode": 0, **columns}


def message(name: str, folder: str, **keys: Any) -> dict[str, Any]:
    at = keys.pop("at", "2026-06-10T10:00:00Z")
    return {"id": name, "parentFolderId": folder, "subject": name, "receivedDateTime": at, "lastModifiedDateTime": at, **keys}


def event(name: str, start: str, end: str, **keys: Any) -> dict[str, Any]:
    times = {edge: {"dateTime": at, "timeZone": "UTC"} for edge, at in (("start", start), ("end", end))}
    return {"id": name, "type": "singleInstance", "seriesMasterId": None, "subject": name, **times, **keys}


FOLDERS = [
    {"id": "Inbox", "displayName": "Inbox", "parentFolderId": "Root", "wellKnownName": "inbox"},
    {"id": "Sent", "displayName": "Sent", "parentFolderId": "Root", "wellKnownName": "sentitems"},
]


def mailbox(messages: list[Any], events: list[Any] | None = None, folders: list[Any] | None = None) -> dict[str, list[Any]]:
    """The files of a tenant with one user."""
    return {
        "graph/users.jsonl": [{"id": USER, "mail": "una@ours.example", "userPrincipalName": "una@ours.example"}],
        f"graph/{USER}/mailFolders.jsonl": FOLDERS if folders is None else folders,
        f"graph/{USER}/messages.jsonl": messages,
        f"graph/{USER}/events.jsonl": events or [],
    }


def client(folder: Path, **options: Any) -> tuple[Sandbox, httpx.Client]:
    """A sandbox and a client of it in this process."""
    sandbox = Sandbox(folder, **options)
    return sandbox, httpx.Client(transport=Transport(sandbox), base_url="http://sandbox")


def delta(folder: str = "Inbox") -> str:
    return f"{GRAPH}/mailFolders/{folder}/messages/delta"


def page(http: httpx.Client, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    reply = http.get(url, headers=headers or PAGED)
    assert reply.status_code == 200, reply.text
    return orjson.loads(reply.content)


def round_of(http: httpx.Client, url: str, headers: dict[str, str] | None = None) -> tuple[list[Any], str | None]:
    """All rows of a round and its deltaLink."""
    rows: list[Any] = []
    for _ in range(100):
        body = page(http, url, headers)
        rows += body["value"]
        if "@odata.nextLink" not in body:
            return rows, body.get("@odata.deltaLink")
        url = body["@odata.nextLink"]
    raise AssertionError("the round does not end")


def ids(rows: list[dict[str, Any]], key: str = "id") -> list[str]:
    return [f"-{row['id']}" if "@removed" in row or row.get("reason") == "deleted" else row[key] for row in rows]
