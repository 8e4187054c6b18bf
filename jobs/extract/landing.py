"""The landing filter: reduces source records to what the keep-list names, before anything is written."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import UNSET, UnsetType

from jobs.extract.keep import (
    EVENT,
    EXPECTED,
    FOLDER,
    LABEL,
    LISTED_MESSAGE,
    LOOKUP,
    MEMBER,
    MESSAGE,
    MESSAGE_HEADERS,
    USER,
    VALUE,
    Record,
    Shape,
    Table,
    columns_of,
)
from jobs.extract.pages import LARGEST_INTEGER, Text, read_record
from jobs.normalise.subject import subject_key
from jobs.settings import Settings

NESTED = frozenset([dict, list])
HEADERS = "internetMessageHeaders"


def _nothing(value: Any) -> Any:
    return None if type(value) in NESTED else value


def _compile(shape: Shape) -> Callable[[Any], Any]:
    if shape is VALUE:
        return _nothing
    if isinstance(shape, list):
        item = _compile(shape[0])
        return lambda value: [item(each) for each in value] if type(value) is list else None
    plain, parts = _parts(shape)

    def kept(value: Any) -> Any:
        if type(value) is not dict:
            return None
        if not parts and value.keys() <= plain and NESTED.isdisjoint(map(type, value.values())):
            return value
        return _reduced(value, plain, parts)

    return kept


def _parts(shape: Record) -> tuple[frozenset[str], dict[str, Callable[[Any], Any]]]:
    """The keys of a shape that hold plain values, and what is kept of each other one."""
    plain = frozenset(key for key, part in shape.items() if part is VALUE)
    return plain, {key: _compile(part) for key, part in shape.items() if part is not VALUE}


def _reduced(value: Record, plain: frozenset[str], parts: dict[str, Callable[[Any], Any]]) -> Record:
    """What is kept of an object, in its own order."""
    return {
        key: (None if type(inner) in NESTED else inner) if key in plain else parts[key](inner)
        for key, inner in value.items()
        if key in plain or key in parts
    }


def _headers(value: Any) -> Any:
    """The message headers that a rule reads (N20 to N25)."""
    if type(value) is not list:
        return None
    return [
        {"name": header["name"], "value": _nothing(header.get("value"))}
        for header in value
        if type(header) is dict and type(header.get("name")) is str and header["name"].strip().lower() in MESSAGE_HEADERS
    ]


_INTEGER = Annotated[int, msgspec.Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER - 1)]
_TYPED_VALUE = str | float | bool | _INTEGER | None
_TYPED_ID = Annotated[str, msgspec.Meta(pattern=r"\S")]


class Typed(msgspec.Struct):
    """A record of which the filter would leave all but the keys that are expected besides: nothing else, and nothing of another type.

    Nearly every record is one. It is decoded, reduced and encoded without a Python object for each of its parts.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, as a dict gives it."""
        value = getattr(self, key, UNSET)
        return default if value is UNSET else value


class _Header(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    value: _TYPED_VALUE = None


def _typed(shape: Shape) -> Any:
    """The type of what the filter leaves as it is."""
    if shape is VALUE:
        return _TYPED_VALUE
    if isinstance(shape, list):
        return list[_typed(shape[0])] | None
    return _struct({key: _typed(part) for key, part in shape.items()}) | None


def _struct(kinds: dict[str, Any], *, needed: str | None = None, **options: Any) -> type[msgspec.Struct]:
    """The class of objects that have no other keys than these, and not without the one that is `needed`."""
    fields = [
        (_attribute(key), kind) if key == needed else (_attribute(key), kind | UnsetType, UNSET) for key, kind in kinds.items()
    ]
    names = {_attribute(key): key for key in kinds}
    return msgspec.defstruct("Object", fields, rename=names, forbid_unknown_fields=True, gc=False, kw_only=True, **options)


def _attribute(key: str) -> str:
    """The name of a key's attribute: the key itself, but for annotations and odd columns that settings name."""
    return key if key.isidentifier() and not hasattr(Typed, key) else f"_{key.encode().hex()}"


class Kept:
    """What is kept of a stream's records: `names` are the keys of `shape`, `known` those and the ones that are expected besides."""

    def __init__(self, shape: Record, expected: Iterable[str] = (), key: str = "id") -> None:
        self.key, self.names = key, frozenset(shape)
        self.known = self.names.union(expected, ("@odata.etag", "@odata.context"))
        self._plain, self._parts = _parts(shape)
        kinds = {name: _typed(part) for name, part in shape.items()}
        if HEADERS in shape:
            self._parts[HEADERS], kinds[HEADERS] = _headers, list[_Header] | None
        # a context is that of a deleted record
        dropped = self.known - self.names - {"@odata.context"}
        self._dropped = [_attribute(name) for name in dropped]
        kinds |= dict.fromkeys(dropped, Any) | {key: _TYPED_ID, "subject_key": UnsetType}
        self.decode = msgspec.json.Decoder(_struct(kinds, needed=key, bases=(Typed,))).decode

    def of(self, record: Record) -> Record:
        """What is kept of a record."""
        return _reduced(record, self._plain, self._parts)

    def of_typed(self, record: Typed) -> None:
        """Drop from a record what is not kept."""
        for name in self._dropped:
            setattr(record, name, UNSET)
        if headers := record.get(HEADERS):
            record.internetMessageHeaders = [each for each in headers if each.name.strip().lower() in MESSAGE_HEADERS]


