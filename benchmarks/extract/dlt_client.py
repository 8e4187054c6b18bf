"""The peer of extracting: dlt asks for the same collections with the same preferences and follows their next links.

What dlt does not do here, and so does not pay for: delta links, the landing filter, merging of partial rows, durable pages.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

os.environ.update({"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR", "EXTRACT__WORKERS": "8"})
import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

NEXT = "'@odata.nextLink'"


def download(url: str, requests: str, out: str) -> dict[str, int]:
    """Page through every collection with the REST client and keep nothing."""
    return {"records": sum(map(len, _pages(url, firsts(requests))))}


def land(url: str, requests: str, out: str) -> dict[str, int]:
    """Page through every collection in a pipeline that lands each kind as Parquet files; nested values stay JSON."""
    os.environ["DLT_DATA_DIR"] = f"{out}/dlt"
    kinds: dict[str, list[dict[str, str]]] = {}
    for first in firsts(requests):
        kinds.setdefault(_kind(first["target"]), []).append(first)
    resources = [
        dlt.resource(_pages, name=kind, max_table_nesting=0, parallelized=True, write_disposition="append")(url, asked)
        for kind, asked in kinds.items()
    ]
    destination = dlt.destinations.filesystem(f"file://{Path(out).resolve()}/landed")
    pipeline = dlt.pipeline("benchmark", destination=destination, dataset_name="raw", pipelines_dir=f"{out}/pipelines")
    pipeline.run(resources, loader_file_format="parquet").raise_on_failed_jobs()
    counts = pipeline.last_trace.last_normalize_info.row_counts
    return {"records": sum(count for name, count in counts.items() if not name.startswith("_dlt"))}


def firsts(requests: str) -> list[dict[str, str]]:
    """The recorded requests for first pages of collections; links and single folders and events are left out."""
    recorded = json.loads(Path(requests).read_text())["requests"]
    return [r for r in recorded if "token=" not in r["target"] and not _is_single(urlsplit(r["target"]).path.split("/"))]


def _is_single(parts: list[str]) -> bool:
    return parts[-2] in ("mailFolders", "events") or parts[-1] == "mailboxSettings"


def _pages(url: str, asked: list[dict[str, str]]) -> Iterator[list[Any]]:
    """The pages of some collections, one collection after the other."""
    client = RESTClient(url, paginator=JSONLinkPaginator(NEXT), data_selector="value", headers={"Accept-Encoding": "identity"})
    for first in asked:
        yield from client.paginate(first["target"], headers={"Prefer": first["prefer"]})


def _kind(target: str) -> str:
    parts = urlsplit(target).path.strip("/").split("/")
    return "_".join(part for part in parts[-2:] if part.isalpha()) or "records"
