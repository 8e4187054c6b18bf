"""PostgreSQL as a target: loaded apart, switched in one transaction, read through stable views."""

import threading
import time

import adbc_driver_postgresql.dbapi as adbc
import pytest

from jobs.publish import publish, rollback
from jobs.publish.postgres import Postgres, PostgresError
from jobs.publish.versions import Published
from tests.publish.marts import DAY, MARTS, candidate, checked, context, settings, write_project

READER, LOADER = "rapport_bi", "rapport_loader"


def ask(dsn, query, user="rapport"):
    with adbc.connect(dsn.replace("rapport@", f"{user}@"), autocommit=True) as con, con.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall() if cursor.description else None


def publish_one(home, dsn, run_id, as_of=DAY, marts=MARTS, **content):
    run = context(run_id, as_of)
    return publish(
        checked(home, run, candidate(home, run, marts=marts, **content)),
        home,
        run,
        settings(home, postgres_dsn=dsn, postgres_switch_seconds=5),
    )


def test_readers_see_what_was_published(tmp_path, postgres):
    version = publish_one(tmp_path, postgres, "r1").version
    assert ask(postgres, "SELECT contact_id, emails_sent, as_of FROM kpi.kpi_contact ORDER BY 1", READER) == [
        (f"c{i}", 1, DAY) for i in range(3)
    ]
    assert ask(postgres, "SELECT version, action, completeness FROM kpi.publication", READER) == [
        (version, "publish", "complete")
    ]
    assert ask(postgres, "SELECT count(*) FROM kpi.quality_result", READER) == [(1,)]
    kinds = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'kpi' AND table_name = 'kpi_history' ORDER BY ordinal_position"
    assert dict(ask(postgres, kinds))["as_of"] == "timestamp with time zone"


def test_the_reader_role_reads_kpi_alone(tmp_path, postgres):
    publish_one(tmp_path, postgres, "r1")
    assert ask(postgres, "SELECT subject FROM restricted.activity_subject") == [("A subject",)]
    for forbidden in (
        "restricted.activity_subject",
        "kpi_v1.kpi_contact",
        "kpi_restricted_v1.activity_subject",
        "kpi_log.publication",
    ):
        with pytest.raises(adbc.Error, match="permission denied"):
            ask(postgres, f"SELECT * FROM {forbidden}", READER)
    with pytest.raises(adbc.Error, match="permission denied"):
        ask(postgres, "DELETE FROM kpi.kpi_contact", READER)


def test_two_versions_are_kept_and_a_readers_own_view_survives(tmp_path, postgres):
    publish_one(tmp_path, postgres, "r1")
    ask(postgres, "CREATE SCHEMA own; ")
    ask(postgres, "CREATE VIEW own.mine AS SELECT sum(emails_sent) AS emails FROM kpi.kpi_contact")
    for sent in (2, 3, 4):
        publish_one(tmp_path, postgres, f"r{sent}", sent=sent)
        assert ask(postgres, "SELECT emails::bigint FROM own.mine") == [(3 * sent,)]
    loaded = ask(postgres, "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'kpi%v_' ORDER BY 1")
    assert [n for (n,) in loaded] == ["kpi_restricted_v3", "kpi_restricted_v4", "kpi_v3", "kpi_v4"]


def test_rollback_switches_postgres_too_and_reloads_what_was_dropped(tmp_path, postgres):
    names = [publish_one(tmp_path, postgres, f"r{n}", sent=n).version for n in (1, 2, 3)]
    rollback(tmp_path, settings(tmp_path, postgres_dsn=postgres), names[0], "wrong")
    assert ask(postgres, "SELECT max(emails_sent) FROM kpi.kpi_contact", READER) == [(1,)]
    assert ask(postgres, "SELECT version, action, reason FROM kpi.publication ORDER BY position DESC LIMIT 1") == [
        (names[0], "rollback", "wrong")
    ]
    assert Published(tmp_path).current_name() == names[0]


def test_an_unfinished_load_is_dropped_and_done_again(tmp_path, postgres):
    publish_one(tmp_path, postgres, "r1")
    ask(postgres, "CREATE SCHEMA kpi_v2")
    ask(postgres, "CREATE TABLE kpi_v2.kpi_contact (half int)")
    publish_one(tmp_path, postgres, "r2", sent=2)
    assert ask(postgres, "SELECT max(emails_sent) FROM kpi.kpi_contact", READER) == [(2,)]


