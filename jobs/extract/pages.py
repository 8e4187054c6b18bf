"""Reading the bodies of collection pages: records, links, and the lines of a page that is not JSON as a whole."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import orjson

BOM = b"\xef\xbb\xbf"
NEXT, DELTA = "@odata.nextLink", "@odata.deltaLink"
_VALUE_OPENS = re.compile(rb'"value"\s*:\s*\[\s*$')
_TARGET = re.compile(r"[!-~]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
LARGEST_INTEGER = 2**63
Text = bytes | msgspec.Raw


class BadPage(Exception):
    """A body that is cut short, carries no readable link, or a link that must not be followed; it is fetched again."""


class NoWayOn(BadPage):
    """A page after which the source does not go on: without a link, or with a link that was followed already."""


@dataclass(frozen=True)
class Reject:
    """A record that did not parse, by reason, length and SHA-256 of its bytes."""

    reason: str
    length: int
    sha256: str

    @classmethod
    def of(cls, reason: str, data: bytes) -> "Reject":
        return cls(reason, len(data), hashlib.sha256(data).hexdigest())


@dataclass
class Body:
    """A page: its records in order, each the JSON text of one value, not read yet, and its links as path and query."""

    records: Sequence[Text] = ()
    next: str | None = None
    delta: str | None = None


class _Document(msgspec.Struct):
    value: list[msgspec.Raw]
    next: Any = msgspec.field(default=None, name=NEXT)
    delta: Any = msgspec.field(default=None, name=DELTA)


_DOCUMENT = msgspec.json.Decoder(_Document)


def parse(data: bytes, origin: str) -> Body:
    """Read a page. Raises BadPage where it is not complete or a link leads elsewhere than `origin`."""
    data = data.removeprefix(BOM)
    records: Sequence[Text]
    try:
        page = _DOCUMENT.decode(data)
    except msgspec.ValidationError:
        raise BadPage("the page has no list of records") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        records, document = _by_line(data)
        following, delta = document.get(NEXT), document.get(DELTA)
    else:
        records, following, delta = page.value, page.next, page.delta
    return Body(records, own_link(following, origin), own_link(delta, origin))


def _by_line(data: bytes) -> tuple[list[bytes], dict[str, Any]]:
    """Records and the rest of a page whose body is no JSON: every record stands on a line of its own."""
    lines = data.split(b"\n")
    opening = next((n for n, line in enumerate(lines) if _VALUE_OPENS.search(line)), None)
    if opening is None:
        raise BadPage("the page is not JSON")
    head = _frame(b"\n".join(lines[: opening + 1]) + b"]}")
    for closing in range(len(lines) - 1, opening, -1):
        if lines[closing].lstrip().startswith(b"]"):
            tail = _frame(b'{"value":[' + b"\n".join(lines[closing:]))
            if tail is not None:
                break
    else:
        raise BadPage("the page ends too early")
    if head is None:
        raise BadPage("the page does not begin like a page")
    texts = [text for line in lines[opening + 1 : closing] if (text := line.strip())]
    # The comma that ends a line is the separator, but for the last record's: that one belongs to the record.
    between = [text.removesuffix(b",").rstrip() for text in texts[:-1]]
    return [text for text in between + texts[-1:] if text], {**head, **tail}


def _frame(data: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def read_record(text: Text) -> Any:
    """The value in the bytes of one record, mended where it holds halves of surrogate pairs; a `Reject` where it does not parse."""
    text = bytes(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return _whole(json.loads(text, parse_constant=_no_number))
    except (ValueError, RecursionError):
        return Reject.of("not_json", text)


def _no_number(name: str) -> None:
    raise ValueError(name)


def _whole(value: Any) -> Any:
    """A value without halves of surrogate pairs and without integers that fit no column."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(key): _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    if type(value) is int and not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
        return float(value) if abs(value) < 10**300 else None
    return value


def own_link(link: Any, origin: str) -> str | None:
    """Path and query of a link, exactly as sent, None for no link. Raises BadPage unless it stays on `origin`."""
    if link is None:
        return None
    if not isinstance(link, str):
        raise BadPage("a link is no text")
    try:
        ours, theirs = urlsplit(origin), urlsplit(link)
        same = (
            theirs.scheme.lower() == ours.scheme
            and (theirs.hostname or "") == (ours.hostname or "")
            and (theirs.port or _DEFAULT_PORTS.get(theirs.scheme.lower())) == (ours.port or _DEFAULT_PORTS[ours.scheme])
            and "@" not in theirs.netloc
        )
    except ValueError:
        same = False
    target = "/" + link.partition("://")[2].partition("/")[2]
    if not same or "\\" in link or "#" in link or not _TARGET.fullmatch(target):
        raise BadPage("a link leads to another origin or cannot be followed")
    return target
