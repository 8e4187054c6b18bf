"""The landing filter: reduces source records to what the keep-list names, before anything is written."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

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
from jobs.normalise.subject import subject_key
from jobs.settings import Settings

NESTED = frozenset([dict, list])


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


_subject_key = lru_cache(maxsize=50_000)(subject_key)
_NAME = re.compile(r"[A-Za-z_@][\w.@]{0,99}")


@dataclass
class Filter:
    """Reduces the records of one stream to what may be landed and counts the keys that nobody expected.

    `key` names the primary key, `plain` the keys of plain values that are kept, `parts` what is kept of each nested one; ids of Dataverse are lower-cased (`fold`, N13).
    """

    key: str
    plain: frozenset[str]
    parts: dict[str, Callable[[Any], Any]]
    expected: frozenset[str]
    hash_key: str
    fold: bool = False
    keyed_subject: bool = False
    collect_subjects: bool = False
    unknown: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._kept = self.plain | self.parts.keys()
        self._known = self._kept | self.expected | {"@odata.etag", "@odata.context"}

    def record_id(self, record: Record) -> str | None:
        """The id of a record, None where it has none."""
        value = record.get(self.key)
        if type(value) is not str or not value.strip():
            return None
        return value.strip().strip("{}").lower() if self.fold else value

    def __call__(self, record: Record) -> Record:
        """The record as it is landed."""
        if strangers := record.keys() - self._known:
            self._count(strangers)
        kept = _reduced(record, self.plain, self.parts)
        if "subject" in kept:
            subject = kept["subject"] if type(kept["subject"]) is str else ""
            if self.keyed_subject:
                kept["subject_key"] = _subject_key(subject, self.hash_key)
            if not self.collect_subjects or kept.get("sensitivity") == "private" or kept.get("ismapiprivate") is True:
                del kept["subject"]
        return kept

    def _count(self, strangers: Iterable[str]) -> None:
        for name in strangers:
            column = name.partition("@")[0]
            if column and column != name and column in self._kept:
                continue
            self.unknown[name if _NAME.fullmatch(name) else "(other)"] += 1


def table_filter(table: Table, settings: Settings) -> Filter:
    """The filter of a Dataverse table: its columns, the logical names of its lookups, the labels that dimensions show."""
    columns = columns_of(table, settings)
    names = [*columns, *(c + LOOKUP for c in columns if c.startswith("_")), *(c + LABEL for c in table.labels)]
    return Filter(
        key=table.key,
        plain=frozenset(names),
        parts={},
        expected=frozenset({"_transactioncurrencyid_value", "subject"}),
        hash_key=settings.hash_key.get_secret_value(),
        fold=True,
        keyed_subject=table.keyed_subject,
        collect_subjects=settings.collect_subjects,
    )


def _graph_filter(shape: Record, settings: Settings, *, expected: str = "", subject: bool = False) -> Filter:
    plain, parts = _parts(shape)
    if "internetMessageHeaders" in parts:
        parts["internetMessageHeaders"] = _headers
    return Filter(
        key="id",
        plain=plain,
        parts=parts,
        expected=EXPECTED.get(expected, frozenset()),
        hash_key=settings.hash_key.get_secret_value(),
        keyed_subject=subject,
        collect_subjects=settings.collect_subjects,
    )


def message_filter(settings: Settings) -> Filter:
    """The filter of mail."""
    return _graph_filter(MESSAGE, settings, subject=True)


def listed_message_filter(settings: Settings) -> Filter:
    """The filter of the list pass that reads extended properties."""
    return _graph_filter(LISTED_MESSAGE, settings, expected="messageHeaders")


def event_filter(settings: Settings) -> Filter:
    """The filter of calendars."""
    return _graph_filter(EVENT, settings, expected="events", subject=True)


def user_filter(settings: Settings) -> Filter:
    """The filter of Graph users."""
    return _graph_filter(USER, settings)


def folder_filter(settings: Settings) -> Filter:
    """The filter of mail folders; names of folders are not kept."""
    return _graph_filter(FOLDER, settings, expected="mailFolders")


def member_filter(settings: Settings) -> Filter:
    """The filter of group members."""
    return _graph_filter(MEMBER, settings)
