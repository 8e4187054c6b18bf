"""The one writer of published files: rows in key order, fixed settings, so that equal content is equal bytes."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from jobs.errors import RapportError
from jobs.publish.catalogue import Column, Mart, literal, quote

ROW_GROUP_ROWS = 122_880


class ShapeError(RapportError):
    """A table has not the columns that its mart promises; names table and columns."""


def open_candidate(candidate: Path, threads: int) -> duckdb.DuckDBPyConnection:
    """A connection in which `candidate` is attached read-only under that name."""
    con = duckdb.connect(config={"threads": threads, "preserve_insertion_order": True})
    con.execute("SET TimeZone = 'UTC'")
    con.execute(f"ATTACH {literal(candidate)} AS candidate (READ_ONLY)")
    return con


def shape(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Column name to DuckDB type of a relation."""
    return {name: kind for name, kind, *_ in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}


def check_shape(con: duckdb.DuckDBPyConnection, mart: Mart, relation: str) -> None:
    """Raise `ShapeError` unless `relation` has exactly the columns and types of `mart`."""
    try:
        found = shape(con, relation)
    except duckdb.CatalogException:
        raise ShapeError(f"the candidate has no table {mart.schema}.{mart.name}: build the whole project with dbt") from None
    promised = {c.name: c.data_type for c in mart.columns}
    wrong = [
        *(f"{c} is missing" for c in promised if c not in found),
        *(f"{c} is not in the contract" for c in found if c not in promised),
        *(f"{c} is {found[c]}, not {t}" for c, t in promised.items() if c in found and found[c] != t),
    ]
    if wrong:
        raise ShapeError(f"mart {mart.name}: {'; '.join(wrong)}: mend its yml or its model")


def write_mart(con: duckdb.DuckDBPyConnection, mart: Mart, relation: str, target: Path, where: str = "true") -> int:
    """Write the rows of `relation` as one Parquet file in key order; returns how many.

    A column that `relation` lacks and that may be null is written as null: an older partition reads that way after
    a new column. The bytes depend on the rows alone, not on the number of threads.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    held = shape(con, relation)
    columns = ", ".join(_expression(c, held, mart, relation) for c in mart.columns)
    order = ", ".join(quote(k) for k in mart.key)
    done = con.execute(
        f"COPY (SELECT {columns} FROM {relation} WHERE {where} ORDER BY {order}) TO {literal(target)} "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
    ).fetchone()
    return done[0] if done else 0


def _expression(column: Column, held: dict[str, str], mart: Mart, relation: str) -> str:
    name = quote(column.name)
    if column.name in held:
        return name if held[column.name] == column.data_type else f"CAST({name} AS {column.data_type}) AS {name}"
    if not column.nullable:
        raise ShapeError(f"mart {mart.name}: {relation} lacks the column {column.name}, which must not be null")
    return f"CAST(NULL AS {column.data_type}) AS {name}"


def parquet_rows(con: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> int:
    """Rows of Parquet files, from their footers."""
    if not files:
        return 0
    return con.execute(f"SELECT coalesce(sum(num_rows), 0)::bigint FROM parquet_file_metadata({paths(files)})").fetchone()[0]


def paths(files: Sequence[Path]) -> str:
    """A list of files as an SQL list."""
    return "[" + ", ".join(literal(f) for f in files) + "]"


def write_database(target: Path, tables: Sequence[tuple[Mart, Sequence[Path]]], threads: int) -> None:
    """Write a DuckDB file with one table a mart in schema main, filled from its Parquet files, columns described; closed and whole."""
    with duckdb.connect(str(target), config={"threads": threads, "preserve_insertion_order": True}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("BEGIN")
        for mart, files in tables:
            name = quote(mart.name)
            con.execute(mart.ddl(name))
            if files:
                columns = ", ".join(quote(c.name) for c in mart.columns)
                con.execute(f"INSERT INTO {name} SELECT {columns} FROM read_parquet({paths(files)})")
            con.execute(f"COMMENT ON TABLE {name} IS {literal(mart.description)}")
            for column in mart.columns:
                con.execute(f"COMMENT ON COLUMN {name}.{quote(column.name)} IS {literal(column.description)}")
        con.execute("COMMIT")
        con.execute("CHECKPOINT")
