"""Base subject and its keyed hash (N17): what stands in for a subject before anything is written."""

import hmac
import re
from email.errors import HeaderParseError
from email.header import decode_header

_BLOB = r"\[[^\[\]]*\]\s*"
_PREFIX = r"(?:re|aw|sv|vs|antw|rif|res|odp|ynt|fwd?|wg|tr|enc)"
_LEADER = re.compile(rf"(?:{_BLOB})*{_PREFIX}\s*(?:{_BLOB}|\(\d+\)\s*)?:\s*")
_LEADING_BLOB = re.compile(_BLOB)
_TRAILER = re.compile(r"(?:\s*\(fwd\))+$")
_FORWARDED = re.compile(r"\[fwd:(.*)\]$")
_ENCODED_WORD = r"=\?[^?\s]+\?[bq]\?[^?]*\?="
_ENCODED = re.compile(rf"{_ENCODED_WORD}(?:\s+{_ENCODED_WORD})*", re.IGNORECASE)


def base_subject(subject: str | None) -> str:
    """The subject without reply and forward marks, lower case, spaces squeezed (RFC 5256 with more prefixes, N17)."""
    text = " ".join(_decoded(subject or "").split()).lower()
    while True:
        text = _without_leaders(_TRAILER.sub("", text).strip())
        forwarded = _FORWARDED.fullmatch(text)
        if not forwarded:
            return text
        text = forwarded[1].strip()


def subject_key(subject: str | None, key: str | bytes) -> str:
    """HMAC-SHA-256 of the base subject under `key`, in hex (N17)."""
    secret = key if isinstance(key, bytes) else key.encode()
    return hmac.digest(secret, base_subject(subject).encode("utf-8", "surrogatepass"), "sha256").hex()


def _without_leaders(text: str) -> str:
    while True:
        if leader := _LEADER.match(text):
            text = text[leader.end() :]
        elif (blob := _LEADING_BLOB.match(text)) and text[blob.end() :]:
            text = text[blob.end() :]
        else:
            return text


def _decoded(subject: str) -> str:
    return _ENCODED.sub(lambda words: _words(words[0]), subject) if "=?" in subject else subject


def _words(encoded: str) -> str:
    try:
        return "".join(part.decode(charset or "ascii", "replace") for part, charset in decode_header(encoded))
    except (HeaderParseError, LookupError, ValueError):
        return encoded
