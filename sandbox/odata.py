"""What both APIs share: requests, replies, preferences, stateless tokens, and pages with one record on each line."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
import orjson

from sandbox.tenant import Record

Headers = dict[str, str]


@dataclass
class Request:
    """A request: undecoded path, query options by name as sent, headers by lower-case name, and the origin it came to."""

    method: str
    path: str
    query_string: str
    headers: Headers
    origin: str

    def __post_init__(self) -> None:
        self.query = dict(parse_qsl(self.query_string, keep_blank_values=True))
        self.segments = [unquote(part) for part in self.path.strip("/").split("/")]

    @property
    def url(self) -> str:
        """The address as it was asked for."""
        return f"{self.origin}{self.path}" + (f"?{self.query_string}" if self.query_string else "")

    @property
    def prefer(self) -> dict[str, str]:
        """Preferences by lower-case name; one without a value has an empty one."""
        found = re.findall(r'([\w.\-]+)(?:\s*=\s*(?:"([^"]*)"|([^,;\s]*)))?', self.headers.get("prefer", ""))
        return {name.lower(): quoted or plain for name, quoted, plain in found}

    def page_size(self, default: int, largest: int) -> int:
        """`odata.maxpagesize` within 1..largest."""
        wish = self.prefer.get("odata.maxpagesize", "")
        return min(int(wish), largest) if wish.isdigit() and int(wish) > 0 else default


@dataclass
class Reply:
    """A reply. `announced` is a Content-Length other than the body's, `reset` breaks off after that many bytes,

    `chunk` and `pause` send the body in small pieces, `hold` waits before anything is sent (seconds).
    """

    status: int
    body: bytes
    headers: Headers = field(default_factory=dict)
    announced: int | None = None
    reset: int | None = None
    chunk: int | None = None
    pause: float = 0.0
    hold: float = 0.0
    mailbox: str | None = None


@dataclass(frozen=True)
class Token:
    """The place in a stream that a link stands for; all of it is in the link, so a restarted server knows it.

    The round lists what changed in the steps (after, until]; `after` = -1 lists everything. `generation` tells links to the same
    place apart. `options` are the query options of the round's first request.
    """

    kind: str
    stream: str
    after: int
    until: int
    offset: int = 0
    generation: int = 0
    options: tuple[tuple[str, str], ...] = ()

    def encode(self) -> str:
        """The token as text that is safe in a query."""
        values = [self.kind, self.stream, self.after, self.until, self.offset, self.generation, self.options]
        return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Token | None":
        """The token in `text`, or None where it is none of ours."""
        try:
            kind, stream, after, until, offset, generation, options = orjson.loads(
                base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            )
            places = [int(place) for place in (after, until, offset, generation)]
            return cls(str(kind), str(stream), *places, tuple((name, value) for name, value in options))
        except (ValueError, TypeError, binascii.Error):
            return None

    def option(self, name: str) -> str | None:
        """A query option of the round's first request."""
        return dict(self.options).get(name)


@dataclass
class Page:
    """One page of a collection before it is written out; `here` is the place of its first row."""

    here: Token
    context: str
    rows: list[bytes]
    link: Callable[[Token], str]
    next: Token | None = None
    delta: Token | None = None
    asked: Token | None = None
    headers: Headers = field(default_factory=dict)
    links_first: bool = False
    links: dict[str, str] = field(default_factory=dict)
    extra: bytes = b""

    @property
    def is_delta_round(self) -> bool:
        """Whether the page belongs to a round that lists changes only."""
        return self.here.after >= 0

    def render(self) -> Reply:
        """The JSON body: each record on a line of its own, as its bytes are."""
        links = {}
        if self.next is not None:
            links["@odata.nextLink"] = self.link(self.next)
        if self.delta is not None:
            links["@odata.deltaLink"] = self.link(self.delta)
        links |= self.links
        tail = b"".join(b",\n%b:%b" % (orjson.dumps(name), orjson.dumps(link)) for name, link in links.items())
        parts = [b'{"@odata.context":', orjson.dumps(self.context), self.extra]
        if self.links_first:
            parts.append(tail)
            tail = b""
        parts += [b',"value":[\n', b",\n".join(self.rows), b"\n]", tail, b"}"]
        return Reply(200, b"".join(parts), {"content-type": JSON, **self.headers})


JSON = "application/json; odata.metadata=minimal"


_rounds = count(1)


def first_place(stream: str, until: int, options: tuple[tuple[str, str], ...]) -> Token:
    """The start of a full round; its links differ from those of every other round of this server."""
    return Token("next", stream, -1, until, generation=next(_rounds) << 16, options=options)


class Listings:
    """What the latest rounds list, so that a page does not cost a whole listing; a round's rows never change."""

    def __init__(self, kept: int = 64) -> None:
        self._rows: dict[Any, list[Any]] = {}
        self._kept = kept

    def of(self, here: Token, make: Callable[[], list[Any]]) -> list[Any]:
        """The rows of the round of `here`, by `make` where they are not kept."""
        key = (here.stream, here.after, here.until, here.options)
        if key not in self._rows:
            if len(self._rows) >= self._kept:
                self._rows.pop(next(iter(self._rows)))
            self._rows[key] = make()
        return self._rows[key]


def cut(
    rows: list[Any], here: Token, size: int, *, tracked: bool, limit: int | None = None
) -> tuple[list[Any], Token | None, Token | None]:
    """The rows of the page at `here` and the tokens that follow: next, or delta at the end of a tracked round."""
    rows = rows if limit is None else rows[:limit]
    end = here.offset + size
    if end < len(rows):
        return rows[here.offset : end], replace(here, kind="next", offset=end), None
    delta = replace(here, kind="delta", after=here.until, offset=0, generation=here.generation + 1) if tracked else None
    return rows[here.offset : end], None, delta


def project(record: Record, keep: Callable[[str], bool], more: dict[str, Any] | None = None) -> bytes:
    """The record with the keys that `keep` names and `more`; as it stands where it cannot be taken apart."""
    columns: dict[str, Any] | None = record.columns()
    if columns is None:
        return record.raw
    kept = {name: value for name, value in columns.items() if keep(name)}
    return msgspec.json.encode({**kept, **more} if more else kept)


def names(option: str | None) -> frozenset[str] | None:
    """The names of a `$select`; None when all are wanted."""
    return frozenset(part.strip() for part in option.split(",") if part.strip()) if option else None


def options_of(query: dict[str, str], wanted: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The query options that a round remembers."""
    return tuple((name, query[name]) for name in wanted if name in query)


def entity(context: str, body: bytes, headers: Headers | None = None) -> Reply:
    """A single record: its own keys after the context."""
    rest = body.strip()[1:]
    head = b'{"@odata.context":' + orjson.dumps(context)
    return Reply(200, head + (b"" if rest.strip() == b"}" else b",") + rest, {"content-type": JSON, **(headers or {})})
