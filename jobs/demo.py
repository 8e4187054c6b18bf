"""`rapport demo`: a tenant folder, served by the sandbox over HTTP, taken to published marts by the DAGs."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import httpx
from rich.console import Console
from rich.table import Table

from jobs import clock
from jobs.errors import RapportError
from jobs.orchestrate import run_dags
from jobs.settings import Settings

CALENDAR_PAST_DAYS = 1460
CALENDAR_FUTURE_DAYS = 365
START_SECONDS = 60.0


def demo(tenant: Path | None, as_of: str | None, home: Path | None, console: Console) -> None:
    """Serve `tenant` (none: a generated company), run every DAG once, and show what was published.

    `as_of`, `internal_domains` and the reporting time zone come from `tenant.json` (G1); `as_of` here and settings from
    the environment win. Everything is loaded: no limit on mail, the widest calendar window (N36).
    """
    home = (home or Settings().home).resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RapportError(f"cannot create {home}: {error.strerror}; give another folder with --home") from None
    folder = tenant.resolve() if tenant else _generated_company(home, console)
    description = read_tenant(folder)
    _claim_home(home, description["name"])
    with served(folder) as url:
        os.environ.update(demo_environment(folder, description, url, as_of, home))
        dags = ["extract_crm", "extract_exchange", "relationship_kpis", "similar_won_deals"]
        if not (folder / "graph" / "users.jsonl").exists() and not (folder / "graph" / "users.jsonl.gz").exists():
            dags.remove("extract_exchange")
            os.environ.pop("AIRFLOW_CONN_GRAPH_DEFAULT", None)
        run_dags(dags, home)
    show(home, console)


def read_tenant(folder: Path) -> dict[str, Any]:
    """`tenant.json` of a tenant folder, with its name filled; raises an error that names the file."""
    if not folder.is_dir():
        raise RapportError(f"{folder} is no folder: give a tenant folder with --tenant")
    file = folder / "tenant.json"
    try:
        description = json.loads(file.read_text()) if file.exists() else {}
    except ValueError as error:
        raise RapportError(f"{file} is not JSON ({error}); mend it or remove it") from None
    if not isinstance(description, dict):
        raise RapportError(f"{file} holds no JSON object; mend it or remove it")
    if not any((folder / part).is_dir() for part in ("dataverse", "graph")):
        raise RapportError(f"{folder} has neither a dataverse nor a graph folder: it is no tenant folder")
    return {"name": folder.name, **description}


def demo_environment(folder: Path, description: dict[str, Any], url: str, as_of: str | None, home: Path) -> dict[str, str]:
    """The environment that makes the DAGs read the served tenant; variables that are set already stay."""
    brought = {
        "RAPPORT_AS_OF": description.get("as_of"),
        "RAPPORT_INTERNAL_DOMAINS": json.dumps(description["internal_domains"]) if "internal_domains" in description else None,
        "RAPPORT_REPORTING_TIMEZONE": description.get("time_zone"),
    }
    consent = {
        "who": "the demo",
        "when": description.get("as_of") or "today",
        "scope": f"the served tenant {description['name']}",
    }
    return {
        **{name: value for name, value in brought.items() if value and name not in os.environ},
        **({"RAPPORT_AS_OF": as_of} if as_of else {}),
        "RAPPORT_HOME": str(home),
        "RAPPORT_REPLAYED_TENANT": "true",
        "RAPPORT_FIRST_LOAD_DAYS": "0",
        "RAPPORT_CALENDAR_PAST_DAYS": str(CALENDAR_PAST_DAYS),
        "RAPPORT_CALENDAR_FUTURE_DAYS": str(CALENDAR_FUTURE_DAYS),
        "RAPPORT_EXCHANGE_CONSENT": json.dumps(consent),
        "AIRFLOW_CONN_DATAVERSE_DEFAULT": json.dumps({"conn_type": "http", "host": f"{url}/dataverse"}),
        "AIRFLOW_CONN_GRAPH_DEFAULT": json.dumps({"conn_type": "http", "host": f"{url}/graph"}),
    }


def _claim_home(home: Path, tenant: str) -> None:
    """One home holds one tenant: a second one would mix their records."""
    mark = home / "tenant"
    held = mark.read_text().strip() if mark.exists() else None
    if held is not None and held != tenant:
        raise RapportError(f"{home} holds the tenant {held}: give another folder with --home, or remove this one")
    if held is None:
        try:
            mark.write_text(f"{tenant}\n")
        except OSError as error:
            raise RapportError(f"cannot write to {home}: {error.strerror}; give another folder with --home") from None


def _generated_company(home: Path, console: Console) -> Path:
    from sandbox.company import generate

    folder = home / "company"
    if not (folder / "tenant.json").exists():
        began = clock.monotonic()
        counts = generate(folder)
        console.print(
            f"generated a company in {clock.monotonic() - began:.0f} s: "
            + ", ".join(f"{n:,} {what}" for what, n in counts.items())
        )
    return folder


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a tenant folder from a process of its own on a free loopback port; yields the base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", "sandbox", "--tenant", str(folder), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = clock.monotonic() + START_SECONDS
        while True:
            if server.poll() is not None:
                raise RapportError(
                    f"the sandbox did not start: {(server.stderr.read().strip().splitlines() or ['no message'])[-1]}"
                )
            try:
                httpx.get(f"{url}/sandbox/state", timeout=5)
                break
            except httpx.TransportError:
                if clock.monotonic() > deadline:
                    raise RapportError(f"the sandbox did not answer within {START_SECONDS:.0f} s") from None
                clock.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


ATTENTION = """
    select a.rank, d.name, d.account_name, d.owner_name, a.worst_severity, a.alert_count,
           string_agg(r.alert, ', ' order by r.alert) as alerts, d.estimated_value, date_diff('day', a.last_interaction_at, a.as_of) as silent_days
    from opportunity_attention as a
    join dim_opportunity as d using (opportunity_id)
    left join relationship_alert as r on r.record_type = 'opportunity' and r.record_id = a.opportunity_id
    group by all order by a.rank limit 10
"""


def show(home: Path, console: Console) -> None:
    """Print where the marts are, how many rows each has, and the ten open opportunities that need attention first."""
    current = home / "published" / "current"
    with duckdb.connect(str(current / "marts.duckdb"), read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        rows = con.execute(ATTENTION).fetchall()
        sizes = [
            (n, con.execute(f'select count(*) from "{n}"').fetchone()[0])
            for (n,) in con.execute("select table_name from duckdb_tables() order by 1").fetchall()
        ]
    table = Table(title="Open opportunities that need attention", title_justify="left")
    for heading in ("#", "opportunity", "account", "owner", "value", "days silent", "severity", "alerts"):
        is_number = heading in ("#", "value", "days silent")
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=is_number or heading == "severity")
    for rank, name, account, owner, severity, _count, alerts, value, silent in rows:
        money = f"{value:,.0f}" if value is not None else ""
        days = "never" if silent is None else str(silent)
        table.add_row(str(rank), name or "", account or "", owner or "", money, days, severity or "none", alerts or "")
    console.print(table)
    console.print("rows: " + ", ".join(f"{name} {count:,}" for name, count in sizes), highlight=False, soft_wrap=True)
    console.print(f"published version {current.resolve().name}", highlight=False)
    console.print(f"  {current}/marts.duckdb", highlight=False, soft_wrap=True)
    console.print(f"  {current}/parquet/", highlight=False, soft_wrap=True)
