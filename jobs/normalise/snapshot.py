"""Files of the normalised lake and the manifest that lists them together.

A file is named by the hash of its content, so that an unchanged partition is the same file; files that neither the current nor the
previous snapshot lists are removed. Beside the published tables lies what the next run needs to work out mail from (`state`).

`changes` in the manifest says what is new, for readers that work out only what it reaches: a list, newest first, of `since` (the id
of an earlier snapshot) and `file` (columns `table`, `column`, `key`: what came, went or changed on the way from that snapshot to the
next one of the list, for the first entry to this snapshot). A row is listed by its key and by every id that it names, as they were and
as they are (`REACH`), so that a contact that moved names both accounts. Whoever knows snapshot S reads the files from the first entry
to the one with `since` S; when the manifest is S's own, nothing changed, and when S is neither, everything may have. The list is
empty in the first snapshot and starts anew when a table gets other columns.
"""

import hashlib
import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow.parquet as pq

from jobs.errors import RapportError
from jobs.normalise import calendars, crm, mail_update, monthly, other_update
from jobs.normalise.monthly import OUTPUTS, Months, Partitions
from jobs.normalise.portions import Portions
from jobs.normalise.quarantine import CONSERVATION, QUARANTINED
from jobs.normalise.seen import Seen
from jobs.normalise.shelf import Finished, write_parquet
from jobs.normalise.side_by_side import side_by_side
from jobs.normalise.tables import Kept, KeptRecords, Normalised
from jobs.privacy import opt_out
from jobs.privacy.opt_out import OptOut

MANIFEST = "snapshot.json"
CHANGES_KEPT = 20
OF_ACTIVITIES = ("email", "appointment", "recurringappointmentmaster", "phonecall", "task", "activityparty")
REACH = {
    **{name: ["activity_id"] for name in OUTPUTS},
    "person_address": ["address"],
    "record_address": ["record_id", "address"],
    "account_domain": ["account_id", "domain"],
    **{f"crm_{name}": [*table.ids(), *(["master_id"] if name in crm.MERGING else [])]
       for name, table in crm.TABLES.items() if name not in OF_ACTIVITIES},
}  # fmt: skip
"""Tables whose changes are told, with the columns that tell whom a changed row reaches; other tables reach readers through these."""
MONTHLY = {kind: {**tables, "address": monthly.ADDRESS} for kind, tables in (("mail", OUTPUTS), ("others", other_update.MONTHLY))}
"""The tables that lie by month, for mail and for the other activities."""


@dataclass(frozen=True)
class Basis:
    """What a snapshot is made from: `fingerprint` of code and rules that nothing of a run before outlives, `rules` of all rules too,
    and the raw files with their sizes."""

    fingerprint: str
    rules: str
    files: dict[str, int]


