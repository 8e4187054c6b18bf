"""The stage itself, as the DAGs call it: Dataverse, then the mailboxes."""

import json
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from jobs.extract.connection import Connection
from jobs.extract.crm import extract_crm
from jobs.extract.exchange import extract_group, list_mailboxes
from jobs.extract.overview import read_pages
from jobs.settings import Settings
from sandbox.company.generate import AS_OF


def extract(url: str, home: str, transport: httpx.AsyncBaseTransport | None = None) -> dict[str, int]:
    """Extract the whole tenant served at `url` into `home`; gives the records that were landed."""
    settings = Settings(
        _env_file=None, home=home, as_of=AS_OF, replayed_tenant=True, first_load_days=0,
        calendar_past_days=1460, calendar_future_days=365,
        exchange_consent={"who": "the benchmark", "when": "today", "scope": "a made-up company"},
    )  # fmt: skip
    folder = Path(home)
    reports = [extract_crm(Connection(f"{url}/dataverse", transport=transport), folder, settings, "benchmark")]
    graph = Connection(f"{url}/graph", transport=transport)
    mailboxes = list_mailboxes(graph, folder, settings, "benchmark")
    reports.append(extract_group(graph, mailboxes, folder, settings, "benchmark"))
    parked = [each for report in reports for each in report.parked]
    if parked:
        raise RuntimeError(f"{len(parked)} streams parked, the first: {parked[0]}")
    return {"records": sum(report.rows for report in reports)}


def record(url: str, home: str, requests: str) -> None:
    """Extract once and write down every request (path with query, preference, status) and the number of records received."""
    transport = Recording()
    extract(url, home, transport)
    is_page, received = pl.col("op") == "page", pl.col("payload").str.json_path_match("$.received").cast(pl.Int64)
    records = read_pages(Path(home)).filter(is_page).select(received.sum()).collect().item()
    Path(requests).write_text(json.dumps({"requests": transport.requests, "records": records}))


class Recording(httpx.AsyncBaseTransport):
    """Passes requests on, each stage over connections of its own, and keeps what was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = {"target": request.url.raw_path.decode(), "prefer": request.headers.get("Prefer", "")}
        async with httpx.AsyncHTTPTransport() as network:
            answer = await network.handle_async_request(request)
            self.requests.append({**asked, "status": answer.status_code})
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())
