"""Extracting a tenant from the sandbox, beside a bare download of the same pages and dlt.

The sandbox is a process of its own and shares the machine's cores with whoever is measured: seconds hold its work too, processor
seconds are those of the measured process alone.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.measure import Measurement, measure
from benchmarks.report import Report
from benchmarks.workspace import Workspace

DEFAULT, FULL = 20_000, 60_000
START_SECONDS = 60.0


def run(copies: int, work: Workspace) -> Report:
    """Measure with a generated company of about `copies` mailbox copies, and ours once more with a quarter of them."""
    report = Report(f"extract: a company of {copies:,} mailbox copies", "records")
    tenant = work.generated(f"company-{copies}", "benchmarks.generate:company", copies=copies)
    small = work.generated(f"company-{copies // 4}", "benchmarks.generate:company", copies=copies // 4)

    def ours(url: str) -> Measurement:
        return measure("benchmarks.extract.rapport:extract", url=url, home=work.fresh("extract"))

    def replayed(target: str, url: str) -> Measurement:
        return measure(target, url=url, requests=requests, out=work.fresh("peer"))

    with served(small) as url:
        quarter = work.measured(lambda: ours(url))
    with served(tenant) as url:
        requests = work.fresh("requests") / "requests.json"
        measure("benchmarks.extract.rapport:record", url=url, home=work.fresh("extract"), requests=requests)
        records = json.loads(requests.read_text())["records"]
        full = report.add("extract into the raw log", "ours", records, work.measured(lambda: ours(url)))
        report.add("the same, a quarter of the company", "ours", quarter.outcome["records"], quarter)
        bare = report.add(
            "httpx: the same pages, thrown away",
            "floor",
            records,
            work.measured(lambda: replayed("benchmarks.extract.bare_loop:download", url)),
        )
        if find_spec("dlt") is None:
            report.notes.append("dlt is not installed: `uv sync --group bench` adds its two rows")
        else:
            thrown = report.add(
                "dlt REST client, thrown away",
                "peer",
                records,
                work.measured(lambda: replayed("benchmarks.extract.dlt_client:download", url)),
            )
            landed = report.add(
                "dlt pipeline to Parquet",
                "peer",
                records,
                work.measured(lambda: replayed("benchmarks.extract.dlt_client:land", url)),
            )
    report.against("rate / bare httpx loop", bare, full, "at least 0.6")
    if find_spec("dlt") is not None:
        report.against("rate / dlt REST client alone", thrown, full, "at least 3")
        report.against("rate / dlt pipeline", landed, full, "at least 3")
    report.compare("peak memory / that of a quarter of the company", full.peak_bytes / quarter.peak_bytes, aim="near 1")
    for name, other in (("dlt REST client", thrown), ("dlt pipeline", landed)) if find_spec("dlt") else ():
        if other.outcome["records"] < records:
            report.notes.append(f"{records:,} records came here, only {other.outcome['records']:,} with the {name}")
    return report


@contextmanager
def served(tenant: Path) -> Iterator[str]:
    """The sandbox with a tenant folder on a free loopback port; yields its base address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jobs.cli", "sandbox", "--tenant", str(tenant), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urlopen(f"{url}/sandbox/state", timeout=5).close()
            return
        except (URLError, TimeoutError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the sandbox did not start at {url}") from None
            time.sleep(0.1)
