"""A tenant folder read as what its sources held after each step of `changes/`.

Lines stay bytes. A collection is one `.jsonl` file and its continuations in the steps; it is read when first asked for.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson

from jobs.errors import RapportError

Window = tuple[datetime, datetime]

ROW_TYPE = dict[str, msgspec.Raw]
STRUCTURED = {"start", "end", "members"}
UNKNOWN_ZONE_SLACK = timedelta(hours=14)


@dataclass(frozen=True)
class EntitySet:
    """One Dataverse table: its entity set, logical name and key column."""

    name: str
    logical_name: str
    key: str


def _table(name: str, logical_name: str, key: str | None = None) -> tuple[str, EntitySet]:
    return name, EntitySet(name, logical_name, key or f"{logical_name}id")


ENTITY_SETS = dict(
    [
        _table("systemusers", "systemuser"),
        _table("businessunits", "businessunit"),
        _table("teams", "team"),
        _table("teammemberships", "teammembership"),
        _table("accounts", "account"),
        _table("contacts", "contact"),
        _table("leads", "lead"),
        _table("opportunities", "opportunity"),
        _table("opportunitycloses", "opportunityclose", "activityid"),
        _table("emails", "email", "activityid"),
        _table("appointments", "appointment", "activityid"),
        _table("recurringappointmentmasters", "recurringappointmentmaster", "activityid"),
        _table("phonecalls", "phonecall", "activityid"),
        _table("tasks", "task", "activityid"),
        _table("activityparties", "activityparty"),
        _table("connections", "connection"),
        _table("connectionroles", "connectionrole"),
        _table("roles", "role"),
        _table("systemuserrolescollection", "systemuserroles", "systemuserroleid"),
    ]
)


class Record:
    """One record as its source spells it: `raw` bytes of the JSON object, and `index`, the few values the server needs."""

    __slots__ = ("index", "raw", "span")

    def __init__(self, raw: bytes, index: dict[str, Any]) -> None:
        self.raw = raw
        self.index = index
        self.span: Window | None = None

    def values(self) -> dict[str, Any]:
        """Its values by key."""
        return parsed(self.raw) or {}

    def columns(self) -> dict[str, msgspec.Raw] | None:
        """Its values by key, each in the bytes of the file; None where they cannot be taken apart."""
        try:
            return msgspec.json.decode(self.raw, type=ROW_TYPE)
        except msgspec.DecodeError:
            return None


def parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line, None where it holds none. Halves of surrogate pairs are JSON, and stay."""
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            values = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return None
    return values if isinstance(values, dict) else None


def _no_number(name: str) -> None:
    raise ValueError(name)


class Collection:
    """The records of one file over all steps.

    A later line of an id replaces the earlier one, or with `merge` (Graph) only the keys it has. A line
    `{"id": ..., "@removed": ...}` ends the record. A line without a readable id is kept in `broken`, to be served as it stands.
    """

    def __init__(self, files: list[Path], key: str, *, merge: bool, fold: bool, index: tuple[str, ...] = ()) -> None:
        self.key, self.merge, self.fold, self.index = key, merge, fold, index
        self.broken: list[tuple[int, bytes]] = []
        self.touched: list[dict[str, None]] = []
        self.reasons: dict[tuple[str, int], str] = {}
        self._history: dict[str, list[tuple[int, Record | None]]] = {}
        self._states: dict[int, dict[str, Record]] = {}
        for step, folder_file in enumerate(files):
            self._apply(step, folder_file)

    def extend(self, file: Path) -> None:
        """Read the file of the next step."""
        self._apply(len(self.touched), file)

    def at(self, step: int) -> dict[str, Record]:
        """The records that exist after `step`, in the order in which they first appeared."""
        if step not in self._states:
            if len(self._states) > 4:
                self._states.pop(next(iter(self._states)))
            self._states[step] = {name: record for name in self._history if (record := self.get(name, step)) is not None}
        return self._states[step]

    def get(self, name: str, step: int) -> Record | None:
        """The record `name` after `step`, or None."""
        for at, record in reversed(self._history.get(name, ())):
            if at <= step:
                return record
        return None

    def touched_between(self, after: int, until: int) -> list[str]:
        """Ids that some step in (after, until] wrote or removed, each once."""
        return list({name: None for step in range(after + 1, until + 1) for name in self.touched[step]})

    def broken_between(self, after: int, until: int) -> list[bytes]:
        """Lines without a readable id of the steps in (after, until]."""
        return [line for step, line in self.broken if after < step <= until]

    def remove(self, name: str, step: int) -> None:
        """End a record for a reason that is not in its own file."""
        self._put(name, step, None)

    def _apply(self, step: int, file: Path) -> None:
        self.touched.append({})
        for line in _lines(file):
            values = parsed(line)
            if values is None:
                self.broken.append((step, line))
                continue
            removed = values.get("@removed")
            name = values.get(self.key) if removed is None else values.get("id", values.get(self.key))
            if not isinstance(name, str) or not name:
                self.broken.append((step, line))
                continue
            name = name.strip().strip("{}").lower() if self.fold else name
            if removed is not None:
                if isinstance(removed, dict) and isinstance(removed.get("reason"), str):
                    self.reasons[name, step] = removed["reason"]
                self._put(name, step, None)
                continue
            older = self.get(name, step) if self.merge else None
            raw = line
            if older is not None:
                raw = _merged(older.raw, line)
                values = parsed(raw) or {}
            self._put(name, step, Record(raw, {column: _indexed(column, values.get(column)) for column in self.index}))

    def _put(self, name: str, step: int, record: Record | None) -> None:
        history = self._history.setdefault(name, [])
        if record is None and (not history or history[-1][1] is None):
            return
        if history and history[-1][0] == step:
            history[-1] = (step, record)
        else:
            history.append((step, record))
        self.touched[step][name] = None
        for known in [s for s in self._states if s >= step]:
            del self._states[known]


