"""Publication: whole or not at all, switched by one pointer."""

import json
from datetime import timedelta

import duckdb
import pytest

from jobs.publish import PublishError, publish, release, rollback
from jobs.publish.versions import Published, VersionError, verify
from tests.publish.marts import DAY, candidate, checked, context, read, settings


def publish_one(home, run_id, as_of=DAY, severity=None, now=None, **content):
    run = context(run_id, as_of, is_backfill=content.pop("is_backfill", False))
    more = {"now": now} if now else {}
    return publish(checked(home, run, candidate(home, run, **content), severity), home, run, settings(home), **more)


def test_a_version_holds_what_the_manifest_says(tmp_path):
    done = publish_one(tmp_path, "r1")
    version = Published(tmp_path).current()
    assert done.status == "published" and done.version == version.name
    assert version.name.startswith("20260706T000000Z-") and version.name.endswith(version.content_hash[:8])
    assert verify(version) == []
    assert read(tmp_path, "SELECT contact_id, emails_sent FROM kpi_contact") == [("c0", 1), ("c1", 1), ("c2", 1)]
    assert (version.folder / "parquet" / "kpi_history" / "2026-07-05.parquet").exists()
    assert read(tmp_path, "SELECT version, completeness, run_id FROM publication") == [(version.name, "complete", "r1")]
    assert read(tmp_path, "SELECT stage, duration_seconds, row_count FROM run_stage") == [("normalise", 1.5, 10)]
    assert read(tmp_path, "SELECT status FROM quality_result") == [("passed",)]
    assert json.loads((tmp_path / "warehouse" / "base.json").read_text())["snapshot_id"] == "snapshot-r1"
    assert (tmp_path / "warehouse" / "base.duckdb").exists()
    assert not (tmp_path / "warehouse" / "candidates" / "r1.duckdb").exists()


def test_source_watermarks_are_told_by_kind_of_stream_and_an_erasure_tells_of_no_older_version(tmp_path):
    publish_one(tmp_path, "r1")
    read_at = {"messages/u1/f1": 3, "messages/u2/f1": 2, "messages/u3/f1": 1, "users": 4}
    marks = [
        {"source": "graph", "stream": s, "last_complete_round_started_at": DAY + timedelta(hours=h), "parked_reason": "403" if h == 1 else None}
        for s, h in read_at.items()
    ]  # fmt: skip
    run = context("r2", watermarks=marks, is_erasure=True)
    publish(checked(tmp_path, run, candidate(tmp_path, run, sent=2)), tmp_path, run, settings(tmp_path))
    ((told,),) = read(tmp_path, "SELECT source_watermarks FROM publication")
    assert json.loads(told) == {"graph/messages": "2026-07-06T02:00:00Z", "graph/users": "2026-07-06T04:00:00Z"}


def test_restricted_tables_are_apart_and_closed(tmp_path):
    publish_one(tmp_path, "r1")
    folder = Published(tmp_path).current().folder
    assert read(tmp_path, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'activity_subject'") == [(0,)]
    assert read(tmp_path, "SELECT subject FROM activity_subject", "restricted.duckdb") == [("A subject",)]
    assert (folder / "restricted").stat().st_mode & 0o077 == 0 and (folder / "restricted.duckdb").stat().st_mode & 0o077 == 0
    assert not (folder / "parquet" / "activity_subject.parquet").exists()


def test_nobody_may_write_to_a_version(tmp_path):
    publish_one(tmp_path, "r1")
    files = [f for f in Published(tmp_path).current().folder.rglob("*") if f.is_file()]
    assert len(files) > 8 and not any(f.stat().st_mode & 0o222 for f in files)


def test_equal_content_publishes_nothing(tmp_path):
    first = publish_one(tmp_path, "r1")
    again = publish_one(tmp_path, "r2")
    assert (again.status, again.version) == ("unchanged", first.version)
    assert len(Published(tmp_path).versions()) == 1
    assert json.loads((tmp_path / "warehouse" / "base.json").read_text())["snapshot_id"] == "snapshot-r2"


def test_content_of_a_kept_version_moves_the_pointer_only(tmp_path):
    first = publish_one(tmp_path, "r1")
    second = publish_one(tmp_path, "r2", sent=2)
    third = publish_one(tmp_path, "r3")
    assert (third.status, third.version, third.previous) == ("repointed", first.version, second.version)
    assert read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(1,)]
    assert [e["action"] for e in Published(tmp_path).log()] == ["publish", "publish", "repoint"]


def test_a_backfill_writes_its_day_and_moves_no_pointer(tmp_path):
    current = publish_one(tmp_path, "r1").version
    base = (tmp_path / "warehouse" / "base.json").read_text()
    done = publish_one(tmp_path, "b1", DAY - timedelta(days=2), is_backfill=True, sent=7)
    assert done.status == "backfilled" and Published(tmp_path).current_name() == current
    assert (tmp_path / "warehouse" / "base.json").read_text() == base
    day = (DAY - timedelta(days=3)).date()
    file = tmp_path / "lake" / "history" / "kpi" / f"as_of_date={day}" / "kpi_history.parquet"
    assert duckdb.sql(f"SELECT max(emails_sent) FROM '{file}'").fetchall() == [(7,)]
    publish_one(tmp_path, "r2", sent=2, past_days=(day,))
    assert read(tmp_path, "SELECT as_of_date::varchar, max(emails_sent) FROM kpi_history GROUP BY 1 ORDER BY 1") == [
        ("2026-07-03", 7),
        ("2026-07-05", 2),
    ]


