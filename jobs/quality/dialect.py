"""SQLAlchemy dialect `duckdb+gate` through which Great Expectations asks a DuckDB connection of ours.

Great Expectations reads a result after its connection went back to the pool, whose rollback discards a pending DuckDB
result; here a result is fetched when it is executed. Columns are reflected from `duckdb_columns()`, for PostgreSQL's
catalogue is not all there. The URL names a connection that `share` was given: several databases can be attached to it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
from duckdb_engine import ConnectionWrapper, CursorWrapper, Dialect
from sqlalchemy import pool, text, types
from sqlalchemy.dialects import registry

_shared: dict[str, duckdb.DuckDBPyConnection] = {}

_TYPES: dict[str, types.TypeEngine[Any]] = {
    "BIGINT": types.BigInteger(),
    "INTEGER": types.Integer(),
    "DOUBLE": types.Double(),
    "BOOLEAN": types.Boolean(),
    "DATE": types.Date(),
    "TIMESTAMP": types.TIMESTAMP(),
    "TIMESTAMP WITH TIME ZONE": types.TIMESTAMP(timezone=True),
}


def share(name: str, con: duckdb.DuckDBPyConnection) -> str:
    """Offer a connection to Great Expectations; returns the URL that reaches it."""
    _shared[name] = con
    return f"duckdb+gate:///{name}"


def unshare(name: str) -> None:
    """End what `share` began."""
    _shared.pop(name, None)


class FetchedCursor(CursorWrapper):
    """A cursor that holds the whole result of its last statement."""

    rowcount = -1
    arraysize = 1

    def __init__(self, con: duckdb.DuckDBPyConnection, wrapper: ConnectionWrapper) -> None:
        super().__init__(con, wrapper)
        self._con = con
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self.description: Sequence[Any] | None = None

    def execute(self, statement: str, parameters: Any = None, context: Any = None) -> None:
        super().execute(statement, parameters, context)
        self.description = self._con.description
        self._rows = iter(self._con.fetchall() if self.description else ())

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        return [row for row, _ in zip(self._rows, range(size or self.arraysize), strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)


class SharedConnection(ConnectionWrapper):
    """A cursor of the shared connection, dressed as a connection."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        super().__init__(con)
        self._con = con

    def cursor(self) -> FetchedCursor:
        return FetchedCursor(self._con, self)


class GateDialect(Dialect):
    """duckdb-engine's dialect over shared connections, with reflection that DuckDB answers."""

    driver = "gate"
    supports_statement_cache = False

    @classmethod
    def get_pool_class(cls, url: Any) -> type[pool.Pool]:
        return pool.SingletonThreadPool

    def connect(self, *arguments: Any, **options: Any) -> SharedConnection:
        return SharedConnection(_shared[options["database"]].cursor())

    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **options: Any) -> list[dict[str, Any]]:
        found = connection.execute(
            text(
                "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE table_name = :name "
                "AND schema_name = coalesce(:schema, current_schema()) AND database_name = current_database() ORDER BY column_index"
            ),
            {"name": table_name, "schema": schema},
        ).fetchall()
        return [
            {
                "name": name,
                "type": _TYPES.get(kind, types.String()),
                "nullable": nullable,
                "default": None,
                "autoincrement": False,
            }
            for name, kind, nullable in found
        ]

    def get_multi_columns(self, connection: Any, *, schema: str | None = None, filter_names: Any = None, **options: Any) -> Any:
        names = filter_names or [*self.get_table_names(connection, schema), *self.get_view_names(connection, schema)]
        return {(schema, name): self.get_columns(connection, name, schema) for name in names}.items()


registry.register("duckdb.gate", __name__, "GateDialect")