def _indexed(column: str, value: Any) -> Any:
    return None if isinstance(value, list | dict) and column not in STRUCTURED else value


def _merged(older: bytes, newer: bytes) -> bytes:
    try:
        return msgspec.json.encode({**msgspec.json.decode(older, type=ROW_TYPE), **msgspec.json.decode(newer, type=ROW_TYPE)})
    except msgspec.DecodeError:
        return json.dumps({**(parsed(older) or {}), **(parsed(newer) or {})}).encode()


def _lines(file: Path) -> Iterator[bytes]:
    """Lines of `file` or of `file`.gz that are not blank; a missing file has none."""
    packed = file.with_name(file.name + ".gz")
    try:
        if packed.exists():
            if file.exists():
                raise RapportError(f"{file} and {packed.name} are both there: keep one of them")
            data = gzip.decompress(packed.read_bytes())
        elif file.exists():
            data = file.read_bytes()
        else:
            return
    except (OSError, EOFError, zlib.error) as error:
        raise RapportError(f"cannot read {packed if packed.exists() else file}: {error}") from None
    for line in data.split(b"\n"):
        stripped = line.strip()
        if stripped:
            yield stripped


class Mailbox:
    """Mail folders, messages and events of one user over all steps (R6: a message lives in its last folder alone)."""

    def __init__(self, folder_files: list[Path], message_files: list[Path], event_files: list[Path]) -> None:
        self._files = {"folders": folder_files, "messages": message_files, "events": event_files}
        self._members: dict[int, dict[str, list[str]]] = {}

    @cached_property
    def folders(self) -> Collection:
        index = ("parentFolderId", "wellKnownName", "isHidden", "@odata.type")
        folders = Collection(self._files["folders"][:1], "id", merge=True, fold=False, index=index)
        _remove_below(folders, 0)
        for step, file in enumerate(self._files["folders"][1:], 1):
            folders.extend(file)
            _remove_below(folders, step)
        return folders

    @cached_property
    def messages(self) -> Collection:
        index = ("parentFolderId", "receivedDateTime", "lastModifiedDateTime")
        messages = Collection(self._files["messages"][:1], "id", merge=True, fold=False, index=index)
        self._remove_with_folders(messages, 0)
        for step, file in enumerate(self._files["messages"][1:], 1):
            messages.extend(file)
            self._remove_with_folders(messages, step)
        return messages

    @cached_property
    def events(self) -> Collection:
        index = ("type", "start", "end", "seriesMasterId")
        return Collection(self._files["events"], "id", merge=True, fold=False, index=index)

    def extend(self, folder_file: Path, message_file: Path, event_file: Path) -> None:
        """Add the files of the next step."""
        for part, file in (("folders", folder_file), ("messages", message_file), ("events", event_file)):
            self._files[part].append(file)
        if "folders" in self.__dict__:
            self.folders.extend(folder_file)
            _remove_below(self.folders, len(self.folders.touched) - 1)
        if "messages" in self.__dict__:
            self.messages.extend(message_file)
            self._remove_with_folders(self.messages, len(self.messages.touched) - 1)
        if "events" in self.__dict__:
            self.events.extend(event_file)

    def members(self, step: int) -> dict[str, list[str]]:
        """Message ids by the folder that serves them after `step`; messages of unknown folders are in none."""
        if step not in self._members:
            if len(self._members) > 4:
                self._members.pop(next(iter(self._members)))
            members: dict[str, list[str]] = {name: [] for name in self.folders.at(step)}
            for name, record in self.messages.at(step).items():
                if (ids := members.get(record.index["parentFolderId"])) is not None:
                    ids.append(name)
            self._members[step] = members
        return self._members[step]

    def home_of_broken_lines(self, step: int) -> str | None:
        """The folder whose pages carry message lines without a readable id: the inbox, else the first folder."""
        folders = self.folders.at(step)
        inbox = (name for name, record in folders.items() if str(record.index["wellKnownName"]).lower() == "inbox")
        return next(inbox, next(iter(folders), None))

    def folder(self, name: str, step: int) -> str | None:
        """The id of the folder that answers to an id or a well-known name; None when there is none."""
        if self.folders.get(name, step) is not None:
            return name
        held = self.folders.at(step).items()
        known = (i for i, record in held if str(record.index["wellKnownName"]).lower() == name.lower())
        return next(known, None)

    def path(self, folder: str, step: int) -> list[str]:
        """The folder and those above it, well-known names where they have one, else ids."""
        found: dict[str, str] = {}
        current: Any = folder
        while current not in found and isinstance(current, str) and (record := self.folders.get(current, step)) is not None:
            found[current] = record.index["wellKnownName"] or current
            current = record.index["parentFolderId"]
        return list(found.values())

    def view(self, step: int, window: Window) -> list[str]:
        """Ids of the events that a calendar view shows: all but masters that overlap the window (N36)."""
        return [name for name, record in self.events.at(step).items() if in_view(record, window)]

    def touched_events(self, after: int, until: int) -> list[str]:
        """Events that changed in (after, until]; a changed series master brings its occurrences along."""
        touched = dict.fromkeys(self.events.touched_between(after, until))
        changed = set(touched)
        for name, record in self.events.at(until).items():
            if record.index["seriesMasterId"] in changed:
                touched[name] = None
        return list(touched)

    def _remove_with_folders(self, messages: Collection, step: int) -> None:
        gone = {name for name in self.folders.touched[step] if self.folders.get(name, step) is None}
        if gone:
            for name, record in list(messages.at(step).items()):
                if record.index["parentFolderId"] in gone:
                    messages.remove(name, step)


