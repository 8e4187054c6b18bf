"""Erasure of a person from every layer, and the export of what is held about one.

What someone takes part in goes as a whole, as it does for someone who opted out: their records, every activity with them in whatever
role, their mailbox. Other records stay and name them no longer.

Every step may run again. Until the last is done a mark says whom it is about, for what tells is erased on the way; while it is there
no rebuild is held back.
"""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import polars as pl
import pyarrow.parquet as pq

from jobs.errors import RapportError
from jobs.extract.files import SCHEMA, raw_root, stream_files, stream_folder, stream_folders, stream_name, write_durably
from jobs.extract.log import StreamLog
from jobs.normalise.job import normalising
from jobs.privacy.person import CRM_ACTIVITIES, GRAPH_ACTIVITIES, LINKS, OF_MAILBOX, Person, speaking_rows
from jobs.publish import files, history
from jobs.publish.catalogue import Mart, quote
from jobs.publish.protocol import discard_held, publish_lock
from jobs.publish.versions import Published
from jobs.publish.writer import paths


def erasing(home: Path) -> Path:
    """The mark of an erasure that has begun and not ended: `ids`, `addresses`, `activities` (ids by source). Closed to others."""
    return home / "privacy" / "erasing"


def receipts(home: Path) -> Path:
    """One line an erasure: `at`, `reference`, `version` (the first without the person) and counts; nothing that tells whom."""
    return home / "privacy" / "receipts.jsonl"


def erase(
    home: Path, person: Person, marts: dict[str, Mart], reference: str, rebuild: Callable[[], None], now: Callable[[], datetime]
) -> dict[str, Any]:
    """Erase a person from raw log, normalised lake, warehouse, history, gate evidence and every version; gives the receipt.

    `rebuild` publishes from what is left, in every target; older versions go once that has been done. `reference` is kept.
    Raises RapportError while another run uses a layer, and when the rebuild published nothing.
    """
    person, activities = _begin(home, person)
    counts = {"raw_rows": erase_raw(home, person, activities), "history_rows": erase_derived(home, person, marts)}
    store = Published(home)
    before = len(store.log())
    rebuild()
    if not {"publish", "repoint", "unchanged"} & {entry["action"] for entry in store.log()[before:]}:
        raise RapportError(
            "erasure: the rebuild published nothing, readers still see the person: is RAPPORT_AS_OF before the published as-of? "
            "Mend it and run `rapport forget` again"
        )
    with publish_lock(home):
        counts["versions"] = len(store.prune(0))
        receipt = {"at": now().isoformat(), "reference": reference, "version": store.current_name(), **counts}
        files.append_line(receipts(home), receipt)
    erasing(home).unlink()
    return receipt


def _begin(home: Path, person: Person) -> tuple[Person, dict[str, set[str]]]:
    """Note whom an erasure is about, those of one that did not end included, and which activities go with them."""
    mark = erasing(home)
    noted = orjson.loads(mark.read_bytes()) if mark.exists() else {"ids": [], "addresses": [], "activities": {}}
    person = Person(person.ids | set(noted["ids"]), person.addresses | set(noted["addresses"]))
    activities = {source: ids | set(noted["activities"].get(source, [])) for source, ids in activities_of(home, person).items()}
    mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    listed = {source: sorted(ids) for source, ids in activities.items()}
    files.write_json(mark, {"ids": sorted(person.ids), "addresses": sorted(person.addresses), "activities": listed})
    return person, activities


def activities_of(home: Path, person: Person) -> dict[str, set[str]]:
    """Ids in the raw log of the activities that someone takes part in, by source."""
    activities: dict[str, set[str]] = {"graph": set(), "dataverse": set()}
    for folder, source, stream in _streams(home):
        family = stream.split("/")[0]
        if family not in (*GRAPH_ACTIVITIES, *CRM_ACTIVITIES, "activityparties"):
            continue
        for file in stream_files(folder):
            frame = _rows(file)
            found = frame.filter(speaking_rows(frame, person))
            column = "payload" if family == "activityparties" else "record_id"
            ids = found.get_column(column).drop_nulls().to_list()
            activities[source] |= {i for text in ids if (i := _activity_of(text) if column == "payload" else text)}
    return activities


def _streams(home: Path) -> list[tuple[Path, str, str]]:
    """Folder, source and stream of everything in the raw log."""
    return [(folder, *named) for folder in stream_folders(home) if (named := stream_name(folder))]


def erase_raw(home: Path, person: Person, activities: dict[str, set[str]]) -> int:
    """Take a person out of the raw log; returns how many rows went or were changed.

    An activity is many rows of which one names the person, so all rows of those in `activities` go.
    """
    touched = _erase_mailboxes(home, person)
    for folder, source, stream in _streams(home):
        family = stream.split("/")[0]
        with StreamLog(home, source, stream, "erasure").locked():
            touched += sum(_erase_file(file, family, person, activities[source]) for file in stream_files(folder))
    return touched


def _rows(file: Path) -> pl.DataFrame:
    return pl.read_parquet(file, hive_partitioning=False)


