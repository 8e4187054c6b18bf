"""Who a person is, over all records of theirs, and where the raw log speaks of them.

A person is found in a row by what identifies them: an id of a record of theirs, or an address. Names in the free text of other
records, as in the name of a deal, are not looked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from jobs.errors import RapportError
from jobs.extract.files import raw_root
from jobs.normalise.addresses import canonical_address
from jobs.privacy.opt_out import read_opt_out

OWN = ("contacts", "leads", "systemusers", "users")
SAME_PERSON = ("_masterid_value", "azureactivedirectoryobjectid")
GRAPH_ACTIVITIES = ("messages", "messageHeaders", "calendarView")
OF_MAILBOX = (*GRAPH_ACTIVITIES, "mailFolders")
CRM_ACTIVITIES = ("emails", "appointments", "recurringappointmentmasters", "phonecalls", "tasks")
LINKS = ("activityparties", "connections", "teammemberships")


@dataclass(frozen=True)
class Person:
    """What identifies someone: ids of their records, their canonical addresses."""

    ids: frozenset[str]
    addresses: frozenset[str]

    @property
    def needles(self) -> list[str]:
        """Texts of which one is in every payload that speaks of them; domains are left out, for they have several spellings."""
        return sorted({*self.ids, *(f"{address.rpartition('@')[0]}@" for address in self.addresses if "@" in address)})

    def named_by(self, value: Any) -> bool:
        """Whether a text is an id or an address of theirs."""
        if not isinstance(value, str):
            return False
        return value.strip("{} ").lower() in self.ids or canonical_address(value) in self.addresses

    def is_in(self, payload: str | None) -> bool:
        """Whether a payload speaks of them; one that is no JSON does when it has any of `needles`."""
        try:
            return any(self.named_by(value) for value in values(orjson.loads(payload or "null")))
        except orjson.JSONDecodeError:
            text = (payload or "").lower()
            return any(needle in text for needle in self.needles)


def values(content: Any) -> Iterator[Any]:
    """Every value of a JSON document that is no list or object."""
    if isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from values(part)
    else:
        yield content


def raw_files(home: Path, family: str) -> list[Path]:
    """The files of the raw log with streams of one kind."""
    return sorted(raw_root(home).glob(f"*/{family}/**/*.parquet"))


def read_person(home: Path, file: Path) -> Person:
    """The person whom a CSV file `kind,value` names (kind user, contact or address), with every id and address that records of theirs had.

    Raises RapportError when the file names nobody or a whole domain.
    """
    given = read_opt_out(file)
    if given.domains:
        raise RapportError(f"{file}: a domain is no person: name the user, contact or address")
    if not given:
        raise RapportError(f"{file} names nobody: give lines kind,value with kind user, contact or address")
    ids, addresses = set(given.ids), set(given.addresses)
    records = [record for family in OWN for record in _records(home, family)]
    known = -1
    while known < len(ids):
        known = len(ids)
        for record_id, content in records:
            same = {str(content[name]).strip("{}").lower() for name in SAME_PERSON if content.get(name)}
            if record_id in ids or same & ids:
                ids |= {record_id, *same}
    for record_id, content in records:
        if record_id in ids:
            addresses |= {found for value in values(content) if isinstance(value, str) and (found := canonical_address(value))}
    return Person(frozenset(ids), frozenset(addresses))


def _records(home: Path, family: str) -> list[tuple[str, dict[str, Any]]]:
    """Id and payload of every row of a table, older ones too."""
    files = raw_files(home, family)
    if not files:
        return []
    rows = (
        pl.scan_parquet(files, hive_partitioning=False).filter(pl.col("op") == "upsert").select("record_id", "payload").collect()
    )
    return [(record_id.lower(), orjson.loads(payload)) for record_id, payload in rows.iter_rows() if payload]


def speaking_rows(frame: pl.DataFrame, person: Person) -> pl.Series:
    """Which rows of the raw log speak of a person: the record's own id, or something in its payload."""
    own = pl.col("record_id").str.to_lowercase().is_in(sorted(person.ids))
    maybe = pl.col("payload").str.contains_any(person.needles, ascii_case_insensitive=True)
    flags = frame.select(
        own.fill_null(False).alias("own"), (maybe & (pl.col("op") != "page")).fill_null(False).alias("maybe"), "payload"
    )
    return pl.Series([own or (maybe and person.is_in(payload)) for own, maybe, payload in flags.iter_rows()], dtype=pl.Boolean)