_subject_key = lru_cache(maxsize=50_000)(subject_key)
_NAME = re.compile(r"[A-Za-z_@][\w.@]{0,99}")
_encode = msgspec.json.Encoder().encode


@dataclass
class Filter:
    """Reduces the records of one stream to what may be landed and counts the keys that nobody expected.

    Ids of Dataverse are lower-cased (`fold`, N13).
    """

    kept: Kept
    hash_key: str
    fold: bool = False
    keyed_subject: bool = False
    collect_subjects: bool = False
    unknown: Counter[str] = field(default_factory=Counter)

    def read(self, text: Text) -> Any:
        """The record in `text`: typed where it is as expected, else the value as JSON reads it, or the `Reject` that stands for it."""
        try:
            return self.kept.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return read_record(text)

    def record_id(self, record: Record | Typed) -> str | None:
        """The id of a record, None where it has none."""
        value = record.get(self.kept.key)
        if type(value) is not str or not value.strip():
            return None
        return value.strip().strip("{}").lower() if self.fold else value

    def payload(self, record: Record | Typed) -> bytes:
        """The record as it is landed, as JSON; a typed record is left as landed."""
        if type(record) is dict:
            return orjson.dumps(self(record))
        self.kept.of_typed(record)
        if (subject := record.get("subject", UNSET)) is not UNSET:
            record.subject, record.subject_key = self._subject(record, subject)
        return _encode(record)

    def __call__(self, record: Record) -> Record:
        """The record as it is landed."""
        if strangers := record.keys() - self.kept.known:
            self._count(strangers)
        kept = self.kept.of(record)
        if "subject" in kept:
            subject, key = self._subject(kept, kept.pop("subject"))
            kept |= {} if subject is UNSET else {"subject": subject}
            kept |= {} if key is UNSET else {"subject_key": key}
        return kept

    def _subject(self, record: Record | Typed, subject: Any) -> tuple[Any, Any]:
        """What is kept of a subject, and the key that stands for it; UNSET for nothing."""
        is_private = record.get("sensitivity") == "private" or record.get("ismapiprivate") is True
        key = _subject_key(subject if type(subject) is str else "", self.hash_key) if self.keyed_subject else UNSET
        return subject if self.collect_subjects and not is_private else UNSET, key

    def _count(self, strangers: Iterable[str]) -> None:
        for name in strangers:
            column = name.partition("@")[0]
            if column and column != name and column in self.kept.names:
                continue
            self.unknown[name if _NAME.fullmatch(name) else "(other)"] += 1


def table_filter(table: Table, settings: Settings) -> Filter:
    """The filter of a Dataverse table: its columns, the logical names of its lookups, the labels that dimensions show."""
    columns = columns_of(table, settings)
    names = [*columns, *(c + LOOKUP for c in columns if c.startswith("_")), *(c + LABEL for c in table.labels)]
    labels = [c + LABEL for c in columns] if table.labels else []
    return Filter(
        Kept(dict.fromkeys(names, VALUE), ("_transactioncurrencyid_value", "subject", *labels), table.key),
        hash_key=settings.hash_key.get_secret_value(),
        fold=True,
        keyed_subject=table.keyed_subject,
        collect_subjects=settings.collect_subjects,
    )


_MESSAGE = Kept(MESSAGE)
_LISTED_MESSAGE = Kept(LISTED_MESSAGE, EXPECTED["messageHeaders"])
_EVENT = Kept(EVENT, EXPECTED["events"])
_USER = Kept(USER)
_FOLDER = Kept(FOLDER, EXPECTED["mailFolders"])
_MEMBER = Kept(MEMBER)


def _graph_filter(kept: Kept, settings: Settings, *, keyed_subject: bool = False) -> Filter:
    return Filter(
        kept,
        hash_key=settings.hash_key.get_secret_value(),
        keyed_subject=keyed_subject,
        collect_subjects=settings.collect_subjects,
    )


def message_filter(settings: Settings) -> Filter:
    """The filter of mail."""
    return _graph_filter(_MESSAGE, settings, keyed_subject=True)


def listed_message_filter(settings: Settings) -> Filter:
    """The filter of the list pass that reads extended properties."""
    return _graph_filter(_LISTED_MESSAGE, settings)


def event_filter(settings: Settings) -> Filter:
    """The filter of calendars."""
    return _graph_filter(_EVENT, settings, keyed_subject=True)


def user_filter(settings: Settings) -> Filter:
    """The filter of Graph users."""
    return _graph_filter(_USER, settings)


def folder_filter(settings: Settings) -> Filter:
    """The filter of mail folders; names of folders are not kept."""
    return _graph_filter(_FOLDER, settings)


def member_filter(settings: Settings) -> Filter:
    """The filter of group members."""
    return _graph_filter(_MEMBER, settings)
