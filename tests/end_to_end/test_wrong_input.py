"""What goes wrong outside Rapport: one clear line, and what was published stays as it was."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from sandbox.server import Server
from tests import tiny_tenant
from tests.conftest import rapport

CONSENT = json.dumps({"who": "a tester", "when": "2026-06-30", "scope": "all"})


@pytest.fixture
def home(tiny_home: Path, tmp_path: Path) -> Path:
    """A copy of the published home, to be treated badly."""
    return Path(shutil.copytree(tiny_home, tmp_path / "home", symlinks=True))


@pytest.fixture
def tenant(tmp_path: Path) -> Path:
    return tiny_tenant.write(tmp_path / "tiny")


def published(home: Path) -> tuple[str, dict[str, bytes]]:
    """The current version's name and the content of its files."""
    current = home / "published" / "current"
    return os.readlink(current), {f.name: f.read_bytes() for f in current.rglob("*.parquet")}


def connected(url: str, home: Path, **more: str) -> dict[str, str]:
    return {
        "RAPPORT_HOME": str(home),
        "RAPPORT_REPLAYED_TENANT": "true",
        "RAPPORT_AS_OF": tiny_tenant.AS_OF,
        "RAPPORT_FIRST_LOAD_DAYS": "0",
        "RAPPORT_EXCHANGE_CONSENT": CONSENT,
        "AIRFLOW_CONN_DATAVERSE_DEFAULT": json.dumps({"conn_type": "http", "host": f"{url}/dataverse"}),
        "AIRFLOW_CONN_GRAPH_DEFAULT": json.dumps({"conn_type": "http", "host": f"{url}/graph"}),
        **more,
    }


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(lines) == 1 and lines[0].startswith("rapport: "), done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_unreachable_host(home, webhook):
    before = published(home)
    url = f"http://127.0.0.1:{free_port()}"
    hook, notices = webhook
    more = {"RAPPORT_RETRY_BUDGET_SECONDS": "1", "RAPPORT_NOTIFY_WEBHOOK": hook}
    assert_one_line(rapport("run", "extract_crm", **connected(url, home, **more)), url.removeprefix("http://"))
    assert published(home) == before
    assert [(n["kind"], n["where"].split(", ")[:2]) for n in notices] == [("failure", ["extract_crm", "extract_tables"])]
    assert url.removeprefix("http://") in notices[0]["what"] and notices[0]["runbook"].endswith("source-schema-changed.md")


def test_bad_credentials(home, tenant):
    before = published(home)
    with Server(tenant, token="right") as server:
        assert_one_line(rapport("run", "extract_crm", **connected(server.url, home)), "access token")
    assert published(home) == before


def test_missing_permission_on_a_table_parks_it_alone(tenant, tmp_path):
    home = tmp_path / "fresh"
    with Server(tenant) as server:
        server.sandbox.switch_on([{"fault": "forbidden", "stream": "phonecalls"}], seed=1)
        done = rapport("run", "extract_crm", "extract_exchange", "relationship_kpis", **connected(server.url, home))
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((home / "published" / "current" / "manifest.json").read_text())
    assert manifest["completeness"] == "partial"
    assert "phonecalls" in json.dumps(manifest)


def test_tenant_with_broken_lines_is_published_without_them(tenant, tmp_path):
    contacts = tenant / "dataverse" / "contacts.jsonl"
    contacts.write_text(contacts.read_text() + '{"contactid": "broken\n[1, 2]\n')
    done = rapport("demo", "--tenant", tenant, "--home", tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(tmp_path / "home" / "published" / "current" / "marts.duckdb"), read_only=True) as con:
        assert con.execute("select count(*) from dim_contact").fetchone() == (2,)
        assert con.execute("select emails_sent from kpi_contact where contact_id = ?", [tiny_tenant.CLEO]).fetchone() == (2,)


def test_tenant_that_is_none(tmp_path):
    assert_one_line(rapport("demo", "--tenant", tmp_path / "nowhere", "--home", tmp_path / "home"), "nowhere", "--tenant")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "tenant.json").write_text("{")
    assert_one_line(rapport("demo", "--tenant", tmp_path / "bad", "--home", tmp_path / "home"), "tenant.json")


def test_home_of_another_tenant(home, tmp_path):
    other = tiny_tenant.write(tmp_path / "other")
    (other / "tenant.json").write_text(json.dumps({"name": "other", "as_of": tiny_tenant.AS_OF}))
    before = published(home)
    assert_one_line(rapport("demo", "--tenant", other, "--home", home), "tiny", "--home")
    assert published(home) == before


def test_home_that_cannot_be_written(tenant, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert_one_line(rapport("demo", "--tenant", tenant, "--home", blocked / "home"), "--home")


def test_full_disk(home, tenant):
    """A limit on file size stands in for the disk: writing fails as it does when there is no space."""
    before = published(home)
    with Server(tenant) as server:
        command = f"ulimit -f 0; trap '' XFSZ; exec {sys.executable} -m jobs.cli run relationship_kpis"
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env={**os.environ, **connected(server.url, home)}, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert published(home) == before


def test_second_run_while_one_is_running(home, tenant):
    before = published(home)
    with Server(tenant) as server:
        holder = subprocess.Popen(
            [sys.executable, "-c", f"import filelock, time; lock = filelock.FileLock({str(home / 'run.lock')!r}); lock.acquire(); print('held', flush=True); time.sleep(600)"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert holder.stdout.readline() == b"held\n"
            assert_one_line(rapport("run", "relationship_kpis", **connected(server.url, home)), "another run")
        finally:
            holder.kill()
    assert published(home) == before


def test_reader_keeps_its_version_while_a_new_one_is_published(home, tenant):
    reader = duckdb.connect(str((home / "published" / "current").resolve() / "marts.duckdb"), read_only=True)
    before = reader.execute("select as_of from kpi_contact limit 1").fetchone()
    with Server(tenant) as server:
        later = connected(server.url, home, RAPPORT_AS_OF="2026-07-02T00:00:00Z")
        done = rapport("run", "relationship_kpis", **later)
    assert done.returncode == 0, done.stdout + done.stderr
    assert reader.execute("select as_of from kpi_contact limit 1").fetchone() == before
    reader.close()
    with duckdb.connect(str((home / "published" / "current").resolve() / "marts.duckdb"), read_only=True) as fresh:
        assert fresh.execute("select as_of from kpi_contact limit 1").fetchone() != before


def test_interrupted_run_gives_its_lock_back(home, tenant):
    with Server(tenant) as server:
        environment = {**os.environ, **connected(server.url, home)}
        running = subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", "run", "relationship_kpis"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(3)
        running.kill()
        running.wait()
        done = rapport("run", "relationship_kpis", **connected(server.url, home))
    assert done.returncode == 0, done.stdout + done.stderr