@pytest.mark.parametrize(("note", "completed"), [("load PostgreSQL", False), ("switch PostgreSQL", True)])
def test_a_server_that_goes_away_changes_nothing_and_the_next_run_goes_on(tmp_path, postgres, postgres_server, note, completed):
    first = publish_one(tmp_path, postgres, "r1").version
    run = context("r2")

    def away(done, total, step):
        if step == note:
            postgres_server.stop()

    try:
        with pytest.raises(PostgresError, match="run again"):
            path = checked(tmp_path, run, candidate(tmp_path, run, sent=2))
            publish(path, tmp_path, run, settings(tmp_path, postgres_dsn=postgres), away)
    finally:
        postgres_server.start()
    assert Published(tmp_path).current_name() == first
    assert ask(postgres, "SELECT max(emails_sent) FROM kpi.kpi_contact", READER) == [(1,)]
    publish_one(tmp_path, postgres, "r3", sent=3)
    assert [e["run_id"] for e in Published(tmp_path).log()] == (["r1", "r2", "r3"] if completed else ["r1", "r3"])
    assert ask(postgres, "SELECT max(emails_sent) FROM kpi.kpi_contact", READER) == [(3,)]
    assert ask(postgres, "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^kpi_v'") == [(2,)]


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("postgresql://rapport:se/cret@127.0.0.1:9/x", "RAPPORT_POSTGRES_DSN cannot be read"),
        ("postgresql://rapport:se%cret@127.0.0.1:9/x", "RAPPORT_POSTGRES_DSN cannot be read"),
        ("postgresql://rapport:secret@127.0.0.1:9/x", "Connection refused"),
    ],
)
def test_a_server_that_is_not_reached_is_told_without_the_password(dsn, message):
    with pytest.raises(PostgresError, match=message) as error:
        Postgres(dsn, READER).current()
    assert "cret" not in str(error.value) and "cret" not in str(error.value.__context__ or "")


def test_a_missing_role_is_named(tmp_path, postgres):
    run = context("r1")
    path = checked(tmp_path, run, candidate(tmp_path, run))
    with pytest.raises(PostgresError, match="CREATE ROLE"):
        publish(path, tmp_path, run, settings(tmp_path, postgres_dsn=postgres, postgres_reader_role="nobody_there"))
    assert Published(tmp_path).current() is None


def test_a_new_column_is_appended_and_a_removed_one_needs_a_new_view(tmp_path, postgres):
    publish_one(tmp_path, postgres, "r1")
    wider = {
        **MARTS,
        "kpi_account": (
            MARTS["kpi_account"][0],
            "account_id VARCHAR!, region VARCHAR, emails_sent BIGINT!, as_of TIMESTAMP WITH TIME ZONE!",
        ),
    }
    write_project(tmp_path / "dbt_project", wider)
    publish_one(tmp_path, postgres, "r2", marts=wider)
    columns = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'kpi' AND table_name = 'kpi_account' ORDER BY ordinal_position"
    assert [c for (c,) in ask(postgres, columns)] == ["account_id", "emails_sent", "as_of", "region"]
    ask(postgres, "CREATE VIEW public.mine AS SELECT region FROM kpi.kpi_account")
    write_project(tmp_path / "dbt_project", MARTS)
    with pytest.raises(PostgresError, match="depend"):
        publish_one(tmp_path, postgres, "r3", sent=3)
    ask(postgres, "DROP VIEW public.mine")
    publish_one(tmp_path, postgres, "r4", sent=4)
    assert [c for (c,) in ask(postgres, columns)] == ["account_id", "emails_sent", "as_of"]


def test_a_reader_who_holds_a_view_is_waited_for_and_named(tmp_path, postgres):
    publish_one(tmp_path, postgres, "r1")
    with adbc.connect(postgres.replace("rapport@", f"{READER}@")) as con, con.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kpi.kpi_contact")
        cursor.fetchall()
        with pytest.raises(PostgresError, match=READER):
            run = context("r2")
            path = checked(tmp_path, run, candidate(tmp_path, run, sent=2))
            publish(path, tmp_path, run, settings(tmp_path, postgres_dsn=postgres, postgres_switch_seconds=0.5))
    assert publish_one(tmp_path, postgres, "r3", sent=3).status == "published"


def test_forgetting_the_past_leaves_the_version_shown_and_waits_for_readers(tmp_path, postgres):
    mailbox = {"source": "graph", "stream": "messages/u1/f1", "last_complete_round_started_at": DAY, "parked_reason": "403"}
    for n, parked in ((1, [mailbox]), (2, [])):
        run = context(f"r{n}", parked=parked)
        path = checked(tmp_path, run, candidate(tmp_path, run, sent=n))
        publish(path, tmp_path, run, settings(tmp_path, postgres_dsn=postgres))
    log = "SELECT parked_streams FROM kpi.publication ORDER BY position"
    assert "messages/u1" in str(ask(postgres, log))
    target = Postgres(postgres, READER, 0.5)
    with adbc.connect(postgres) as con, con.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kpi_v1.kpi_contact")
        cursor.fetchall()
        with pytest.raises(PostgresError, match=r"held kpi_v1, which is to be dropped.*rapport \(pid"):
            target.forget_past()
    target.forget_past()
    assert ask(postgres, "SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^kpi_v'") == [("kpi_v2",)]
    assert ask(postgres, log, READER) == [("[]",), ("[]",)]
    assert ask(postgres, "SELECT max(emails_sent) FROM kpi.kpi_contact", READER) == [(2,)]