def _remove_below(folders: Collection, step: int) -> None:
    """A removed folder takes the folders below it along."""
    gone = [name for name in folders.touched[step] if folders.get(name, step) is None]
    while gone:
        above = gone.pop()
        below = [name for name, record in folders.at(step).items() if record.index["parentFolderId"] == above]
        for name in below:
            folders.remove(name, step)
        gone.extend(below)


def in_view(record: Record, window: Window) -> bool:
    """Whether a calendar view over `window` shows the event; one without readable times is shown by every view."""
    if record.index["type"] == "seriesMaster":
        return False
    if record.span is None:
        start = instant(record.index["start"], -1)
        end = instant(record.index["end"], 1) or instant(record.index["start"], 1)
        record.span = (start or datetime.min.replace(tzinfo=UTC), end or datetime.max.replace(tzinfo=UTC))
    return record.span[0] < window[1] and record.span[1] > window[0]


def instant(value: Any, slack: int = 0) -> datetime | None:
    """A Graph dateTimeTimeZone as an instant; an unknown zone is widened by `slack` times 14 hours; None if unreadable."""
    if not isinstance(value, dict) or not isinstance(value.get("dateTime"), str):
        return None
    zone = value.get("timeZone")
    try:
        at = datetime.fromisoformat(value["dateTime"])
        if at.tzinfo is not None:
            return at.astimezone(UTC)
        if zone in ("UTC", "tzone://Microsoft/Utc"):
            return at.replace(tzinfo=UTC)
        if (known := _zone(zone if isinstance(zone, str) else None)) is not None:
            return at.replace(tzinfo=known).astimezone(UTC)
        return at.replace(tzinfo=UTC) + slack * UNKNOWN_ZONE_SLACK
    except (ValueError, OverflowError):
        return None


@cache
def _zone(name: str | None) -> tzinfo | None:
    with suppress(KeyError, TypeError, ValueError, OSError):
        return ZoneInfo(name or "")
    from jobs.normalise.times import zone  # Windows names are rare here, and reading them is slow to start.

    return zone(name)


