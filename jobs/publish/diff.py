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


def diff_mart(con: duckdb.DuckDBPyConnection, old: Version, new: Version, name: str) -> MartDiff:
    """The differences in one mart; a mart that one of them lacks counts as empty there."""
    before, after = old.marts.get(name), new.marts.get(name)
    if before is None or after is None or old.mart_files(name) == new.mart_files(name):
        rows_old = old.manifest["marts"][name]["rows"] if before else 0
        rows_new = new.manifest["marts"][name]["rows"] if after else 0
        return MartDiff(name, rows_old if after is None else 0, rows_new if before is None else 0, 0, {})
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
    common = {c.name for c in after.columns}
    return [c.name for c in before.columns if c.name in common and c.name not in (*before.key, *UNCOMPARED)]


def _joined(old: Version, new: Version, mart: Mart) -> str:
    sides = [f"(SELECT *, true AS there FROM read_parquet({paths(v.mart_files(mart.name))}))" for v in (old, new)]
    on = " AND ".join(f"o.{quote(k)} = n.{quote(k)}" for k in mart.key)
    return f"(SELECT o, n, o.there AND n.there AS both_there FROM {sides[0]} AS o FULL JOIN {sides[1]} AS n ON {on}) AS joined"
