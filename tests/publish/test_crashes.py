"""A publication stopped at any step: readers have a whole version, and the next run finishes or cleans up."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from jobs.publish import PublishError, publish
from jobs.publish.protocol import publish_lock
from jobs.publish.versions import Published, verify
from tests.publish.marts import candidate, checked, context, read, settings
from tests.publish.test_protocol import publish_one


class Killed(BaseException):
    """Stands for the end of the process."""


def steps_of_a_publication(home):
    notes = []
    publish_one(home, "r1")
    run = context("r2")
    publish(
        checked(home, run, candidate(home, run, sent=2)), home, run, settings(home), lambda done, total, note: notes.append(note)
    )
    return notes


def stop_at(number):
    def progress(done, total, note):
        progress.count += 1
        if progress.count == number:
            raise Killed(note)

    progress.count = 0
    return progress


def assert_whole(home):
    current = Published(home).current()
    assert verify(current) == []
    values = read(home, "SELECT DISTINCT emails_sent FROM kpi_contact UNION SELECT DISTINCT emails_sent FROM kpi_account")
    assert len(values) == 1


def test_stopped_at_every_step(tmp_path):
    notes = steps_of_a_publication(tmp_path / "undisturbed")
    undisturbed = Published(tmp_path / "undisturbed").current().content_hash
    assert {"write intent", "switch current", "record", "replace base", "drop old versions"} <= set(notes)
    publish_one(tmp_path / "first", "r1")
    for number in range(1, len(notes) + 1):
        home = tmp_path / str(number)
        shutil.copytree(tmp_path / "first", home, symlinks=True)
        run = context("r2")
        path = checked(home, run, candidate(home, run, sent=2))
        with pytest.raises(Killed):
            publish(path, home, run, settings(home), stop_at(number))
        assert_whole(home)
        publish(path, home, run, settings(home))
        store = Published(home)
        assert store.current().content_hash == undisturbed, notes[number - 1]
        assert store.intent() is None and not list(store.versions_folder.glob(".*"))
        assert [e["action"] for e in store.log()] in (["publish", "publish"], ["publish", "repoint"]), notes[number - 1]
        with duckdb.connect(str(home / "warehouse" / "base.duckdb"), read_only=True) as con:
            assert con.execute("SELECT max(emails_sent) FROM kpi_contact").fetchall() == [(2,)]


SCRIPT = """
import os, signal, sys
from pathlib import Path
from jobs.publish import publish
from tests.publish.marts import context, settings
home, number, run, count = Path(sys.argv[1]), int(sys.argv[2]), context("r2"), 0
def progress(done, total, note):
    global count
    count += 1
    if count == number:
        os.kill(os.getpid(), signal.SIGKILL)
publish(home / "warehouse" / "candidates" / "r2.duckdb", home, run, settings(home), progress)
"""


@pytest.mark.parametrize("note", ["write DuckDB files", "switch current", "replace base"])
def test_killed_for_real_and_run_again(tmp_path, note):
    number = steps_of_a_publication(tmp_path / "undisturbed").index(note) + 1
    home = tmp_path / "home"
    publish_one(home, "r1")
    run = context("r2")
    path = checked(home, run, candidate(home, run, sent=2))
    killed = subprocess.run([sys.executable, "-c", SCRIPT, str(home), str(number)], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert_whole(home)
    publish(path, home, run, settings(home))
    assert_whole(home)
    assert Published(home).current().content_hash == Published(tmp_path / "undisturbed").current().content_hash


def test_a_full_disk_leaves_the_published_version_alone(tmp_path, monkeypatch):
    first = publish_one(tmp_path, "r1").version
    monkeypatch.setattr(
        "jobs.publish.protocol.write_database", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(PublishError, match="No space left on device"):
        publish_one(tmp_path, "r2", sent=2)
    store = Published(tmp_path)
    assert store.current_name() == first and not list(store.versions_folder.glob(".*"))
    assert_whole(tmp_path)


def test_one_publication_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.publish.protocol.LOCK_SECONDS", 0.1)
    with publish_lock(tmp_path), pytest.raises(PublishError, match="another publication is running"):
        publish_one(tmp_path, "r1")


def test_a_reader_of_the_old_file_reads_on(tmp_path):
    publish_one(tmp_path, "r1")
    old = duckdb.connect(str((tmp_path / "published" / "current").resolve() / "marts.duckdb"), read_only=True)
    for n in range(2, 9):
        run = context(f"r{n}")
        publish(checked(tmp_path, run, candidate(tmp_path, run, sent=n)), tmp_path, run, settings(tmp_path, keep_versions=1))
        assert old.execute("SELECT max(emails_sent) FROM kpi_contact").fetchall() == [(1,)]
        assert read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(n,)]
    old.close()


READER = """
import sys, time, duckdb
from pathlib import Path
current, seen = Path(sys.argv[1]) / "published" / "current", set()
print("ready", flush=True)
while not (Path(sys.argv[1]) / "stop").exists():
    with duckdb.connect(str(current.resolve() / "marts.duckdb"), read_only=True) as con:
        a = con.execute("SELECT min(emails_sent), max(emails_sent) FROM kpi_contact").fetchone()
        b = con.execute("SELECT min(emails_sent), max(emails_sent) FROM kpi_account").fetchone()
    assert a == b and a[0] == a[1], (a, b)
    seen.add(a[0])
    time.sleep(0.02)
print(len(seen), flush=True)
"""


def test_fifty_publications_under_a_reader_in_another_process(tmp_path):
    publish_one(tmp_path, "r0", sent=0)
    with subprocess.Popen([sys.executable, "-c", READER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "ready\n"
        for n in range(1, 51):
            publish_one(tmp_path, f"r{n}", sent=n)
        (tmp_path / "stop").touch()
        assert int(reader.stdout.readline()) > 3
    assert reader.returncode == 0 and os.path.islink(tmp_path / "published" / "current")
