"""Spelling of addresses, domains and ids (N1-N3, N13, N15)."""

import re
import unicodedata
from functools import cache, lru_cache
from urllib.parse import urlsplit

import idna
import polars as pl

from jobs.settings import PROJECT_ROOT

FREE_MAIL = PROJECT_ROOT / "dbt_project" / "seeds" / "free_mail_domains.csv"
_INSIDE = re.compile(r"<([^<>]*)>")
_SCHEME = re.compile(r"(?:smtp|mailto):", re.IGNORECASE)
_URL_START = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


@lru_cache(100_000)
def canonical_address(text: str | None) -> str | None:
    """The one spelling of an address (N1), a legacy DN in lower case (N2), or None for what is neither (N3)."""
    if not text:
        return None
    address = unicodedata.normalize("NFC", text).strip()
    if inside := _INSIDE.findall(address):
        address = inside[-1].strip()
    if scheme := _SCHEME.match(address):
        address = address[scheme.end() :].strip()
    while len(address) > 1 and address[0] == address[-1] and address[0] in "'\"":
        address = address[1:-1].strip()
    address = address.lower()
    if address.startswith("/o="):
        return address
    local, at, domain = address.rpartition("@")
    return f"{local}@{canonical_domain(domain)}" if at else None


@cache
def canonical_domain(text: str) -> str:
    """A domain in lower case, without its final dot, in IDNA ASCII where that is possible."""
    domain = text.strip().lower().removesuffix(".")
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return domain


def domain_of(address: pl.Expr) -> pl.Expr:
    """The part after the last @, null for a legacy DN."""
    return pl.when(address.str.starts_with("/o=")).then(None).otherwise(address.str.extract(r"@([^@]*)$"))


def local_part_of(address: pl.Expr) -> pl.Expr:
    """The part before the last @, null for a legacy DN."""
    return pl.when(address.str.starts_with("/o=")).then(None).otherwise(address.str.extract(r"^(.*)@[^@]*$"))


def website_domain(url: str | None) -> str | None:
    """The host of a website without scheme, user, port, path and one leading `www.` (L9)."""
    if not url or not url.strip():
        return None
    text = url.strip()
    try:
        host = urlsplit(text if _URL_START.match(text) else f"//{text}").hostname
    except ValueError:
        return None
    return canonical_domain(host.removeprefix("www.")) or None if host else None


def canonical(text: pl.Expr) -> pl.Expr:
    """The one spelling of addresses (N1-N3), null for what is none; each distinct text is worked out once."""
    return text.map_batches(_canonical, return_dtype=pl.String)


def _canonical(texts: pl.Series) -> pl.Series:
    written = texts.drop_nulls().unique()
    known = pl.Series([canonical_address(text) for text in written.to_list()], dtype=pl.String)
    is_other = written.ne_missing(known)
    return texts.replace(written.filter(is_other), known.filter(is_other)) if is_other.any() else texts


def guid(expr: pl.Expr) -> pl.Expr:
    """A GUID in lower case without braces; empty text is null (N13)."""
    text = expr.str.strip_chars().str.strip_chars("{}").str.to_lowercase()
    return pl.when(text != "").then(text)


def message_id(expr: pl.Expr) -> pl.Expr:
    """A message id without white space and enclosing angle brackets; empty is null (N15)."""
    return expr.map_batches(_message_ids, return_dtype=pl.String)


def _message_ids(texts: pl.Series) -> pl.Series:
    """The spelling that nearly all ids have is read at once, the others one at a time."""
    is_usual = texts.str.contains(r"^(?:<[^<>\s]+>|[^<>\s]+)$")
    inside = texts.str.strip_chars("<>")
    rows = is_usual.not_().arg_true()
    if rows.is_empty():
        return inside
    return inside.scatter(rows, pl.Series([_message_id(text) for text in texts.gather(rows).to_list()], dtype=pl.String))


def _message_id(text: str) -> str | None:
    rest = "".join(text.split())
    while len(rest) > 1 and rest[0] == "<" and rest[-1] == ">":
        rest = rest[1:-1]
    return rest or None


@cache
def free_mail_domains(*, hosts: bool = False) -> frozenset[str]:
    """Domains that belong to no organisation (N7); `hosts` adds the shared web hosts."""
    lines = FREE_MAIL.read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    return frozenset(domain for domain, kind in rows if hosts or kind == "mail")
