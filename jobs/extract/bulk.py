"""The bulk path: files of Microsoft Graph Data Connect and of Synapse Link into the same raw log, without the APIs.

Rows become rounds of kind `import`, which say nothing about what is no longer there and leave no cursor: the next run of the
extractors begins a full round. A stream that the APIs have already filled is left as it is, because its rows are newer.
"""

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from jobs.extract import keep, landing
from jobs.extract.client import Timing
from jobs.extract.errors import SourceError
from jobs.extract.keep import Record, Shape, Table
from jobs.extract.landing import Filter
from jobs.extract.log import IMPORT, Page, Round, Row, StreamLog
from jobs.extract.pages import Reject
from jobs.extract.selection import current_users, opted_out
from jobs.settings import Settings

PAGE_ROWS = 5_000
BUFFER_ROWS = 50_000
DATASETS = ("User_v1", "Message_v1", "SentItem_v1", "Event_v1", "CalendarView_v0")
UNPLACED = {"users": "users", "messages": "messages/unknown/unknown", "calendarView": "calendarView/unknown"}
"""Streams of rows that name no mailbox or folder."""
BOOLEANS = {"isdisabled", "merged", "isemailfollowed", "isalldayevent", "ismapiprivate", "isdraft", "directioncode"}
DATE_ONLY = {"actualclosedate", "estimatedclosedate"}
csv.field_size_limit(2**31 - 1)
_ENUM = re.compile(r"microsoft\.graph\.\w+'(\w+)'")
_SINK_TIME = "%m/%d/%Y %I:%M:%S %p"


@dataclass
class Imported:
    """What an import landed: rows and removals, records without a readable id, streams, and streams left as they were."""

    rows: int = 0
    removes: int = 0
    rejects: int = 0
    streams: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    def summary(self) -> str:
        """One line for people."""
        text = f"{self.rows:,} rows and {self.removes:,} removals into {len(self.streams):,} streams"
        if self.rejects:
            text += f", {self.rejects:,} unreadable"
        if self.skipped:
            text += f"; {len(self.skipped):,} streams were already read from the source and stay as they are"
        return text


class _Importer:
    """Collects rows by stream and writes them as pages of one import round each."""

    def __init__(self, home: Path, run_id: str, timing: Timing) -> None:
        self.home, self.run_id, self.timing = home, run_id, timing
        self.done = Imported()
        self._rows: dict[tuple[str, str], list[Row]] = {}
        self._rounds: dict[tuple[str, str], tuple[Round, int]] = {}
        self._count = 0

    def add(self, source: str, stream: str, row: Row) -> None:
        """Land one row, soon."""
        self._rows.setdefault((source, stream), []).append(row)
        self._count += 1
        if self._count >= BUFFER_ROWS:
            self.flush()

    def flush(self) -> None:
        """Make everything collected durable."""
        for (source, stream), rows in self._rows.items():
            self._write(source, stream, rows)
        self._rows.clear()
        self._count = 0

    def _write(self, source: str, stream: str, rows: list[Row]) -> None:
        with StreamLog(self.home, source, stream, self.run_id).locked() as log:
            if log.state is not None and log.state.round.kind != IMPORT:
                self.done.skipped.add(stream)
                return
            now = self.timing.now()
            this, number = self._rounds.get((source, stream)) or (log.next_round(IMPORT, now), 0)
            for start in range(0, len(rows), PAGE_ROWS):
                part = rows[start : start + PAGE_ROWS]
                facts = {"received": len(part), "dropped": {}, "unknown_keys": {}}
                log.append(Page(this, number, part, facts, None, "none", now))
                number += 1
            log.flush()
            self._rounds[source, stream] = this, number
        self.done.streams.add(stream)
        self.done.rows += sum(op == "upsert" for op, _, _ in rows)
        self.done.removes += sum(op == "remove" for op, _, _ in rows)
        self.done.rejects += sum(op == "reject" for op, _, _ in rows)


