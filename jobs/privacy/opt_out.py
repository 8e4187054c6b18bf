"""Opt-out: people, addresses and domains that no activity may show (N55).

The list is a CSV file `kind,value` with kind user, contact, address or domain; Dataverse boolean columns named in
`privacy_opt_out_flags` (`table.column`) opt their records out too. It is applied on every rebuild, so taking a line back undoes it.
"""

import csv
import hmac
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from jobs.errors import RapportError
from jobs.normalise.addresses import canonical_address, canonical_domain, domain_of
from jobs.normalise.frame import Frame
from jobs.settings import Settings

KINDS = ("user", "contact", "address", "domain")


@dataclass(frozen=True)
class OptOut:
    """Who opted out: record ids (users: systemuser or Entra ids), canonical addresses, domains."""

    ids: frozenset[str] = field(default_factory=frozenset)
    addresses: frozenset[str] = field(default_factory=frozenset)
    domains: frozenset[str] = field(default_factory=frozenset)

    def __bool__(self) -> bool:
        return bool(self.ids or self.addresses or self.domains)

    def digest(self, key: str) -> str:
        """Tells one list from another without telling whom it names: HMAC-SHA-256 under `key`, 16 hex digits."""
        listed = "\n".join(f"{kind}:{value}" for kind in ("ids", "addresses", "domains") for value in sorted(getattr(self, kind)))
        return hmac.new(key.encode(), listed.encode(), "sha256").hexdigest()[:16]


def read_opt_out(file: Path | None) -> OptOut:
    """The opt-out list; an unset file is an empty one. Raises RapportError naming file and line."""
    if file is None:
        return OptOut()
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if rows.fieldnames is None or [name.strip().lower() for name in rows.fieldnames[:2]] != ["kind", "value"]:
                raise RapportError(f"{file}: the first line must be kind,value")
            for number, row in enumerate(rows, 2):
                kind, value = ((row[name] or "").strip() for name in rows.fieldnames[:2])
                if kind or value:
                    found[_kind(kind.lower(), file, number)].add(_value(kind.lower(), value, file, number))
    except (OSError, UnicodeDecodeError) as error:
        raise RapportError(f"{file} cannot be read: {error}; check privacy_opt_out_file") from None
    return OptOut(frozenset(found["user"] | found["contact"]), frozenset(found["address"]), frozenset(found["domain"]))


def _kind(kind: str, file: Path, line: int) -> str:
    if kind not in KINDS:
        raise RapportError(f"{file} line {line}: kind {kind!r} is none of {', '.join(KINDS)}")
    return kind


def _value(kind: str, text: str, file: Path, line: int) -> str:
    value = {"address": canonical_address(text), "domain": canonical_domain(text.removeprefix("@"))}.get(
        kind, text.strip("{}").lower()
    )
    if not value:
        raise RapportError(f"{file} line {line}: {text!r} is no {kind}")
    return value


def flag_columns(settings: Settings) -> dict[str, list[str]]:
    """Columns of `privacy_opt_out_flags` by table, as the settings name the table. Raises RapportError for a flag without a dot."""
    named: dict[str, list[str]] = {}
    for flag in settings.privacy_opt_out_flags:
        table, dot, column = flag.partition(".")
        if not dot or not table or not column:
            raise RapportError(f"privacy_opt_out_flags: {flag!r} is no table.column")
        named.setdefault(table, []).append(column)
    return named


def with_people(
    opt_out: OptOut, records: pl.DataFrame, merged: pl.DataFrame, mailboxes: pl.DataFrame, linked: pl.DataFrame
) -> OptOut:
    """`opt_out` with every id and address of the people it names.

    `records`: record_type, record_id, address; `merged`: record_id, master_id; `mailboxes`: user_id (Entra), address; `linked`:
    systemuserid, user_id.
    """
    if not opt_out.ids:
        return opt_out
    ids = ids_of_people(pl.DataFrame({"id": sorted(opt_out.ids)}), merged, linked)
    addresses = addresses_of_people(ids, records, mailboxes).get_column("address")
    return OptOut(frozenset(ids.get_column("id")), opt_out.addresses | set(addresses), opt_out.domains)


def ids_of_people(ids: Frame, merged: Frame, linked: Frame) -> Frame:
    """Every id of the people whom `ids` (id) names: of users both ids, and all records that were merged with each other: id."""
    pairs = (("systemuserid", "user_id"), ("user_id", "systemuserid"))
    others = [linked.join(ids, left_on=one, right_on="id", how="semi").select(pl.col(other).alias("id")) for one, other in pairs]
    named = pl.concat([ids, *others]).unique()
    masters = [
        merged.join(named, left_on=name, right_on="id", how="semi").select("master_id") for name in ("record_id", "master_id")
    ]
    members = merged.join(pl.concat(masters), on="master_id", how="semi").select(pl.col("record_id").alias("id"))
    return pl.concat([named, members]).unique()


def addresses_of_people(ids: Frame, records: Frame, mailboxes: Frame) -> Frame:
    """Every address of the people with these ids (id): address. `records`, `mailboxes`: see `with_people`."""
    owned = ((records, "record_id"), (mailboxes, "user_id"))
    return pl.concat([frame.join(ids, left_on=key, right_on="id", how="semi").select("address") for frame, key in owned]).unique()


def opted_out_activities(participant: Frame, party: Frame, opt_out: OptOut) -> Frame:
    """Activities that someone who opted out takes part in, in whatever role: activity_id.

    `participant`: activity_id, address, party_id; `party`: activity_id, party_id.
    """
    ids, addresses, domains = sorted(opt_out.ids), sorted(opt_out.addresses), sorted(opt_out.domains)
    named = pl.col("address").is_in(addresses) | domain_of(pl.col("address")).is_in(domains) | pl.col("party_id").is_in(ids)
    return pl.concat(
        [
            participant.filter(named.fill_null(False)).select("activity_id"),
            party.filter(pl.col("party_id").is_in(ids)).select("activity_id"),
        ]
    ).unique()