@dataclass
class Tenant:
    """A tenant folder and how many of its steps are applied.

    Raises RapportError, one line, where the folder is none or holds nothing to serve.
    """

    folder: Path
    step: int = 0
    description: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        if not self.folder.is_dir():
            raise RapportError(f"{self.folder} is no folder: give a tenant folder")
        file = self.folder / "tenant.json"
        try:
            self.description = orjson.loads(file.read_bytes()) if file.exists() else {}
        except (OSError, ValueError) as error:
            raise RapportError(f"{file} cannot be read as JSON: {error}") from None
        if not isinstance(self.description, dict):
            raise RapportError(f"{file} holds no JSON object; mend it")
        if not any((self.folder / part).is_dir() for part in ("dataverse", "graph")):
            raise RapportError(f"{self.folder} has neither a dataverse nor a graph folder: there is nothing to serve")
        self.description.setdefault("name", self.folder.name)
        if self.step > self.steps:
            raise RapportError(f"{self.folder}/changes has {self.steps} steps: there is no step {self.step}")
        self._roots = [self.folder, *self._step_folders()[: self.step]]
        self._tables: dict[str, Collection] = {}
        self._mailboxes: dict[str, Mailbox] = {}

    @property
    def steps(self) -> int:
        """How many steps `changes/` holds now."""
        return len(self._step_folders())

    @cached_property
    def has_graph(self) -> bool:
        """Whether the tenant has Exchange at all: `graph/users.jsonl` is there."""
        return any((self.folder / "graph" / name).exists() for name in ("users.jsonl", "users.jsonl.gz"))

    def advance(self) -> bool:
        """Apply the next step; False when there is none left."""
        folders = self._step_folders()
        if self.step >= len(folders):
            return False
        root = folders[self.step]
        for name, table in self._tables.items():
            table.extend(root / "dataverse" / f"{name}.jsonl")
        for part in ("users", "groups"):
            if part in self.__dict__:
                getattr(self, part).extend(root / "graph" / f"{part}.jsonl")
        for user, mailbox in self._mailboxes.items():
            mailbox.extend(*self._mailbox_files(root, user))
        self._roots.append(root)
        self.step += 1
        return True

    def table(self, entity_set: str) -> Collection:
        """The rows of a Dataverse table; GUIDs are told apart without regard to case."""
        if entity_set not in self._tables:
            files = [root / "dataverse" / f"{entity_set}.jsonl" for root in self._roots]
            self._tables[entity_set] = Collection(files, ENTITY_SETS[entity_set].key, merge=False, fold=True)
        return self._tables[entity_set]

    @cached_property
    def users(self) -> Collection:
        """`graph/users.jsonl`."""
        files = [root / "graph" / "users.jsonl" for root in self._roots]
        return Collection(files, "id", merge=True, fold=True, index=("userPrincipalName",))

    @cached_property
    def groups(self) -> Collection:
        """`graph/groups.jsonl`, optional: {"id", "members": [user ids]}."""
        files = [root / "graph" / "groups.jsonl" for root in self._roots]
        return Collection(files, "id", merge=True, fold=True, index=("members",))

    def mailbox(self, user: str) -> Mailbox:
        """The mailbox of a user; one without files is empty."""
        user = user.lower()
        if user not in self._mailboxes:
            self._mailboxes[user] = Mailbox(
                *(list(files) for files in zip(*(self._mailbox_files(r, user) for r in self._roots), strict=True))
            )
        return self._mailboxes[user]

    def records(self, stream: str, window: Window | None = None) -> dict[str, dict[str, Any]]:
        """What a client that missed nothing holds of a stream now: the served records by id.

        `stream` is named as in the raw log: an entity set, `users`, `mailFolders/<user>`, `messages/<user>/<folder>`,
        `calendarView/<user>` (with its window; the masters are in `events/<user>`).
        """
        kind, _, rest = stream.partition("/")
        user, _, folder = rest.partition("/")
        if kind in ENTITY_SETS:
            records = self.table(kind).at(self.step)
        elif kind == "users":
            records = self.users.at(self.step)
        elif self.users.get(user.lower(), self.step) is None:
            records = {}
        elif kind == "mailFolders":
            records = self.mailbox(user).folders.at(self.step)
        elif kind == "messages":
            mailbox = self.mailbox(user)
            held = mailbox.messages.at(self.step)
            records = {name: held[name] for name in mailbox.members(self.step).get(folder, ())}
        elif kind == "events":
            records = self.mailbox(user).events.at(self.step)
        elif kind == "calendarView" and window is not None:
            held = self.mailbox(user).events.at(self.step)
            records = {name: held[name] for name in self.mailbox(user).view(self.step, window)}
        else:
            raise ValueError(f"no records are kept for the stream {stream}")
        return {name: record.values() for name, record in records.items()}

    def _step_folders(self) -> list[Path]:
        changes = self.folder / "changes"
        return sorted(path for path in changes.iterdir() if path.is_dir()) if changes.is_dir() else []

    def _mailbox_files(self, root: Path, user: str) -> tuple[Path, Path, Path]:
        graph = root / "graph"
        folder = (
            next((path for path in graph.iterdir() if path.name.lower() == user), graph / user)
            if graph.is_dir()
            else graph / user
        )
        return folder / "mailFolders.jsonl", folder / "messages.jsonl", folder / "events.jsonl"