def import_folder(folder: Path, home: Path, settings: Settings, run_id: str, timing: Timing) -> Imported:
    """Import whatever `folder` holds: Data Connect files, a CDM folder with `model.json`, or Parquet and Delta tables.

    Raises SourceError when nothing in it is known, when a file cannot be read, or when Exchange rows come without consent.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder")
    importer = _Importer(home, run_id, timing)
    found = [
        _import_cdm(folder, importer, settings),
        _import_tables(folder, importer, settings),
        _import_connect(folder, importer, home, settings),
    ]
    importer.flush()
    if not any(found):
        raise SourceError(
            f"{folder} holds nothing to import: neither Data Connect files ({', '.join(DATASETS)}; JSON lines), nor model.json, "
            "nor a folder with Parquet files named after a Dataverse table"
        )
    return importer.done


# Microsoft Graph Data Connect


def _import_connect(folder: Path, importer: _Importer, home: Path, settings: Settings) -> bool:
    files = sorted(
        (path for path in folder.rglob("*") if path.suffix in (".json", ".jsonl", ".gz") and _dataset(path, folder)), key=str
    )
    if not files:
        return False
    if not settings.exchange_consent:
        raise SourceError(
            "RAPPORT_EXCHANGE_CONSENT is not set: Exchange rows are imported only after it says who agreed, when, and to what"
        )
    files.sort(key=lambda path: DATASETS.index(_dataset(path, folder) or ""))
    refused: set[str] | None = None
    for path in files:
        dataset = _dataset(path, folder) or ""
        if dataset != "User_v1" and refused is None:
            importer.flush()
            refused = opted_out(current_users(home), home, settings)
        _import_lines(path, dataset, importer, settings, refused or set())
    return True


def _dataset(path: Path, folder: Path) -> str | None:
    """The dataset that a file belongs to, by its own name or that of a folder above it."""
    names = [folder.name, *path.relative_to(folder).parts]
    return next((dataset for name in reversed(names) for dataset in DATASETS if name.lower().startswith(dataset.lower())), None)


def _import_lines(path: Path, dataset: str, importer: _Importer, settings: Settings, refused: set[str]) -> None:
    kind, shape, reduce = _target(dataset, settings)
    for line in _lines(path):
        try:
            given = orjson.loads(line)
        except orjson.JSONDecodeError:
            importer.add("graph", UNPLACED[kind], _rejected(Reject.of("not_json", line)))
            continue
        if not isinstance(given, dict):
            importer.add("graph", UNPLACED[kind], _rejected(Reject.of("not_object", line)))
            continue
        lower = {key.lower(): value for key, value in given.items()}
        owner = str(lower.get("puser") or "").lower()
        record = _fit(given, {**shape, "@odata.type": keep.VALUE})
        name = reduce.record_id(record)
        if name is None and isinstance(lower.get("rowinformation"), dict):
            continue
        if owner in refused:
            continue
        stream = _stream(kind, owner, record)
        if name is None or stream is None:
            importer.add("graph", UNPLACED[kind], _rejected(Reject.of("no_id", line)))
        else:
            importer.add("graph", stream, ("upsert", name, orjson.dumps(reduce(record))))


def _target(dataset: str, settings: Settings) -> tuple[str, Record, Filter]:
    if dataset == "User_v1":
        return "users", keep.USER, landing.user_filter(settings)
    if dataset in ("Event_v1", "CalendarView_v0"):
        return "calendarView", keep.EVENT, landing.event_filter(settings)
    return "messages", keep.MESSAGE, landing.message_filter(settings)


def _stream(kind: str, owner: str, record: Record) -> str | None:
    if kind == "users":
        return kind
    if not owner:
        return None
    folder = record.get("parentFolderId")
    if kind == "messages":
        return f"messages/{owner}/{folder}" if isinstance(folder, str) and folder else None
    return f"calendarView/{owner}"


def _rejected(reject: Reject) -> Row:
    return "reject", None, orjson.dumps({"reason": reject.reason, "length": reject.length, "sha256": reject.sha256})


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for line in lines:
                if text := line.strip().removeprefix(b"\xef\xbb\xbf"):
                    yield text
    except (OSError, EOFError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None


def _fit(value: Any, shape: Shape) -> Any:
    """A Data Connect value as Graph spells it: keys in Graph's case, enumerations as plain words."""
    if isinstance(shape, dict) and isinstance(value, dict):
        keys = {key.lower(): key for key in shape} | {"odatatype": "@odata.type"}
        return {
            keys[key.lower()]: _fit(inner, shape.get(keys[key.lower()])) for key, inner in value.items() if key.lower() in keys
        }
    if isinstance(shape, list) and isinstance(value, list):
        return [_fit(inner, shape[0]) for inner in value]
    if isinstance(value, str) and (word := _ENUM.fullmatch(value)):
        return word[1]
    return value


