"""Exports of a tenant folder as the bulk path takes them: Synapse Link CSV, Parquet and Delta tables, Data Connect JSON lines."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from jobs.extract import keep
from jobs.extract.exchange import UNCOUNTED_FOLDERS

SYSTEM = ("Id", "SinkCreatedOn", "SinkModifiedOn")
SUNK = "1/1/2026 1:00:00 AM"
Rows = list[dict[str, Any]]


def lines(file: Path) -> Rows:
    """The records of a JSON Lines file or its compressed twin; broken lines are left out."""
    packed = file.with_name(file.name + ".gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else file.read_bytes() if file.exists() else b""
    return list(_parsed(data.splitlines()))


def _parsed(texts: list[bytes]) -> Iterator[dict[str, Any]]:
    for text in texts:
        try:
            yield json.loads(text)
        except ValueError:
            continue


def _tables(tenant: Path) -> Iterator[tuple[keep.Table, dict[str, str], Rows]]:
    """Each Dataverse table with its rows, and the Web API's names by the export's: lookups are named without underscores."""
    for table in keep.TABLES.values():
        rows = lines(tenant / "dataverse" / f"{table.entity_set}.jsonl")
        columns: dict[str, str] = {}
        for name in dict.fromkeys(name for row in rows for name in row if "@" not in name):
            columns[name[1:-6] if name[0] == "_" else name] = name
            if name[0] == "_":
                columns[f"{name[1:-6]}_entitytype"] = name + keep.LOOKUP
        yield table, columns, rows


def _text(value: Any) -> str:
    if isinstance(value, str) and len(value) == 20 and value.endswith("Z"):
        return f"{value[:-1]}.0000000Z"
    return "" if value is None else str(value)


def write_cdm(tenant: Path, folder: Path, *, append_only: bool = False) -> None:
    """A CDM folder; append-only ones also hold an older version of each row, and rows that were deleted since."""
    entities = []
    for table, columns, rows in _tables(tenant):
        names = [*SYSTEM, *columns, "IsDelete", "versionnumber"]
        entities.append({"name": table.logical_name, "attributes": [{"name": name, "dataType": "string"} for name in names]})

        def values(row: dict[str, Any], version: int, deleted: str = "", columns: dict[str, str] = columns) -> list[str]:
            return [*(_text(row.get(name)) for name in columns.values()), deleted, str(version)]

        found = [[row[table.key], SUNK, SUNK, *values(row, 1_000 + n)] for n, row in enumerate(rows)]
        if append_only:
            older = [[row[table.key], SUNK, SUNK, *values(dict.fromkeys(row, None), n)] for n, row in enumerate(rows)]
            ghost = [
                ["00000000-0000-4000-8000-00000000dead", SUNK, SUNK, *values({}, n, flag)] for n, flag in enumerate(("", "True"))
            ]
            found = [*found, *older, *ghost]
        (folder / table.logical_name).mkdir(parents=True)
        quoted = (",".join('"' + value.replace('"', '""') + '"' if value else "" for value in row) + "\r\n" for row in found)
        (folder / table.logical_name / "2026.csv").write_text("".join(quoted))
    (folder / "model.json").write_text(json.dumps({"name": "cdm", "entities": entities}))


def write_tables(tenant: Path, folder: Path, *, delta: bool) -> None:
    """Parquet tables with typed columns, or Delta tables whose log names one file of two."""
    for table, columns, rows in _tables(tenant):
        if not rows:
            continue
        given = [{"Id": row[table.key], **{column: row.get(name) for column, name in columns.items()}} for row in rows]
        frame = pl.DataFrame(given, infer_schema_length=None).with_columns(pl.lit(1).alias("versionnumber"))
        instants = [name for name, kind in frame.schema.items() if kind == pl.String and _is_instant(frame[name])]
        frame = frame.with_columns(pl.col(instants).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC"))
        place = folder / table.logical_name
        place.mkdir(parents=True)
        frame.write_parquet(place / "part-1.parquet")
        if delta:
            frame.head(1).with_columns(pl.lit(2).alias("versionnumber")).write_parquet(place / "part-0.parquet")
            (place / "_delta_log").mkdir()
            for number, actions in enumerate(([{"add": "part-0"}], [{"remove": "part-0"}, {"add": "part-1"}])):
                log = [{kind: {"path": f"{name}.parquet"}} for action in actions for kind, name in action.items()]
                (place / "_delta_log" / f"{number:020d}.json").write_text("".join(json.dumps(each) + "\n" for each in log))


def _is_instant(column: pl.Series) -> bool:
    texts = column.drop_nulls()
    return len(texts) > 0 and texts.str.contains(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$").all()


ENUMS = {"type": "eventType", "showAs": "freeBusyStatus", "sensitivity": "sensitivity", "response": "responseType"}


def _as_connect(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {("ODataType" if k == "@odata.type" else k): _as_connect(v, k) for k, v in value.items() if k != "@odata.etag"}
    if isinstance(value, list):
        return [_as_connect(each, key) for each in value]
    return f"microsoft.graph.{ENUMS[key]}'{value}'" if key in ENUMS and isinstance(value, str) else value


def write_connect(tenant: Path, folder: Path) -> None:
    """Data Connect files of mail, calendars and users; folders that hold no copies were left out of the export."""
    users = lines(tenant / "graph" / "users.jsonl")
    files: dict[str, Rows] = {"User_v1": [{**user, "ptenant": "t", "rowinformation": {}} for user in users]}
    for user in users:
        own = tenant / "graph" / user["id"]
        more = {"puser": user["id"], "ptenant": "t", "datarow": 1, "pAdditionalInfo": None, "rowinformation": {}}
        left_out = {each["id"] for each in lines(own / "mailFolders.jsonl") if each.get("wellKnownName") in UNCOUNTED_FOLDERS}
        mail: dict[str, dict[str, Any]] = {}
        for row in lines(own / "messages.jsonl"):
            mail[row["id"]] = {**mail.get(row["id"], {}), **row}
        kept = [row for row in mail.values() if row.get("parentFolderId") not in left_out]
        events = lines(own / "events.jsonl")
        for dataset, rows in (
            ("Message_v1", kept),
            ("Event_v1", [row for row in events if row.get("type") in ("seriesMaster", "singleInstance")]),
            ("CalendarView_v0", [row for row in events if row.get("type") != "seriesMaster"]),
        ):
            files.setdefault(dataset, []).extend({**_as_connect(row), **more} for row in rows)
    for dataset, rows in files.items():
        (folder / dataset).mkdir(parents=True)
        (folder / dataset / "part-0.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
