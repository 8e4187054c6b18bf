"""A publication stopped at any moment: readers have a whole version, and the next run finishes or cleans up."""

import os
import shutil
import signal
import subprocess
import sys
import warnings
from itertools import islice
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import pytest

from jobs.publish import PublishError, publish
from jobs.publish.protocol import publish_lock
from jobs.publish.versions import Published, verify
from tests.publish.marts import candidate, checked, context, read, settings
from tests.publish.test_protocol import publish_one

KILLED, FULL, PUBLISHED, NEVER_CAME = -signal.SIGKILL, 3, 0, 5
# It forks for each home, so that what dies is a process of its own and yet costs no start. The number that a home is
# named after is the event at which its publication ends: a step, or with `finely` anything done to a file.
DRIVER = """
import os, signal, sys
from pathlib import Path
from jobs.publish import PublishError, publish
from tests.publish.marts import context, settings

ending, events, dsn, *homes = sys.argv[1:]
happened = 0

def happens(*_):
    global happened
    happened += 1
    if happened == number:
        if ending == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(28, "No space left on device")

def watched(function):
    def call(*arguments, **options):
        happens()
        return function(*arguments, **options)
    return call

os.fsync = lambda descriptor: None
for home in map(Path, homes):
    number = int(home.name)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    if events == "files":
        for name in ("open", "fsync", "replace", "link", "symlink", "unlink", "rmdir", "chmod"):
            setattr(os, name, watched(getattr(os, name)))
    run, target, code = context("r2"), settings(home, postgres_dsn=f"{dsn}_{number}" if dsn else None), 0
    step = happens if events == "steps" else (lambda *_: None)
    try:
        publish(home / "warehouse" / "candidates" / "r2.duckdb", home, run, target, step)
    except PublishError as error:
        code = 3 if "No space left on device" in str(error) else 4
    os._exit(code if happened >= number else 5)
"""