# Synapse Link


def _import_cdm(folder: Path, importer: _Importer, settings: Settings) -> bool:
    """A CDM folder: `model.json` names the columns of each table's CSV files, which have no header."""
    model = folder / "model.json"
    if not model.exists():
        return False
    try:
        entities = {e["name"].lower(): [a["name"] for a in e["attributes"]] for e in orjson.loads(model.read_bytes())["entities"]}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, OSError) as error:
        raise SourceError(f"{model} cannot be read as a CDM model ({type(error).__name__})") from None
    for table in keep.TABLES.values():
        columns = entities.get(table.logical_name)
        files = sorted(path for path in (folder / table.logical_name).rglob("*.csv") if "Snapshot" not in path.parts)
        if columns and files:
            wanted = _wanted(table, settings)
            frames = [_needed(_read_csv(path, columns, wanted), table, settings, path) for path in files]
            _land_table(table, pl.concat(frames), importer, settings)
    return True


def _read_csv(path: Path, columns: list[str], wanted: set[str]) -> pl.DataFrame:
    """The wanted columns of a CSV file without a header; a row may end early, because new columns are appended at the end."""
    places = [(name, place) for place, name in enumerate(columns) if name.lower() in wanted]
    found: dict[str, list[str | None]] = {name: [] for name, _ in places}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.reader(lines):
                if len(row) > len(columns):
                    raise SourceError(
                        f"{path} has a row of {len(row)} columns, model.json names {len(columns)}: export both again"
                    )
                for name, place in places if row else ():
                    found[name].append(row[place] if place < len(row) else None)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise SourceError(f"{path} cannot be read as CSV ({type(error).__name__})") from None
    return pl.DataFrame(found, schema=dict.fromkeys(found, pl.String))


def _import_tables(folder: Path, importer: _Importer, settings: Settings) -> bool:
    """Folders of Parquet files or Delta tables, named after the table."""
    found = False
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        name = path.name.lower().removesuffix("_partitioned")
        table = next((t for t in keep.TABLES.values() if name in (t.logical_name, t.entity_set)), None)
        files = _parquet_files(path) if table else []
        if table and files:
            found = True
            try:
                frames = [_needed(pl.read_parquet(file), table, settings, file) for file in files]
            except (pl.exceptions.PolarsError, OSError) as error:
                raise SourceError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
            _land_table(table, pl.concat(frames), importer, settings)
    return found


def _parquet_files(folder: Path) -> list[Path]:
    """The files of a table: those that its Delta log holds, where it has one."""
    log = folder / "_delta_log"
    if not log.is_dir():
        return sorted(folder.rglob("*.parquet"))
    held: dict[str, None] = {}
    checkpoints = sorted(log.glob("*.checkpoint*.parquet"))
    last = checkpoints[-1].name[:20] if checkpoints else ""
    for checkpoint in checkpoints:
        if checkpoint.name[:20] == last:
            paths = pl.read_parquet(checkpoint, columns=["add"]).select(pl.col("add").struct.field("path")).to_series()
            held |= dict.fromkeys(paths.drop_nulls())
    for commit in sorted(log.glob("*.json")):
        if commit.stem > last:
            for action in map(orjson.loads, _lines(commit)):
                if "add" in action:
                    held[action["add"]["path"]] = None
                elif "remove" in action:
                    held.pop(action["remove"]["path"], None)
    return [folder / path for path in held]


