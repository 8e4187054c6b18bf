"""What two versions differ in: rows by key, and the columns whose values changed."""

from dataclasses import dataclass
from typing import Any

import duckdb

from jobs.publish.catalogue import Mart, quote
from jobs.publish.versions import Version, VersionError
from jobs.publish.writer import paths

UNCOMPARED = ("as_of",)


@dataclass(frozen=True)
class MartDiff:
    """Rows that only one version has, rows that changed, and how many values changed per column."""

    mart: str
    only_old: int
    only_new: int
    changed: int
    columns: dict[str, int]

    @property
    def equal(self) -> bool:
        return not (self.only_old or self.only_new or self.changed)


def diff(old: Version, new: Version) -> list[MartDiff]:
    """The differences of two versions, mart by mart; the as-of itself is left out."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        return [diff_mart(con, old, new, name) for name in sorted({*old.marts, *new.marts})]


def column_changes(old: Mart, new: Mart | None) -> list[tuple[str, str, str]]:
    """What a new shape breaks for readers of the old one: mart, column, change; new columns break nothing."""
    if new is None:
        return [(old.name, "(all)", "the mart disappeared")]
    fresh = {c.name: c for c in new.columns}
    changes = []
    for column in old.columns:
        now = fresh.get(column.name)
        if now is None:
            changes.append((old.name, column.name, "disappeared"))
        elif now.data_type != column.data_type:
            changes.append((old.name, column.name, f"{column.data_type} became {now.data_type}"))
        elif now.nullable and not column.nullable:
            changes.append((old.name, column.name, "may now be null"))
    common = [c.name for c in old.columns if c.name in fresh]
    if common != [c.name for c in new.columns if c.name in set(common)]:
        changes.append((old.name, "(order)", "the order of columns changed"))
    if old.key != new.key:
        changes.append((old.name, ", ".join(old.key), f"the key became {', '.join(new.key)}"))
    return changes


def shape_changes(old: Version, new: Version) -> list[tuple[str, str, str]]:
    """How the columns of two versions differ: mart, column, change."""
    before, after = old.marts, new.marts
    changes = [change for name, mart in before.items() for change in column_changes(mart, after.get(name))]
    for name, mart in after.items():
        known = {c.name for c in before[name].columns} if name in before else set()
        changes += [(name, c.name, "is new") for c in mart.columns if name in before and c.name not in known]
        changes += [(name, "(all)", "the mart is new")] if name not in before else []
    return sorted(changes)


def diff_mart(con: duckdb.DuckDBPyConnection, old: Version, new: Version, name: str) -> MartDiff:
    """The differences in one mart; a mart that one of them lacks, or that has another key there, counts as empty there."""
    before, after = old.marts.get(name), new.marts.get(name)
    if before is None or after is None or _key(before) != _key(after):
        rows_old = old.manifest["marts"][name]["rows"] if before else 0
        rows_new = new.manifest["marts"][name]["rows"] if after else 0
        return MartDiff(name, rows_old, rows_new, 0, {})
    compared = _compared(before, after)
    changed = ", ".join(f"count(*) FILTER (WHERE both_there AND o.{quote(c)} IS DISTINCT FROM n.{quote(c)})" for c in compared)
    any_changed = " OR ".join(f"o.{quote(c)} IS DISTINCT FROM n.{quote(c)}" for c in compared) or "false"
    found = con.execute(
        f"SELECT count(*) FILTER (WHERE n.there IS NULL), count(*) FILTER (WHERE o.there IS NULL), "
        f"count(*) FILTER (WHERE both_there AND ({any_changed})){', ' if compared else ''}{changed} FROM {_joined(old, new, before)}"
    ).fetchone()
    counts = {c: n for c, n in zip(compared, found[3:], strict=True) if n}
    return MartDiff(name, found[0], found[1], found[2], counts)


def changed_rows(old: Version, new: Version, name: str, limit: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and the first `limit` changed values of a mart: key, column, old and new value."""
    if name not in old.marts or name not in new.marts:
        raise VersionError(f"mart {name} is not in both versions")
    mart = old.marts[name]
    if _key(mart) != _key(new.marts[name]):
        raise VersionError(f"mart {name} has another key in {new.name} than in {old.name}: its rows cannot be compared")
    keys = ", ".join(f"coalesce(o.{quote(k)}, n.{quote(k)}) AS {quote(k)}" for k in mart.key)
    parts = [
        f"SELECT {keys}, '{c}' AS column_name, o.{quote(c)}::varchar AS old_value, n.{quote(c)}::varchar AS new_value "
        f"FROM {_joined(old, new, mart)} WHERE both_there AND o.{quote(c)} IS DISTINCT FROM n.{quote(c)}"
        for c in _compared(mart, new.marts[name])
    ]
    for side, other, label in (("o", "n", "(only old)"), ("n", "o", "(only new)")):
        parts.append(
            f"SELECT {keys}, '{label}' AS column_name, NULL AS old_value, NULL AS new_value "
            f"FROM {_joined(old, new, mart)} WHERE {other}.there IS NULL AND {side}.there"
        )
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        order = ", ".join(quote(k) for k in mart.key)
        rows = con.execute(f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY {order}, column_name LIMIT {limit}")
        return [d[0] for d in rows.description], rows.fetchall()


def _compared(before: Mart, after: Mart) -> list[str]:
    """The columns of both with the same type; a column that is new, gone or retyped is a change of the contract."""
    common = {(c.name, c.data_type) for c in after.columns}
    return [c.name for c in before.columns if (c.name, c.data_type) in common and c.name not in (*before.key, *UNCOMPARED)]


def _key(mart: Mart) -> dict[str, str]:
    """Key columns with their types."""
    return {c.name: c.data_type for c in mart.columns if c.name in mart.key}


def _joined(old: Version, new: Version, mart: Mart) -> str:
    sides = [f"(SELECT *, true AS there FROM read_parquet({paths(v.mart_files(mart.name))}))" for v in (old, new)]
    on = " AND ".join(f"o.{quote(k)} = n.{quote(k)}" for k in mart.key)
    return f"(SELECT o, n, o.there AND n.there AS both_there FROM {sides[0]} AS o FULL JOIN {sides[1]} AS n ON {on}) AS joined"