def ended(homes, ending, events, dsn=""):
    """How the publication of r2 ended in each home: KILLED, FULL, PUBLISHED all the same, or its event NEVER_CAME."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, ending, events, dsn, *map(str, homes)],
        cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


def run_again(home, run_id="r2", sent=2, progress=lambda done, total, note: None, **more):
    """Publish a run whose candidate an earlier try may have left, checked."""
    run = context(run_id)
    path = home / "warehouse" / "candidates" / f"{run_id}.duckdb"
    if not (home / "quality" / run_id).exists():
        checked(home, run, candidate(home, run, sent=sent))
    return publish(path, home, run, settings(home, **more), progress)


def undisturbed(home, **more):
    """The steps of a second publication, and the content hash that it ends in."""
    notes = []
    publish_one(home, "r1")
    done = run_again(home, progress=lambda done, total, note: notes.append(note), **more)
    return notes, done.content_hash


def homes_to_end(folder, numbers):
    """A home for each number, in which r1 is published and the candidate r2 is checked."""
    publish_one(folder / "first", "r1")
    for number in numbers:
        home = shutil.copytree(folder / "first", folder / str(number), symlinks=True)
        run = context("r2")
        checked(home, run, candidate(home, run, sent=2))
        yield home


def assert_whole(home):
    assert verify(Published(home).current()) == []
    values = read(home, "SELECT DISTINCT emails_sent FROM kpi_contact UNION SELECT DISTINCT emails_sent FROM kpi_account")
    assert len(values) == 1


def assert_the_next_run_goes_on(home, digest, **more):
    """The same run again ends as if nothing had happened."""
    run_again(home, **more)
    assert_whole(home)
    store = Published(home)
    assert store.current().content_hash == digest
    assert store.intent() is None and not list(store.versions_folder.glob(".*"))
    assert [e["action"] for e in store.log()] in (["publish", "publish"], ["publish", "repoint"])
    with duckdb.connect(str(home / "warehouse" / "base.duckdb"), read_only=True) as con:
        assert con.execute("SELECT max(emails_sent) FROM kpi_contact").fetchall() == [(2,)]


def test_killed_at_every_step_and_run_again(tmp_path):
    notes, digest = undisturbed(tmp_path / "undisturbed")
    assert {"write intent", "switch current", "record", "replace base", "drop old versions"} <= set(notes)
    homes = list(homes_to_end(tmp_path, range(1, len(notes) + 1)))
    assert set(ended(homes, "killed", "steps")) == {KILLED}
    for home in homes:
        assert_whole(home)
        assert_the_next_run_goes_on(home, digest)


def copies(postgres, numbers):
    """Databases like `postgres`, whose names end in a number; gives settings by number."""
    server, _, name = postgres.rpartition("/")
    with adbc.connect(f"{server}/postgres", autocommit=True) as con, con.cursor() as cursor:
        for number in numbers:
            cursor.execute(f'CREATE DATABASE "{name}_{number}" TEMPLATE "{name}"')
    return {number: {"postgres_dsn": f"{postgres}_{number}"} for number in numbers}


def shown(dsn):
    """The figures that readers of PostgreSQL see, over all tables."""
    with adbc.connect(dsn.replace("rapport@", "rapport_bi@")) as con, con.cursor() as cursor:
        cursor.execute("SELECT emails_sent FROM kpi.kpi_contact UNION SELECT emails_sent FROM kpi.kpi_account")
        return {value for (value,) in cursor.fetchall()}


def test_killed_at_every_step_with_postgresql_and_run_again(tmp_path, postgres):
    home = tmp_path / "loaded"
    publish_one(home, "r0", sent=0)
    run_again(home, "r1", sent=1, postgres_dsn=postgres)
    notes, digest = undisturbed(tmp_path / "undisturbed", **copies(postgres, [0])[0])
    targets = copies(postgres, range(notes.index("load PostgreSQL") + 1, len(notes) + 1))
    homes = list(homes_to_end(tmp_path, targets))
    assert set(ended(homes, "killed", "steps", postgres)) == {KILLED}
    for home, target in zip(homes, targets.values(), strict=True):
        assert_whole(home)
        assert len(shown(target["postgres_dsn"])) == 1
        assert_the_next_run_goes_on(home, digest, **target)
        assert shown(target["postgres_dsn"]) == {2}


@pytest.mark.long
@pytest.mark.parametrize("ending", ["killed", "full"])
def test_ended_at_everything_it_does_to_a_file(tmp_path, ending):
    """Every other home runs again at once, the rest is overtaken by a later run."""
    _, digest = undisturbed(tmp_path / "undisturbed")
    homes = homes_to_end(tmp_path, range(1, 1000))
    outcomes = []
    while NEVER_CAME not in outcomes:
        some = list(islice(homes, 20))
        outcomes += ended(some, ending, "files")
        for home in some:
            assert_whole(home)
            if int(home.name) % 2:
                assert_the_next_run_goes_on(home, digest)
            else:
                run_again(home, "r3", sent=3)
                assert_whole(home)
                assert read(home, "SELECT max(emails_sent) FROM kpi_contact") == [(3,)]
            shutil.rmtree(home)
    outcomes = outcomes[: outcomes.index(NEVER_CAME)]
    assert len(outcomes) > 60
    assert set(outcomes) <= ({KILLED} if ending == "killed" else {FULL, PUBLISHED})


def test_a_full_disk_leaves_the_published_version_alone(tmp_path):
    _, digest = undisturbed(tmp_path / "undisturbed")
    homes = list(homes_to_end(tmp_path, [10, 20, 40, 60]))
    assert ended(homes, "full", "files") == [FULL] * 4
    for home in homes:
        assert_whole(home)
        assert_the_next_run_goes_on(home, digest)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 32 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        message = f"NO RIGHT TO MOUNT: a disk that is really full is NOT drilled; run this as root ({mounted.stderr.strip()})"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.long
def test_a_disk_that_is_really_full_at_any_fill(tmp_path, small_disk):
    """With less and less room left the second publication fails, and once there is room the same run goes on."""
    contacts = 60_000
    publish_one(tmp_path / "undisturbed", "r1")
    digest = publish_one(tmp_path / "undisturbed", "r2", sent=2, contacts=contacts).content_hash
    publish_one(tmp_path / "first", "r1")
    failed, published = set(), 0
    for room in (12000, 6000, 5000, 4000, 3000, 2000, 1500, 1000, 600, 300, 100, 40, 8, 0):
        steps = []
        home = shutil.copytree(tmp_path / "first", small_disk / "home", symlinks=True)
        run = context("r2")
        path = checked(home, run, candidate(home, run, sent=2, contacts=contacts))
        ballast = small_disk / "ballast"
        free = os.statvfs(small_disk)
        with ballast.open("wb") as file:
            file.write(bytes(free.f_bavail * free.f_frsize - room * 1024))
        try:
            publish(path, home, run, settings(home), lambda done, total, note, steps=steps: steps.append(note))
            published += 1
        except PublishError as error:
            assert "free the cause and run again" in str(error)
            failed.add(steps[-1])
        assert_whole(home)
        ballast.unlink()
        assert_the_next_run_goes_on(home, digest)
        shutil.rmtree(home)
    assert published and {"write history partition", "write kpi_contact", "write DuckDB files"} <= failed, failed


def test_one_publication_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.publish.protocol.LOCK_SECONDS", 0.1)
    with publish_lock(tmp_path), pytest.raises(PublishError, match="another run is publishing"):
        publish_one(tmp_path, "r1")


READER = """
import sys, time, duckdb
from pathlib import Path
current, seen = Path(sys.argv[1]) / "published" / "current", set()
old = duckdb.connect(str(current.resolve() / "marts.duckdb"), read_only=True)
print("ready", flush=True)
while not (Path(sys.argv[1]) / "stop").exists():
    with duckdb.connect(str(current.resolve() / "marts.duckdb"), read_only=True) as con:
        a = con.execute("SELECT min(emails_sent), max(emails_sent) FROM kpi_contact").fetchone()
        b = con.execute("SELECT min(emails_sent), max(emails_sent) FROM kpi_account").fetchone()
    assert a == b and a[0] == a[1], (a, b)
    seen.add(a[0])
    assert old.execute("SELECT max(emails_sent) FROM kpi_account").fetchone() == (0,)
    time.sleep(0.02)
print(len(seen), flush=True)
"""


def test_fifty_publications_under_readers_in_another_process_of_new_files_and_of_an_old_one(tmp_path):
    publish_one(tmp_path, "r0", sent=0)
    with subprocess.Popen([sys.executable, "-c", READER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "ready\n"
        for n in range(1, 51):
            publish_one(tmp_path, f"r{n}", sent=n)
        (tmp_path / "stop").touch()
        assert int(reader.stdout.readline()) > 3
    assert reader.returncode == 0 and os.path.islink(tmp_path / "published" / "current")
