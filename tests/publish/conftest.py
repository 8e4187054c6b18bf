"""A real PostgreSQL server for the tests of that target: Debian's, on a free loopback port, as an unprivileged user."""

import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crashes of a process, which these tests play, lose nothing that was written; only a power cut would."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name.split(".")[0]))
ROLES = ("rapport_bi", "rapport_loader")


def _as_postgres(*command: str | Path) -> None:
    """Run as the package's user when the tests run as root, which the server refuses."""
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    done = subprocess.run([*prefix, *map(str, command)], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr + done.stdout


@dataclass
class Cluster:
    """A cluster of the tests' own; `url` is without a database name."""

    control: list[str | Path]
    options: str
    log: Path
    url: str

    def start(self) -> None:
        _as_postgres(*self.control, "-o", self.options, "-l", self.log, "-w", "start")

    def stop(self) -> None:
        """End it as a power cut would."""
        _as_postgres(*self.control, "-m", "immediate", "-w", "stop")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Cluster]:
    """A fresh cluster that runs."""
    found = [BINARIES[-1] / "initdb"] if BINARIES else [Path(p) for p in [shutil.which("initdb")] if p]
    if not found:
        message = "NO POSTGRESQL FOUND: its target is NOT tested; install the package postgresql"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    binaries = found[0].parent
    folder = Path(tempfile.mkdtemp(prefix="rapport-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    _as_postgres(binaries / "initdb", "-D", data, "-U", "rapport", "--auth=trust", "--no-sync", "-E", "UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    cluster = Cluster([binaries / "pg_ctl", "-D", data], options, folder / "log", f"postgresql://rapport@127.0.0.1:{port}")
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: Cluster, request: pytest.FixtureRequest) -> str:
    """The URL of a new database, with the roles of readers and of a loader that is no superuser."""
    import adbc_driver_postgresql.dbapi as adbc

    name = f"t{abs(hash(request.node.name)) % 10**9}"
    with adbc.connect(f"{postgres_server.url}/postgres", autocommit=True) as con, con.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {quote(name)}")
        for role in ROLES:
            cursor.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'")
            if not cursor.fetchall():
                cursor.execute(f"CREATE ROLE {role} LOGIN")
    return f"{postgres_server.url}/{name}"