def _erase_file(file: Path, family: str, person: Person, activities: set[str]) -> int:
    """Rewrite one file of the raw log without a person; returns how many rows went or were changed."""
    frame = _rows(file)
    gone = speaking_rows(frame, person)
    changed = pl.Series(gone.to_list(), dtype=pl.Boolean)
    if family in (*GRAPH_ACTIVITIES, *CRM_ACTIVITIES):
        gone = gone | frame.get_column("record_id").is_in(sorted(activities)).fill_null(False)
    elif family == "activityparties":
        of_gone = pl.Series(
            [_activity_of(payload) in activities for payload in frame.get_column("payload").to_list()], dtype=pl.Boolean
        )
        gone = gone | of_gone
    elif family not in LINKS:
        own = frame.get_column("record_id").str.to_lowercase().is_in(sorted(person.ids)).fill_null(False)
        gone, changed = own, changed & ~own
        cleared = [
            _cleared(payload, person) if is_changed else payload
            for payload, is_changed in zip(frame.get_column("payload").to_list(), changed.to_list(), strict=True)
        ]
        frame = frame.with_columns(pl.Series("payload", cleared, dtype=pl.String))
        gone = gone | (changed & (frame.get_column("op") == "reject"))
    touched = int((gone | changed).sum())
    if touched:
        write_durably(file, frame.filter(~gone).to_arrow().cast(SCHEMA))
    return touched


def _activity_of(payload: str | None) -> str | None:
    """The activity that the payload of a party names; None for what is no party."""
    try:
        content = orjson.loads(payload or "null")
    except orjson.JSONDecodeError:
        return None
    text = content.get("_activityid_value") if isinstance(content, dict) else None
    return text.strip("{}").lower() if text else None


def _cleared(payload: str, person: Person) -> str:
    """A payload in which null stands for whatever names a person."""

    def without(content: Any) -> Any:
        if isinstance(content, dict):
            return {name: without(value) for name, value in content.items()}
        if isinstance(content, list):
            return [without(value) for value in content if not person.named_by(value)]
        return None if person.named_by(content) else content

    try:
        return orjson.dumps(without(orjson.loads(payload))).decode()
    except orjson.JSONDecodeError:
        return payload


def _erase_mailboxes(home: Path, person: Person) -> int:
    """Remove a person's own mailbox from the raw log; returns how many rows went."""
    gone = 0
    for mailbox in (stream_folder(home, "graph", f"{family}/{user}") for family in OF_MAILBOX for user in person.ids):
        if mailbox.exists():
            gone += sum(pq.read_metadata(file).num_rows for file in mailbox.rglob("*.parquet"))
            shutil.rmtree(mailbox)
    asked = raw_root(home) / "graph" / "mailboxes.json"
    if asked.exists():
        known = orjson.loads(asked.read_bytes())
        files.write_json(asked, {user: facts for user, facts in known.items() if user.lower() not in person.ids})
    return gone


def erase_derived(home: Path, person: Person, marts: dict[str, Mart]) -> int:
    """Remove what is computed anew (normalised lake, warehouse, gate evidence), and a person's rows of the history; returns how many."""
    with normalising(home) as lake:
        for part in lake.glob("[!.]*"):
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    with publish_lock(home):
        discard_held(home)
        for folder in ("warehouse/candidates", "warehouse/dbt", "quality"):
            shutil.rmtree(home / folder, ignore_errors=True)
        for name in ("base.json", "base.duckdb"):
            (home / "warehouse" / name).unlink(missing_ok=True)
        days = [mart for mart in marts.values() if mart.partition == "as_of_date"]
        return sum(history.forget_records(home, mart, sorted(person.ids)) for mart in days)


def held_about(home: Path, person: Person) -> dict[str, Any]:
    """Everything that is held about a person: who they are, rows of the raw log, rows of the published marts (restricted ones too)."""
    found = []
    for folder in stream_folders(home):
        for file in stream_files(folder):
            frame = _rows(file)
            for row in frame.filter(speaking_rows(frame, person)).iter_rows(named=True):
                found.append({name: row[name] for name in ("source", "stream", "op", "record_id", "received_at")})
                found[-1]["content"] = _content(row["payload"])
    current = Published(home).current()
    published = (
        {name: _mart_rows(current.mart_files(name), mart, person) for name, mart in current.marts.items()} if current else {}
    )
    return {
        "ids": sorted(person.ids),
        "addresses": sorted(person.addresses),
        "raw": sorted(found, key=lambda row: (row["source"], row["stream"], row["received_at"])),
        "version": current.name if current else None,
        "marts": {name: rows for name, rows in published.items() if rows},
    }


def _content(payload: str | None) -> Any:
    try:
        return orjson.loads(payload or "null")
    except orjson.JSONDecodeError:
        return payload


def _mart_rows(parts: list[Path], mart: Mart, person: Person) -> list[dict[str, Any]]:
    """Rows of a mart that hold an id or an address of a person."""
    texts = [quote(c.name) for c in mart.columns if c.data_type == "VARCHAR"]
    if not texts or not parts:
        return []
    named = " OR ".join(f"lower({column}) IN (SELECT unnest($wanted))" for column in texts)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        wanted = {"wanted": sorted(person.ids | person.addresses)}
        found = con.execute(f"SELECT * FROM read_parquet({paths(parts)}, hive_partitioning = false) WHERE {named}", wanted)
        names = [d[0] for d in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