def _plain(column: str) -> str:
    """A Web API column as exports name it: `_ownerid_value` is `ownerid`."""
    return column.removeprefix("_").removesuffix("_value") if column[0] == "_" else column


def _wanted(table: Table, settings: Settings) -> set[str]:
    """Columns of an export that are read, lower case."""
    names = {_plain(column) for column in keep.columns_of(table, settings)}
    return names | {f"{name}_entitytype" for name in names} | {"id", "versionnumber", "sinkmodifiedon", "isdelete", "isdeleted"}


def _needed(frame: pl.DataFrame, table: Table, settings: Settings, path: Path) -> pl.DataFrame:
    """The columns of an export that are landed, under the Web API's names, and what tells its rows apart; texts all."""
    given = {name.lower(): name for name in frame.columns}
    if not given.keys() & {"id", table.key}:
        raise SourceError(f"{path} has neither Id nor {table.key}: it is no export of {table.entity_set}")
    columns: dict[str, str | None] = {}
    for column in keep.columns_of(table, settings):
        columns[column] = given.get(_plain(column))
        if column[0] == "_":
            columns[column + keep.LOOKUP] = given.get(f"{_plain(column)}_entitytype")
    columns[table.key] = given.get("id") or given.get(table.key)
    columns["__version"] = given.get("versionnumber")
    columns["__sunk"] = given.get("sinkmodifiedon")
    columns["__deleted"] = given.get("isdelete") or given.get("isdeleted")
    empty = pl.lit(None, pl.String)
    chosen = frame.select((_text(frame, name) if name else empty).alias(column) for column, name in columns.items())
    kept = [column for column, name in columns.items() if name or column[:2] == "__" or column == table.key]
    return chosen.with_columns(pl.lit(orjson.dumps(kept).decode()).alias("__given"))


def _text(frame: pl.DataFrame, name: str) -> pl.Expr:
    kind = frame.schema[name]
    if isinstance(kind, pl.Datetime):
        return pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pl.col(name).cast(pl.String)


def _land_table(table: Table, frame: pl.DataFrame, importer: _Importer, settings: Settings) -> None:
    """Land the latest row of each id: the largest version, then the latest sink time, then the last in the files."""
    sunk = pl.coalesce(
        pl.col("__sunk").str.to_datetime(_SINK_TIME, strict=False),
        pl.col("__sunk").str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False),
    )
    latest = (
        frame.with_row_index("__at")
        .with_columns(pl.col("__version").cast(pl.Int64, strict=False).fill_null(-1), sunk.alias("__sunk"))
        .sort("__version", "__sunk", "__at", nulls_last=False)
        .unique(table.key, keep="last", maintain_order=True)
    )
    reduce = landing.table_filter(table, settings)
    booleans = BOOLEANS | {flag.partition(".")[2] for flag in settings.privacy_opt_out_flags}
    for row in latest.iter_rows(named=True):
        record = {column: _value(column, row[column], booleans) for column in _columns(row["__given"])}
        name = reduce.record_id(record)
        if name is None:
            importer.add("dataverse", table.entity_set, _rejected(Reject.of("no_id", orjson.dumps(record))))
        elif str(row["__deleted"]).lower() == "true":
            importer.add("dataverse", table.entity_set, ("remove", name, b'{"reason":"deleted"}'))
        else:
            importer.add("dataverse", table.entity_set, ("upsert", name, orjson.dumps(reduce(record))))


@cache
def _columns(given: str) -> list[str]:
    return [column for column in orjson.loads(given) if column[:2] != "__"]


_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*(Z|[+-]\d\d:\d\d)?")


def _value(column: str, text: str | None, booleans: set[str]) -> Any:
    """A text of an export as the Web API gives it: booleans, instants in UTC, dates; numbers stay texts."""
    if text is None or text == "":
        return None
    if column in booleans and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if column in DATE_ONLY:
        return _date(text)
    if _TIMES.fullmatch(text):
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return text


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        return text
