"""Partitions of `lake/history`: past days of kpi_history and past weeks of the similar_* marts.

A partition is written after its check, as a whole, and is read by later dbt runs and hard-linked into versions.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb

from jobs.errors import RapportError
from jobs.publish import files
from jobs.publish.catalogue import Mart, literal, quote
from jobs.publish.writer import paths, shape, write_mart

CHECKSUMS = "checksums.json"


class HistoryError(RapportError):
    """A history partition is missing or is not what was written; names it."""


def folder(home: Path, mart: Mart) -> Path:
    """Folder of a partitioned mart's partitions."""
    return home / "lake" / "history" / ("kpi" if mart.partition == "as_of_date" else "similar")


def partition(home: Path, mart: Mart, value: date) -> Path:
    """The file of one partition."""
    return folder(home, mart) / f"{mart.partition}={value.isoformat()}" / f"{mart.name}.parquet"


def write_kpi_day(
    con: duckdb.DuckDBPyConnection, home: Path, mart: Mart, relation: str, day: date, contract_version: str
) -> Path:
    """Write the rows of `day` in `relation` as the partition of that day (G3); an equal one stays untouched."""
    target = partition(home, mart, day)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    write_mart(con, mart, relation, partial, f"{quote(mart.partition)} = DATE {literal(day)}")
    if target.exists() and files.sha256(target) == files.sha256(partial):
        partial.unlink()
        return target
    files.sync(partial)
    files.move(partial, target)
    _record(target.parent, [target], contract_version)
    files.sync(target.parent.parent)
    return target


def write_week(
    con: duckdb.DuckDBPyConnection, home: Path, relations: Mapping[Mart, str], week: date, contract_version: str
) -> Path:
    """Write one week of the similar_* marts as a partition with its checksums (S9); an existing week is never changed.

    `relations` names for each mart the relation of `con` with the rows of that week, its column `week_of` included.
    """
    first = next(iter(relations))
    target = folder(home, first) / f"{first.partition}={week.isoformat()}"
    if target.exists():
        return target
    partial = target.with_name(f".{target.name}.partial")
    files.remove_tree(partial)
    written = []
    for mart, relation in relations.items():
        written.append(partial / f"{mart.name}.parquet")
        write_mart(con, mart, relation, written[-1], f"{quote(mart.partition)} = DATE {literal(week)}")
    _record(partial, written, contract_version)
    files.sync_tree(partial)
    files.move(partial, target)
    return target


def _record(target: Path, written: list[Path], contract_version: str) -> None:
    sums = {f.name: files.sha256(f) for f in written}
    files.write_json(target / CHECKSUMS, {"contract_version": contract_version, "sha256": sums})


def weeks(home: Path) -> list[date]:
    """The weeks that are written, in order."""
    found = (home / "lake" / "history" / "similar").glob("week_of=*")
    return sorted(date.fromisoformat(f.name.partition("=")[2]) for f in found)


def damaged_weeks(home: Path) -> list[str]:
    """What differs from the checksums that were stored with each week, one text a file; empty when all is well."""
    wrong = []
    for week in weeks(home):
        where = home / "lake" / "history" / "similar" / f"week_of={week.isoformat()}"
        sums = json.loads((where / CHECKSUMS).read_text())["sha256"] if (where / CHECKSUMS).exists() else None
        if sums is None:
            wrong.append(f"{where} has no {CHECKSUMS}")
            continue
        for name, expected in sums.items():
            if not (where / name).exists():
                wrong.append(f"{where / name} is missing")
            elif files.sha256(where / name) != expected:
                wrong.append(f"{where / name} was changed")
    return wrong


def drop_old_days(home: Path, mart: Mart, current: date, history_days: int) -> list[date]:
    """Drop the partitions that lie `history_days` or more before `current`; returns their dates (G3, S9)."""
    limit = current - timedelta(days=history_days)
    dropped = []
    for found in folder(home, mart).glob(f"{mart.partition}=*"):
        value = date.fromisoformat(found.name.partition("=")[2])
        if value <= limit:
            files.remove_tree(found)
            dropped.append(value)
    return sorted(dropped)


def forget_records(home: Path, mart: Mart, ids: Sequence[str]) -> int:
    """Take the rows of some records out of every partition, by `record_id`; returns how many rows went."""
    gone = 0
    listed = ", ".join(literal(i) for i in ids) or "NULL"
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for file in sorted(folder(home, mart).glob(f"{mart.partition}=*/{mart.name}.parquet")):
            relation = f"read_parquet({paths([file])}, hive_partitioning = false)"
            count = con.execute(f"SELECT count(*) FROM {relation} WHERE record_id IN ({listed})").fetchone()[0]
            if count:
                partial = file.with_name(f".{file.name}.partial")
                write_mart(con, mart, relation, partial, f"coalesce(record_id NOT IN ({listed}), true)")
                files.sync(partial)
                stored = json.loads((file.parent / CHECKSUMS).read_text())
                files.move(partial, file)
                _record(file.parent, [file], stored["contract_version"])
                gone += count
    return gone


def published_partition(con: duckdb.DuckDBPyConnection, home: Path, mart: Mart, value: date, rows: int, target: Path) -> None:
    """Put a partition into a version: hard-linked, or rewritten where it is older than a new column.

    `rows` is what the candidate holds of it; another number means that the history changed under the run.
    """
    source = partition(home, mart, value)
    if not source.exists():
        raise HistoryError(
            f"{source} is missing though the candidate holds {rows} rows of it: run relationship_kpis for that day again"
        )
    relation = f"read_parquet({paths([source])}, hive_partitioning = false)"
    found = con.execute(f"SELECT count(*) FROM {relation}").fetchone()[0]
    if found != rows:
        raise HistoryError(
            f"{source} has {found} rows, the candidate {rows}: the history changed since it was built; run relationship_kpis again"
        )
    if list(shape(con, relation).items()) == [(c.name, c.data_type) for c in mart.columns]:
        files.link_or_copy(source, target)
    else:
        write_mart(con, mart, relation, target)