@dataclass(frozen=True)
class Lake:
    """The folder of the normalised lake."""

    root: Path

    def manifest(self) -> dict[str, Any] | None:
        """The current manifest, None before the first. Raises RapportError when it cannot be read."""
        file = self.root / MANIFEST
        if not file.exists():
            return None
        try:
            found = orjson.loads(file.read_bytes())
            return {**found, "tables": dict(found["tables"]), "snapshot_id": str(found["snapshot_id"])}
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise RapportError(f"{file} is damaged: remove it, and the next run builds the normalised lake anew") from None

    def settled(self, based_on: Basis) -> dict[str, Any] | None:
        """The current manifest when it is made from this and all its files are there, so that nothing is left to do."""
        manifest = self.manifest()
        state = self._state_of(manifest)
        is_same = all(state.get(name) == value for name, value in asdict(based_on).items())
        return manifest if manifest is not None and is_same and self._is_whole(manifest, state) else None

    def state(self, fingerprint: str) -> tuple[Kept, dict[str, int]] | None:
        """What the run before kept, and the raw files it had read with their sizes; None when it cannot be built upon.

        It cannot after a change of code or rules (`fingerprint`), nor when a file that it names is gone.
        """
        manifest = self.manifest()
        state = self._state_of(manifest)
        if manifest is None or state.get("fingerprint") != fingerprint:
            return None
        if not self._is_whole(manifest, state):
            return None
        side = {
            name: pl.read_parquet(self.root / path, hive_partitioning=False)
            for name, path in state["side"].items()
            if not name.startswith("record/")
        }
        mail = mail_update.Kept(
            self._partitions("mail", state["months"]["mail"]),
            self._portions(state["portions"], side["gone"].to_series()),
            state["next_copy"]["mail"],
            Seen(side["seen"].to_series(), side["seen_later"].to_series()),
            side["folders"],
            side["owners"],
            side["owner_address"],
            side["conservation"],
            side["quarantined"],
            side["mail_control"],
            OptOut(**{name: frozenset(values) for name, values in state["opt_out"].items()}),
        )
        kept = Kept(
            crm=KeptRecords(
                lambda name: pl.read_parquet(self.root / state["side"][f"record/{name}"], hive_partitioning=False),
                side["crm_passed"],
                side["crm_quarantined"],
            ),
            calendars=calendars.Kept(side["event"], side["event_passed"], side["event_quarantined"]),
            mail=mail,
            others=other_update.Kept(self._partitions("others", state["months"]["others"]), state["next_copy"]["others"]),
            users=side["users"],
            control=side["control"],
            streams=side["streams"],
        )
        return kept, state["files"]

    def _is_whole(self, manifest: dict[str, Any], state: dict[str, Any]) -> bool:
        return all((self.root / path).is_file() for path in _paths(state) | _paths(manifest["tables"]))

    def _partitions(self, kind: str, months: dict[str, dict[str, str]]) -> Partitions:
        def scan(table: str, columns: list[str], of: list[str]) -> pl.LazyFrame:
            parts = [
                pl.scan_parquet(self.root / months[month][table], hive_partitioning=False).select(
                    *columns, pl.lit(month).alias("month")
                )
                for month in of
            ]
            schema = MONTHLY[kind][table]
            empty = pl.LazyFrame(schema={**{name: schema[name] for name in columns}, "month": pl.String})
            return pl.concat([empty, *parts])

        def load(month: str, table: str) -> pl.DataFrame:
            return pl.read_parquet(self.root / months[month][table], hive_partitioning=False)

        return Partitions(list(months), scan, load)

    def _portions(self, listed: list[dict[str, str]], gone: pl.Series) -> Portions:
        files = [{name: self.root / path for name, path in tables.items()} for tables in listed]
        return Portions(
            [{name: Finished(pl.scan_parquet(file), file) for name, file in tables.items()} for tables in files], gone
        )

    def write(self, result: Normalised, facts: dict[str, Any], based_on: Basis, streams: pl.DataFrame) -> dict[str, Any]:
        """Write what changed, then the manifest, and return it; a result that changes nothing leaves the manifest as it is."""
        self.root.mkdir(parents=True, exist_ok=True)
        before = self.manifest()
        state_before = self._state_of(before)
        months = {
            "mail": self._months("mail", result.mail.months, state_before if result.mail_kept else {}),
            "others": self._months("others", result.others.months, state_before if result.others_kept else {}),
        }
        listed = before["tables"] if before else {}
        tables = {name: self._activity_table(name, months, set(listed.get(name, []))) for name in OUTPUTS}
        tables |= {
            name: listed[name] if name in result.unchanged and name in listed else [self._content(name, frame)]
            for name, frame in result.whole.items()
        }
        tables["conservation"] = [self._content("conservation", result.conservation)]
        content = {"tables": tables, **facts}
        snapshot_id = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        state = self._state(result, months, state_before, based_on, streams)
        if before is not None and before["snapshot_id"] == snapshot_id:
            manifest = {**before, "state": state}
        else:
            manifest = {
                "snapshot_id": snapshot_id,
                "previous_id": before["snapshot_id"] if before else None,
                **content,
                "row_counts": {
                    name: before["row_counts"][name] if before and listed.get(name) == paths else self._row_count(paths)
                    for name, paths in tables.items()
                },
                "changes": self._changes(before, tables) if before else [],
                "state": state,
            }
        if manifest != before:
            _write_file(self.root / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
            self._remove_unlisted([manifest, before])
        return manifest

    def _state_of(self, manifest: dict[str, Any] | None) -> dict[str, Any]:
        """The state that a manifest names, empty where there is none that can be read."""
        name = (manifest or {}).get("state")
        file = self.root / name if isinstance(name, str) else None
        if file is None or not file.is_file():
            return {}
        try:
            found = orjson.loads(file.read_bytes())
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def _months(self, kind: str, changed: Months, before: dict[str, Any]) -> dict[str, dict[str, str]]:
        """Files of mail, or of the other activities, by month and table."""
        months: dict[str, dict[str, str]] = dict(before["months"][kind]) if before else {}

        def written(month: str) -> dict[str, str]:
            frames = changed[month]
            decides = "copy" if "copy" in MONTHLY[kind] else "activity"
            if decides in frames and frames[decides].rows.select(pl.len()).collect().item() == 0:
                return {}
            files = {
                name: self._finished(f"{name}/month={month}" if name in OUTPUTS else f"state/{kind}/{name}/month={month}", table)
                for name, table in frames.items()
            }
            return {**months.get(month, {}), **files}

        months |= dict(zip(changed, side_by_side(written, changed), strict=True))
        return {month: files for month, files in sorted(months.items()) if files}

    def _activity_table(self, name: str, months: dict[str, dict[str, dict[str, str]]], listed: set[str]) -> list[str]:
        """The files of a table that hold rows; one without any where none does. `listed`: those of the snapshot before."""
        files = [paths[name] for of_kind in months.values() for paths in of_kind.values() if name in paths]
        filled = sorted(file for file in files if file in listed or self._row_count([file]))
        return filled or [self._content(name, pl.DataFrame(schema=OUTPUTS[name]))]

    def _state(
        self,
        result: Normalised,
        months: dict[str, dict[str, dict[str, str]]],
        before: dict[str, Any],
        based_on: Basis,
        streams: pl.DataFrame,
    ) -> str:
        mail, known = result.mail, result.people
        place = ["stream", "round", "page", "row"]
        side = {
            "streams": streams.sort("file", "source", "stream"),
            "gone": mail.portions.gone.to_frame(),
            "seen": mail.seen.most.to_frame("place"),
            "seen_later": mail.seen.later.to_frame("place"),
            "folders": known.folders,
            "owners": known.owners,
            "owner_address": known.owner_address,
            "conservation": mail.conservation.select(CONSERVATION.keys()).sort("stream", "outcome"),
            "quarantined": mail.quarantined.select(QUARANTINED.keys()).sort(place),
            "mail_control": mail.control.sort(place),
            "event": result.calendars.index,
            "event_passed": result.calendars.passed,
            "event_quarantined": result.calendars.quarantined.sort(place),
            "crm_passed": result.crm_passed,
            "crm_quarantined": result.crm_quarantined.sort(place),
            "users": result.users,
            "control": result.control.sort(place),
        }
        same = {"seen": before["side"]["seen"]} if before and mail.seen.is_same else {}
        written = {name: same.get(name) or self._content(f"state/{name}", frame) for name, frame in side.items()}
        for name, frame in result.crm.records.items():
            is_same = f"crm_{name}" in result.unchanged and before
            path = before["side"][f"record/{name}"] if is_same else self._content(f"state/record/{name}", frame)
            written[f"record/{name}"] = path
        state = {
            **asdict(based_on),
            "next_copy": {"mail": mail.next_copy, "others": result.others.next_copy},
            "months": months,
            "portions": [
                {name: self._finished(f"state/mail/{name}", table) for name, table in tables.items()}
                for tables in mail.portions.tables
            ],
            "side": written,
            "opt_out": {name: sorted(getattr(known.opt_out, name)) for name in ("ids", "addresses", "domains")},
        }
        content = orjson.dumps(state, option=orjson.OPT_SORT_KEYS)
        path = f"state/{hashlib.sha256(content).hexdigest()[:24]}.json"
        if not (self.root / path).exists():
            _write_file(self.root / path, content)
        return path

    def _finished(self, folder: str, table: Finished) -> str:
        if table.file is None:
            return self._content(folder, table.rows.collect())
        if table.file.parent == self.root / folder:
            return f"{folder}/{table.file.name}"
        with table.file.open("rb") as file:
            path = f"{folder}/{hashlib.file_digest(file, 'sha256').hexdigest()[:24]}.parquet"
            if not (self.root / path).exists():
                os.fsync(file.fileno())
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                table.file.replace(self.root / path)
        return path

    def _content(self, folder: str, frame: pl.DataFrame) -> str:
        buffer = io.BytesIO()
        write_parquet(frame, buffer)
        content = buffer.getvalue()
        path = f"{folder}/{hashlib.sha256(content).hexdigest()[:24]}.parquet"
        if not (self.root / path).exists():
            _write_file(self.root / path, content)
        return path

    def _row_count(self, paths: list[str]) -> int:
        return sum(pq.read_metadata(self.root / path).num_rows for path in paths)

    def _changes(self, before: dict[str, Any], tables: dict[str, list[str]]) -> list[dict[str, str]]:
        """The list `changes` of a snapshot of `tables` after `before`."""
        parts = [pl.DataFrame(schema=dict.fromkeys(["table", "column", "key"], pl.String))]
        for name, columns in REACH.items():
            old, new = set(before["tables"].get(name, [])), set(tables[name])
            left, right = self._rows(sorted(old - new)), self._rows(sorted(new - old))
            if left is None and right is None:
                continue
            left, right = (right.clear() if left is None else left), (left.clear() if right is None else right)
            if left.schema != right.schema:
                return []
            changed = [
                a.join(b, on=a.columns, how="anti", nulls_equal=True).select(columns) for a, b in ((left, right), (right, left))
            ]
            named = pl.concat(changed).unpivot(on=columns, variable_name="column", value_name="key").drop_nulls()
            parts.append(named.select(pl.lit(name).alias("table"), "column", "key"))
        file = self._content("changes", pl.concat(parts).unique().sort(pl.all()))
        return [{"since": before["snapshot_id"], "file": file}, *before.get("changes", [])][:CHANGES_KEPT]

    def _rows(self, paths: list[str]) -> pl.DataFrame | None:
        """The rows of some files of a table as they are compared: a later receive time alone is no change."""
        if not paths:
            return None
        frame = pl.concat([pl.read_parquet(self.root / path, hive_partitioning=False) for path in paths])
        lists = [column for column, kind in frame.schema.items() if isinstance(kind, pl.List)]
        return frame.drop("ingested_at", strict=False).with_columns(pl.col(lists).list.join("\n"))

    def _remove_unlisted(self, manifests: list[dict[str, Any] | None]) -> None:
        listed = {MANIFEST}
        for manifest in manifests:
            if manifest is not None:
                listed |= _paths(manifest["tables"]) | _paths(manifest.get("changes", []))
                if state := self._state_of(manifest):
                    listed |= {manifest["state"], *_paths(state)}
        for file in [*self.root.rglob("*.parquet"), *self.root.glob("state/*.json"), *self.root.rglob("*.tmp")]:
            if file.relative_to(self.root).as_posix() not in listed:
                file.unlink(missing_ok=True)
        for folder in sorted((path for path in self.root.rglob("month=*") if path.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()


def _paths(listed: Any) -> set[str]:
    """Every Parquet file that a part of a manifest or of a state names, of whatever version it is."""
    if isinstance(listed, dict | list):
        return {path for part in (listed.values() if isinstance(listed, dict) else listed) for path in _paths(part)}
    return {listed} if isinstance(listed, str) and listed.endswith(".parquet") else set()


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def code_fingerprint() -> str:
    """Changes with the code and data of this package and with Polars, whose hashes the state holds."""
    digest = hashlib.sha256(pl.__version__.encode())
    folder = Path(mail_update.__file__).parent
    for file in sorted([*folder.glob("*.py"), *folder.glob("data/*"), Path(opt_out.__file__)]):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
