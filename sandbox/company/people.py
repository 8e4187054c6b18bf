"""The people of the company and of its customers, and what mail knows of them."""

import base64
from dataclasses import dataclass, field
from random import Random
from typing import Any

DOMAIN = "nordwerk.example"
SECOND_DOMAIN = "nordwerk-group.example"


@dataclass(slots=True, eq=False)
class Person:
    """Somebody who writes mail: a colleague (with `mailbox`), a contact, a lead, a group or a stranger."""

    name: str
    address: str
    zone: str
    pace: float = 1.0
    party: tuple[str, str] | None = None
    mailbox: "Mailbox | None" = None
    members: "list[Person]" = field(default_factory=list)
    away: tuple[int, int] = (0, 0)
    unit: int = 0

    @property
    def record_id(self) -> str:
        """Id of the Dataverse record behind the person."""
        assert self.party is not None
        return self.party[1]

    @property
    def is_ours(self) -> bool:
        """A colleague or one of our groups."""
        return self.address.endswith(("@" + DOMAIN, "@" + SECOND_DOMAIN))

    def is_away(self, at: int) -> bool:
        """On holiday at that second."""
        return self.away[0] <= at < self.away[1]


@dataclass(slots=True, eq=False)
class Mailbox:
    """A Graph user with a mailbox: its id, folder ids by name, and the conversation ids given so far."""

    user_id: str
    folders: dict[str, str]
    conversations: dict[int, str] = field(default_factory=dict)
    is_thin: bool = False
    """calendarView gives its occurrences without what their series master holds."""

    @property
    def messages(self) -> str:
        return f"graph/{self.user_id}/messages.jsonl.gz"

    @property
    def events(self) -> str:
        return f"graph/{self.user_id}/events.jsonl"


@dataclass(slots=True, eq=False)
class Topic:
    """What mail, meetings, calls and tasks are about: an opportunity, an account or a lead, and its course in time."""

    kind: str
    record_id: str
    title: str
    team: list[Person]
    customers: list[Person]
    starts: int
    ends: int
    pattern: str
    weight: float
    silent_at: int
    """From here on nobody of the customer says anything."""
    regarding: tuple[str, str] | None = None
    warmth: float = 1.0
    """1: both sides answer as usual; more: quicker and more often; less: slower."""

    def is_live(self, at: int) -> bool:
        """Still going on at that second."""
        return self.ends > at and self.silent_at > at


def guid(rng: Random) -> str:
    """A random GUID in lower case."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def graph_id(rng: Random, prefix: str) -> str:
    """A Graph id: case-sensitive, with `-` and `_` in it."""
    return prefix + base64.urlsafe_b64encode(rng.randbytes(45)).decode()


def slug(name: str) -> str:
    """A name as the local part of an address or as a host name."""
    return "".join(c for c in name.lower().replace(" ", "-") if c.isalnum() or c == "-")


def dotted(name: str) -> str:
    """`Ada Frey` as `ada.frey`."""
    return ".".join(slug(part) for part in name.split())


def recipient(person: Person) -> dict[str, Any]:
    """Graph's shape of a person in From, To or an attendee list."""
    return {"emailAddress": {"name": person.name, "address": person.address}}
