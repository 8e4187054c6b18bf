"""Shared worlds: each is run once a session and read by many tests."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests import tiny_tenant


def rapport(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the `rapport` command as a user would; settings from the tester's own environment do not reach it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAPPORT_", "AIRFLOW"))}
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        cwd=Path(__file__).parent.parent,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after `rapport demo` on the tiny tenant."""
    folder = tiny_tenant.write(tmp_path_factory.mktemp("tenant") / "tiny")
    home = tmp_path_factory.mktemp("home")
    done = rapport("demo", "--tenant", folder, "--home", home)
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict]]]:
    """The URL of a server that takes posts, and what it was posted."""
    received: list[dict] = []

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