TABLES = ("kpi_contact", "kpi_account", "kpi_history")
LATEST = "SELECT version FROM kpi.publication ORDER BY position DESC LIMIT 1"
SINGLE = f"""
    SELECT ({LATEST}), min(c.emails_sent), max(c.emails_sent), min(a.emails_sent), max(a.emails_sent)
    FROM kpi.kpi_contact c CROSS JOIN kpi.kpi_account a
"""


def shown(cursor, tables=TABLES):
    """The version that a transaction is told it reads, and the figures that it finds in each table."""
    cursor.execute(LATEST)
    version = cursor.fetchall()[0][0]
    figures = []
    for table in tables:
        cursor.execute(f"SELECT min(emails_sent), max(emails_sent) FROM kpi.{table}")
        figures += cursor.fetchall()[0]
    return version, figures


def entry(number):
    return {"id": f"e{number}", "at": "2026-07-06T00:00:00+00:00", "action": "publish", "previous": None, "reason": None}


def three_versions(home, dsn):
    """Three versions, the first shown; the name of each with the figure that all its tables hold."""
    for n in (3, 2, 1):
        publish_one(home, dsn, f"r{n}", sent=n)
    versions = sorted(Published(home).versions(), key=lambda v: v.manifest["run_id"])
    return versions, {v.name: n for n, v in enumerate(versions, 1)}


def test_fifty_publications_under_readers_in_a_loop_give_no_error_and_no_mixed_version(tmp_path, postgres):
    versions, figure = three_versions(tmp_path, postgres)
    target = Postgres(postgres, READER, 30)
    ask(postgres, f"CREATE SCHEMA own AUTHORIZATION {READER}")
    ask(
        postgres,
        "CREATE VIEW own.mine AS SELECT min(c.emails_sent) AS least, max(a.emails_sent) AS greatest FROM kpi.kpi_contact c, kpi.kpi_account a",
        READER,
    )
    stop, trouble, seen = threading.Event(), [], []

    def single(cursor):
        cursor.execute(SINGLE)
        version, *figures = cursor.fetchall()[0]
        return version, figures

    def several(cursor):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return shown(cursor)

    def through_a_view_of_their_own(cursor):
        cursor.execute("SELECT least, greatest FROM own.mine")
        figures = cursor.fetchall()[0]
        version, more = shown(cursor)
        return version, [*figures, *more]

    def several_after_another_statement(cursor):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM pg_class")
        stop.wait(0.02)
        return shown(cursor, reversed(TABLES))

    def read(how):
        try:
            with adbc.connect(postgres.replace("rapport@", f"{READER}@")) as con, con.cursor() as cursor:
                while not stop.is_set():
                    version, figures = how(cursor)
                    con.commit()
                    seen.append(figure[version])
                    if set(figures) != {figure[version]}:
                        trouble.append((how.__name__, version, figures))
                    stop.wait(0.002)
        except Exception as error:
            trouble.append((how.__name__, error))

    ways = (single, several, several_after_another_statement, through_a_view_of_their_own)
    readers = [threading.Thread(target=read, args=(how,)) for how in ways]
    for reader in readers:
        reader.start()
    for n in range(50):
        target.load(versions[n % 3])
        target.switch(versions[n % 3], entry(n))
        target.prune()
    stop.set()
    for reader in readers:
        reader.join()
    assert trouble == []
    assert set(seen) == {1, 2, 3} and len(seen) > 100


def test_a_snapshot_older_than_the_load_is_waited_for_and_named(tmp_path, postgres):
    ask(postgres, f"GRANT CREATE ON DATABASE {postgres.rpartition('/')[2]} TO {LOADER}")
    loader = postgres.replace("rapport@", f"{LOADER}@")
    versions, figure = three_versions(tmp_path, loader)
    target = Postgres(loader, READER, 0.5)
    with adbc.connect(postgres.replace("rapport@", f"{READER}@")) as con, con.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        cursor.fetchall()
        target.load(versions[2])
        with pytest.raises(PostgresError, match=READER):
            target.switch(versions[2], entry(1))
        version, figures = shown(cursor)
        assert set(figures) == {figure[version]} == {1}
        con.commit()
        target.switch(versions[2], entry(1))
        version, figures = shown(cursor)
        assert set(figures) == {figure[version]} == {3}


def test_a_transaction_that_waits_for_the_switch_sees_the_new_version_whole(tmp_path, postgres, monkeypatch):
    versions, figure = three_versions(tmp_path, postgres)
    target, found = Postgres(postgres, READER, 10), []
    target.load(versions[1])

    def read():
        with adbc.connect(postgres.replace("rapport@", f"{READER}@")) as con, con.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            found.append(shown(cursor))

    reader = threading.Thread(target=read)
    replace = Postgres._replace_views

    def while_a_reader_waits(self, con, *rest):
        reader.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while ask(postgres, waiting) == [(0,)]:
            time.sleep(0.01)
        replace(self, con, *rest)

    monkeypatch.setattr(Postgres, "_replace_views", while_a_reader_waits)
    target.switch(versions[1], entry(1))
    reader.join()
    ((version, figures),) = found
    assert set(figures) == {figure[version]} == {2}
