"""PostgreSQL as a target: a version is loaded into a schema of its own, and readers use stable schemas of views.

`kpi_v<N>` holds the tables of a version, `kpi_restricted_v<N>` its restricted ones. `kpi` and `restricted` hold views
over one of them, all replaced in one transaction, and `kpi.publication` shows the log of switches, `kpi_log.publication`.
Grants sit on `kpi` alone. The comment of `kpi_v<N>` says which version it is; it is written last, so a load without it is unfinished.

A transaction reads one version even when its snapshot is older than the switch: views are looked up as they are now, rows
as they were then. So a switch waits for the snapshots that are older than the load, which would find the new tables empty,
and the view `kpi.publication` has the last switch in its own text.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.parquet as pq

from jobs import clock
from jobs.errors import RapportError
from jobs.publish.catalogue import Mart, literal, quote
from jobs.publish.records import PUBLICATION
from jobs.publish.versions import Version

SCHEMA, RESTRICTED = "kpi", "restricted"
LOG = "kpi_log.publication"
KEPT_SCHEMAS = 2
BATCH_ROWS = 65_536
LOCK_WAIT_MS = 200
LOCKING_SECONDS = 0.5
PAUSE_SECONDS = 0.02
RETRIED = ("55P03", "40P01")
LOG_COLUMNS = {
    "id": "text PRIMARY KEY",
    "position": "bigint GENERATED ALWAYS AS IDENTITY",
    "switched_at": "timestamptz NOT NULL",
    "action": "text NOT NULL",
    "previous": "text",
    "reason": "text",
}


class PostgresError(RapportError):
    """PostgreSQL could not be loaded or switched; readers of it see what they saw before."""


class Postgres:
    """The PostgreSQL target at `dsn`; `role` may read `kpi`. A switch waits `switch_seconds` for readers at most."""

    def __init__(self, dsn: str, role: str, switch_seconds: float = 120.0, sleep: Callable[[float], None] = clock.sleep) -> None:
        self.dsn, self.role, self.switch_seconds, self.sleep = dsn, role, switch_seconds, sleep

        self._con: adbc.Connection | None = None

    @contextmanager
    def _session(self) -> Iterator[adbc.Connection]:
        """The target's one connection, opened when first needed; a failure closes it."""
        try:
            if self._con is None:
                self._con = _connect(self.dsn)
            yield self._con
        except adbc.Error as error:
            self.close()
            text = " ".join(str(error).split())
            raise PostgresError(f"PostgreSQL: {text}; readers see the version they saw before, run again") from error
        except BaseException:
            self.close()
            raise
        self._con.commit()

    def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        con, self._con = self._con, None
        if con is not None:
            with suppress(adbc.Error):
                con.close()

    def current(self) -> str | None:
        """The version that readers of `kpi` see."""
        with self._session() as con:
            if not _query(con, f"SELECT 1 FROM pg_class WHERE oid = to_regclass('{LOG}')"):
                return None
            found = _query(con, f"SELECT version FROM {LOG} ORDER BY position DESC LIMIT 1")
            return found[0][0] if found else None

    def load(self, version: Version) -> int:
        """Load a version into a schema of its own, unless it is there; returns the schema's number.

        What an interrupted load left is dropped first. The tables carry the types, NOT NULL and keys of the contract.
        """
        with self._session() as con:
            known = _schemas(con)
            for number, name in known.items():
                if name == version.name:
                    return number
            for number in [n for n, name in known.items() if name is None]:
                _drop(con, number)
            number = max(known, default=0) + 1
            for schema in (_tables(number, False), _tables(number, True)):
                _run(con, f"CREATE SCHEMA {schema}")
            for table, mart_files in _contents(version):
                schema = _tables(number, table.restricted)
                _run(con, _ddl(table, schema))
                for file in mart_files:
                    _ingest(con, table, schema, version.folder / file)
                _run(con, f"ALTER TABLE {schema}.{quote(table.name)} ADD PRIMARY KEY ({', '.join(map(quote, table.key))})")
                _run(con, f"ANALYZE {schema}.{quote(table.name)}")
            stamp = {"version": version.name, "content_hash": version.content_hash}
            _run(con, f"COMMENT ON SCHEMA {_tables(number, False)} IS {literal(json.dumps(stamp))}")
            return number

    def switch(self, version: Version, entry: dict[str, Any]) -> None:
        """Let `kpi` and `restricted` show a loaded version and record `entry`, in one transaction.

        Snapshots older than the load are waited for. Every view is locked before the first is replaced, and locking gives up
        sooner than the server looks for deadlocks (1 s), so that it is never a reader that is sacrificed. A column that disappears or changes its type is a contract
        change: its view is made anew, which fails while a reader's own view stands on it.
        """
        deadline = clock.monotonic() + self.switch_seconds
        with self._session() as con:
            number = next(n for n, name in _schemas(con).items() if name == version.name)
            self._prepare(con)
            order = [f"{schema}.{quote(name)}" for schema, name in sorted(_views(con))]
            older = _snapshots(con)
            con.commit()
            while older := older & _snapshots(con):
                con.commit()
                self._wait(deadline, "kept snapshots older than the load", ", ".join(sorted({who for _, who in older})))
            con.commit()
            while (held := _lock(con, order)) is not None:
                con.rollback()
                self._wait(deadline, f"held {held}", _holders(con))
                order.sort(key=lambda name: name != held)
            self._replace_views(con, version, number, entry)

    def _wait(self, deadline: float, what: str, who: str) -> None:
        if clock.monotonic() > deadline:
            raise PostgresError(
                f"PostgreSQL: readers {what} for {self.switch_seconds:.0f} s: {who}; run again when they are done"
            )
        self.sleep(PAUSE_SECONDS)

    def _prepare(self, con: adbc.Connection) -> None:
        if not _query(con, f"SELECT 1 FROM pg_roles WHERE rolname = {literal(self.role)}"):
            raise PostgresError(
                f"PostgreSQL has no role {self.role}: CREATE ROLE {quote(self.role)} NOLOGIN, or set RAPPORT_POSTGRES_READER_ROLE"
            )
        for schema in (SCHEMA, RESTRICTED, LOG.partition(".")[0]):
            _run(con, f"CREATE SCHEMA IF NOT EXISTS {schema}")
        described = [f"{quote(c.name)} {_TYPES[c.data_type]}{'' if c.nullable else ' NOT NULL'}" for c in PUBLICATION.columns]
        described += [f"{name} {kind}" for name, kind in LOG_COLUMNS.items()]
        _run(con, f"CREATE TABLE IF NOT EXISTS {LOG} ({', '.join(described)})")
        _run(con, f"GRANT USAGE ON SCHEMA {SCHEMA} TO {quote(self.role)}")

    def _replace_views(self, con: adbc.Connection, version: Version, number: int, entry: dict[str, Any]) -> None:
        wanted = {(SCHEMA, PUBLICATION.name)}
        for table, _files in _contents(version):
            if table.name == PUBLICATION.name:
                continue
            schema = RESTRICTED if table.restricted else SCHEMA
            wanted.add((schema, table.name))
            self._replace_view(con, table, schema, number)
        for schema, name in set(_views(con)) - wanted:
            _run(con, f"DROP VIEW {schema}.{quote(name)}")
        self._record(con, version, number, entry)

    def _record(self, con: adbc.Connection, version: Version, number: int, entry: dict[str, Any]) -> None:
        """Log a switch and show it in `kpi.publication`, its last row spelled out in the view."""
        names = ", ".join(quote(c.name) for c in PUBLICATION.columns)
        values = [entry[k] for k in ("id", "action", "previous", "reason")]
        spelled = ", ".join("NULL" if v is None else literal(v) for v in values)
        _run(
            con,
            f"INSERT INTO {LOG} ({names}, id, action, previous, reason, switched_at) "
            f"SELECT {names}, {spelled}, {literal(entry['at'])}::timestamptz "
            f"FROM {_tables(number, False)}.publication WHERE version = {literal(version.name)} ON CONFLICT (id) DO NOTHING",
        )
        shown = [*(quote(c.name) for c in PUBLICATION.columns), *LOG_COLUMNS]
        last = f"id = {literal(entry['id'])}"
        texts = ", ".join(f"quote_nullable({c}) || '::' || pg_typeof({c})" for c in shown)
        row = _query(con, f"SELECT concat_ws(', ', {texts}) FROM {LOG} WHERE {last}")[0][0]
        view = f"{SCHEMA}.{PUBLICATION.name}"
        _run(
            con, f"CREATE OR REPLACE VIEW {view} AS SELECT {', '.join(shown)} FROM {LOG} WHERE NOT {last} UNION ALL SELECT {row}"
        )
        _run(con, f"GRANT SELECT ON {view} TO {quote(self.role)}")

    def _replace_view(self, con: adbc.Connection, table: Mart, schema: str, number: int) -> None:
        name = f"{schema}.{quote(table.name)}"
        held = dict(
            _query(
                con,
                f"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass({literal(name)}) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            )
        )
        fresh = {c.name: c.data_type for c in table.columns}
        if any(column not in fresh or kind != _TYPES[fresh[column]] for column, kind in held.items()):
            _run(con, f"DROP VIEW {name}")
            held = {}
        columns = [*held, *(c for c in fresh if c not in held)]
        _run(
            con,
            f"CREATE OR REPLACE VIEW {name} AS SELECT {', '.join(map(quote, columns))} FROM {_tables(number, table.restricted)}.{quote(table.name)}",
        )
        if not held and schema == SCHEMA:
            _run(con, f"GRANT SELECT ON {name} TO {quote(self.role)}")
        _run(con, f"COMMENT ON VIEW {name} IS {literal(table.description)}")

    def prune(self) -> None:
        """Drop all but the schema that `kpi` shows and the newest other; one that readers still hold stays for now."""
        with self._session() as con:
            for number in _others(con)[KEPT_SCHEMAS - 1 :]:
                _dropped(con, number)

    def forget_past(self) -> None:
        """Leave nothing of any version but the one that `kpi` shows; readers are waited for as by a switch.

        The log keeps what was switched when, without the streams of then, whose names tell mailboxes.
        """
        deadline = clock.monotonic() + self.switch_seconds
        with self._session() as con:
            for number in _others(con):
                while not _dropped(con, number):
                    self._wait(deadline, f"held {_tables(number, False)}, which is to be dropped,", _holders(con))
            if (shown := _shown(con)) is not None:
                version = literal(_schemas(con)[shown])
                _run(con, f"UPDATE {LOG} SET source_watermarks = '{{}}', parked_streams = '[]' WHERE version <> {version}")


_TYPES = {
    "VARCHAR": "text", "BIGINT": "bigint", "DOUBLE": "double precision", "BOOLEAN": "boolean", "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}  # fmt: skip


def _connect(dsn: str) -> adbc.Connection:
    """A connection; what libpq says of a DSN that it cannot read may quote the password and is not passed on."""
    try:
        return adbc.connect(dsn)
    except adbc.Error as error:
        if "connection to server" in str(error) or "could not translate host name" in str(error):
            raise
    raise PostgresError(
        "RAPPORT_POSTGRES_DSN cannot be read: write postgresql://user:password@host:port/database, special characters as %-codes"
    )


def _tables(number: int, restricted: bool) -> str:
    return f"kpi_restricted_v{number}" if restricted else f"kpi_v{number}"


def _contents(version: Version) -> Iterator[tuple[Mart, list[str]]]:
    """Every table of a version with its Parquet files, relative to the version's folder."""
    for group in ("marts", "records"):
        for name, entry in version.manifest[group].items():
            yield Mart.described(name, entry), list(entry["files"])


def _ddl(table: Mart, schema: str) -> str:
    columns = ", ".join(f"{quote(c.name)} {_TYPES[c.data_type]}{'' if c.nullable else ' NOT NULL'}" for c in table.columns)
    return f"CREATE TABLE {schema}.{quote(table.name)} ({columns})"


def _ingest(con: adbc.Connection, table: Mart, schema: str, path: Path) -> None:
    """Bulk-load a Parquet file, a batch at a time."""
    with pq.ParquetFile(path) as file, con.cursor() as cursor:
        names = [c.name for c in table.columns]
        batches = (batch.select(names) for batch in file.iter_batches(BATCH_ROWS))
        reader = pa.RecordBatchReader.from_batches(pa.schema([file.schema_arrow.field(n) for n in names]), batches)
        if file.metadata.num_rows:
            cursor.adbc_ingest(table.name, reader, mode="append", db_schema_name=schema)


def _run(con: adbc.Connection, statement: str) -> None:
    with con.cursor() as cursor:
        cursor.execute(statement)


def _query(con: adbc.Connection, statement: str) -> list[tuple[Any, ...]]:
    with con.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def _schemas(con: adbc.Connection) -> dict[int, str | None]:
    """Number of every `kpi_v<N>` to the version it holds, None for an unfinished load."""
    found = _query(
        con,
        "SELECT substring(nspname FROM 6)::bigint, obj_description(oid, 'pg_namespace') FROM pg_namespace "
        "WHERE nspname ~ '^kpi_v[0-9]+$' ORDER BY 1",
    )
    return {number: json.loads(stamp)["version"] if stamp else None for number, stamp in found}


def _views(con: adbc.Connection) -> list[tuple[str, str]]:
    return _query(con, f"SELECT schemaname::text, viewname::text FROM pg_views WHERE schemaname IN ('{SCHEMA}', '{RESTRICTED}')")


def _shown(con: adbc.Connection) -> int | None:
    """The number of the schema that the views of `kpi` read."""
    found = _query(
        con,
        "SELECT DISTINCT substring(t.nspname FROM 6)::bigint FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid "
        "JOIN pg_class v ON v.oid = r.ev_class JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace t ON t.oid = c.relnamespace "
        "JOIN pg_namespace n ON n.oid = v.relnamespace WHERE n.nspname = 'kpi' AND t.nspname ~ '^kpi_v[0-9]+$'",
    )
    return found[0][0] if found else None


def _snapshots(con: adbc.Connection) -> set[tuple[str, str]]:
    """The transactions that hold a snapshot and may read `kpi`: virtual transaction id, who it is in words."""
    found = _query(
        con,
        "SELECT l.virtualtransaction, a.usename::text, a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
        "WHERE l.locktype = 'virtualxid' AND a.datname = current_database() AND a.backend_xmin IS NOT NULL "
        f"AND a.pid <> pg_backend_pid() AND has_schema_privilege(a.usesysid, '{SCHEMA}', 'USAGE')",
    )
    return {(transaction, _who(*reader)) for transaction, *reader in found}


def _who(user: str, pid: int, application: str) -> str:
    return f"{user} (pid {pid}{f', {application}' if application else ''})"


def _holders(con: adbc.Connection) -> str:
    """Who holds locks on what readers see, in words."""
    found = _query(
        con,
        "SELECT DISTINCT a.usename::text, a.pid, a.application_name FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
        "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_stat_activity a ON a.pid = l.pid "
        f"WHERE (n.nspname IN ('{SCHEMA}', '{RESTRICTED}') OR n.nspname ~ '^kpi_(restricted_)?v[0-9]+$') "
        "AND l.granted AND a.pid <> pg_backend_pid()",
    )
    return ", ".join(_who(*reader) for reader in found) or "gone by now"


def _lock(con: adbc.Connection, relations: list[str]) -> str | None:
    """Lock relations for replacement, one after the other; the first that readers do not give back in time, or None.

    The caller puts that one first and tries again: whoever reads several relations then waits before the first of them.
    """
    began = clock.monotonic()
    _run(con, f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
    for relation in relations:
        try:
            if clock.monotonic() - began > LOCKING_SECONDS:
                return relation
            _run(con, f"LOCK TABLE {relation} IN ACCESS EXCLUSIVE MODE")
        except adbc.Error as error:
            if getattr(error, "sqlstate", None) not in RETRIED:
                raise
            return relation
    return None


def _others(con: adbc.Connection) -> list[int]:
    """The numbers of all schemas but the one that `kpi` shows, finished ones first and newest first."""
    loaded, shown = _schemas(con), _shown(con)
    con.commit()
    return sorted(set(loaded) - {shown}, key=lambda n: (loaded[n] is None, -n))


def _dropped(con: adbc.Connection, number: int) -> bool:
    """Drop a version's schemas unless readers hold them."""
    try:
        _run(con, f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        _drop(con, number)
        con.commit()
        return True
    except adbc.Error as error:
        con.rollback()
        if getattr(error, "sqlstate", None) not in RETRIED:
            raise
        return False


def _drop(con: adbc.Connection, number: int) -> None:
    for restricted in (False, True):
        _run(con, f"DROP SCHEMA IF EXISTS {_tables(number, restricted)} CASCADE")