def test_partitions_are_hard_linked_between_versions(tmp_path):
    publish_one(tmp_path, "r1")
    day = (DAY - timedelta(days=1)).date()
    publish_one(tmp_path, "r2", DAY + timedelta(days=1), past_days=(day,))
    files = [v.folder / "parquet" / "kpi_history" / f"{day}.parquet" for v in Published(tmp_path).versions()]
    assert len({f.stat().st_ino for f in files}) == 1 and len(files) == 2


def test_g3_days_beyond_history_days_are_dropped(tmp_path):
    publish_one(tmp_path, "r1")
    run = context("r2", DAY + timedelta(days=30))
    publish(checked(tmp_path, run, candidate(tmp_path, run)), tmp_path, run, settings(tmp_path, history_days=30))
    assert [f.name for f in (tmp_path / "lake" / "history" / "kpi").iterdir()] == ["as_of_date=2026-08-04"]


def test_only_checked_and_unchanged_candidates_are_published(tmp_path):
    run = context("r1")
    path = candidate(tmp_path, run)
    with pytest.raises(PublishError, match="was not checked"):
        publish(path, tmp_path, run, settings(tmp_path))
    checked(tmp_path, run, path)
    with duckdb.connect(str(path)) as con:
        con.execute("DELETE FROM kpi_contact")
    with pytest.raises(PublishError, match="changed after its check"):
        publish(path, tmp_path, run, settings(tmp_path))
    assert Published(tmp_path).current() is None


def test_a_held_candidate_waits_for_its_release(tmp_path):
    publish_one(tmp_path, "r1")
    held = publish_one(tmp_path, "r2", sent=5, severity="hold")
    assert held.status == "held" and read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(1,)]
    done = release(tmp_path, settings(tmp_path), "the drop is wanted")
    assert done.status == "published" and read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(5,)]
    last = Published(tmp_path).log()[-1]
    assert (last["action"], last["reason"]) == ("release", "the drop is wanted")
    with pytest.raises(PublishError, match="no candidate is held"):
        release(tmp_path, settings(tmp_path), "again")


def test_a_newer_candidate_replaces_a_held_one(tmp_path):
    publish_one(tmp_path, "r1")
    publish_one(tmp_path, "r2", sent=5, severity="hold")
    publish_one(tmp_path, "r3", sent=6, severity="hold")
    assert not (tmp_path / "warehouse" / "candidates" / "r2.duckdb").exists()
    publish_one(tmp_path, "r4", sent=7)
    with pytest.raises(PublishError, match="no candidate is held"):
        release(tmp_path, settings(tmp_path), "too late")
    assert not (tmp_path / "warehouse" / "candidates" / "r3.duckdb").exists()


def test_rollback_and_the_next_run(tmp_path):
    first = publish_one(tmp_path, "r1")
    second = publish_one(tmp_path, "r2", sent=2)
    done = rollback(tmp_path, settings(tmp_path), first.version, "wrong figures")
    assert (done.version, done.previous) == (first.version, second.version)
    assert read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(1,)]
    with pytest.raises(PublishError, match="current version already"):
        rollback(tmp_path, settings(tmp_path), first.version, "twice")
    assert publish_one(tmp_path, "r3", sent=3).status == "published"


def test_a_damaged_version_is_found_and_not_rolled_back_to(tmp_path):
    first = publish_one(tmp_path, "r1")
    publish_one(tmp_path, "r2", sent=2)
    version = Published(tmp_path).version(first.version)
    file = version.folder / "parquet" / "kpi_account.parquet"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert verify(version) == [f"{version.name}/parquet/kpi_account.parquet is not the file that was published"]
    with pytest.raises(PublishError, match="cannot roll back"):
        rollback(tmp_path, settings(tmp_path), first.version, "no")


def test_a_damaged_version_is_built_anew_once_readers_are_rolled_back(tmp_path):
    first = publish_one(tmp_path, "r1")
    second = publish_one(tmp_path, "r2", sent=2)
    file = Published(tmp_path).current().folder / "parquet" / "kpi_account.parquet"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(PublishError, match=r"is damaged \(.*kpi_account.parquet.*rollback"):
        publish_one(tmp_path, "r3", sent=2)
    rollback(tmp_path, settings(tmp_path), first.version, "damaged")
    again = publish_one(tmp_path, "r4", sent=2)
    assert again.version == second.version and verify(Published(tmp_path).current()) == []
    assert read(tmp_path, "SELECT max(emails_sent) FROM kpi_contact") == [(2,)]


def test_a_damaged_manifest_is_named(tmp_path):
    publish_one(tmp_path, "r1")
    file = Published(tmp_path).current().folder / "manifest.json"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(VersionError, match=rf"{file} is damaged: .*move {file.parent.name} out of"):
        Published(tmp_path).versions()


def test_the_last_versions_are_kept(tmp_path):
    names = []
    for n in range(5):
        run = context(f"r{n}")
        names.append(
            publish(
                checked(tmp_path, run, candidate(tmp_path, run, sent=n)), tmp_path, run, settings(tmp_path, keep_versions=2)
            ).version
        )
    assert {v.name for v in Published(tmp_path).versions()} == set(names[-2:])
    assert Published(tmp_path).published_count() == 5


def test_the_same_rows_give_the_same_hash_whatever_order_and_threads(tmp_path):
    hashes = set()
    for threads in (1, 2, 4):
        home = tmp_path / str(threads)
        run = context("r")
        done = publish(checked(home, run, candidate(home, run, contacts=200_000)), home, run, settings(home, threads=threads))
        hashes.add(done.content_hash)
    assert len(hashes) == 1
