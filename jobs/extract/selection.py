"""Which mailboxes are read: a list, a group's or a security role's members, or every user with a mailbox."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import polars as pl

from jobs.extract import landing
from jobs.extract.client import Access, Budget, Client, Timing
from jobs.extract.connection import Connection
from jobs.extract.crm import base_path
from jobs.extract.errors import SourceError, StreamFailed
from jobs.extract.files import raw_root, stream_folder
from jobs.extract.keep import Record
from jobs.extract.log import IMPORT, read_state
from jobs.extract.streams import together
from jobs.normalise.addresses import canonical_address
from jobs.normalise.replay import last_known, members
from jobs.privacy.opt_out import flag_columns, read_opt_out
from jobs.settings import Settings

ROOMS = ("room", "equipment")
ASK_AGAIN = timedelta(days=7)
NO_MAILBOX = "none"


async def choose(
    client: Client, users: dict[str, Record], home: Path, settings: Settings, crm: Connection | None, timing: Timing
) -> list[str]:
    """Ids of the users whose mailboxes are read, in order. `users`: the directory by id. Raises SourceError."""
    named = settings.mailboxes is not None or settings.mailbox_group or settings.mailbox_role
    if settings.mailboxes is not None:
        chosen = _listed(users, settings.mailboxes)
    elif settings.mailbox_group:
        chosen = [user for user in await _group_members(client, settings) if user in users]
    elif settings.mailbox_role:
        chosen = await _role_members(users, settings, crm, timing)
    else:
        chosen = list(users)
    chosen = sorted(set(chosen) - opted_out(users, home, settings))
    purposes = await _purposes(client, chosen, home, settings, timing.now())
    return [user for user in chosen if _has_mailbox(users[user], purposes[user], is_named=bool(named))]


def _has_mailbox(user: Record, purpose: str | None, *, is_named: bool) -> bool:
    """Whether to read a user's mailbox; a missing one that ought to be there is tried, so that it is reported as parked."""
    if purpose == NO_MAILBOX:
        return is_named or (bool(user.get("mail")) and user.get("userType") != "Guest")
    return purpose not in ROOMS


def addresses(user: Record) -> set[str]:
    """Every mail address of a directory user, canonical."""
    texts = [user.get("mail"), user.get("userPrincipalName")]
    for several in (user.get("proxyAddresses"), user.get("otherMails")):
        texts += several if isinstance(several, list) else []
    found = {canonical_address(text) for text in texts if isinstance(text, str)}
    return {text for text in found if text and "@" in text}


def _listed(users: dict[str, Record], wanted: list[str]) -> list[str]:
    by_address = {address: user for user, record in users.items() for address in addresses(record)}
    found = []
    for name in wanted:
        user = name.strip().lower()
        if user not in users and user not in by_address:
            raise SourceError(f"RAPPORT_MAILBOXES names {name}, which is no user of the directory: mend or remove it")
        found.append(user if user in users else by_address[user])
    return found


def _access(settings: Settings, prefer: str = "") -> Access:
    return Access(prefer, Budget(settings.retry_budget_seconds))


async def _group_members(client: Client, settings: Settings) -> list[str]:
    group = str(settings.mailbox_group)
    target = f"{client.base_path}/v1.0/groups/{quote(group, safe='')}/transitiveMembers?$select=id"
    try:
        members = await client.collection(target, _access(settings))
    except StreamFailed as error:
        raise SourceError(
            f"the members of the group {group} cannot be read ({error.reason}): check RAPPORT_MAILBOX_GROUP and GroupMember.Read.All"
        ) from None
    reduce = landing.member_filter(settings)
    return [name.lower() for each in members if isinstance(each, dict) and (name := reduce.record_id(each))]


async def _role_members(users: dict[str, Record], settings: Settings, crm: Connection | None, timing: Timing) -> list[str]:
    if crm is None:
        raise SourceError("RAPPORT_MAILBOX_ROLE needs the connection dataverse_default")
    async with Client(crm, settings, timing) as client:

        async def rows(query: str) -> list[Record]:
            found = await client.collection(f"{base_path(client)}/{query}", _access(settings))
            return [each for each in found if isinstance(each, dict)]

        try:
            roles, holders, people = await together(
                [
                    rows("roles?$select=roleid,name"),
                    rows("systemuserrolescollection?$select=systemuserid,roleid"),
                    rows("systemusers?$select=systemuserid,azureactivedirectoryobjectid"),
                ]
            )
        except StreamFailed as error:
            raise SourceError(f"the holders of the role {settings.mailbox_role} cannot be read ({error.reason})") from None
    wanted = {_guid(role.get("roleid")) for role in roles if role.get("name") == settings.mailbox_role}
    if not wanted:
        raise SourceError(f"RAPPORT_MAILBOX_ROLE names {settings.mailbox_role}, which is no security role of Dataverse")
    holding = {_guid(row.get("systemuserid")) for row in holders if _guid(row.get("roleid")) in wanted}
    ids = {_guid(row.get("azureactivedirectoryobjectid")) for row in people if _guid(row.get("systemuserid")) in holding}
    return [user for user in users if user in ids]


async def _purposes(client: Client, chosen: list[str], home: Path, settings: Settings, now: datetime) -> dict[str, str | None]:
    """`userPurpose` of each mailbox, `NO_MAILBOX`, or None where the source does not say; remembered for a week."""
    memory = raw_root(home) / "graph" / "mailboxes.json"
    try:
        known: dict[str, Any] = orjson.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):
        known = {}
    fresh = {
        user: entry["purpose"]
        for user, entry in known.items()
        if entry["purpose"] not in (None, NO_MAILBOX) and now - datetime.fromisoformat(entry["asked_at"]) < ASK_AGAIN
    }
    asked = [user for user in chosen if user not in fresh]
    answers = await together(_purpose(client, user, settings) for user in asked)
    found = {**fresh, **dict(zip(asked, answers, strict=True))}
    if asked:
        entries = {user: {"purpose": purpose, "asked_at": now} for user, purpose in zip(asked, answers, strict=True)}
        try:
            memory.parent.mkdir(parents=True, exist_ok=True)
            temporary = memory.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_bytes(orjson.dumps({**known, **entries}))
            os.replace(temporary, memory)
        except OSError as error:
            raise SourceError(f"cannot write to {memory.parent}: {error.strerror}; set RAPPORT_HOME to another folder") from None
    return found


async def _purpose(client: Client, user: str, settings: Settings) -> str | None:
    target = f"{client.base_path}/v1.0/users/{quote(user, safe='')}/mailboxSettings?$select=userPurpose"
    try:
        purpose = (await client.entity(target, _access(settings))).get("userPurpose")
    except StreamFailed as error:
        return NO_MAILBOX if error.status == 404 else None
    return purpose.lower() if isinstance(purpose, str) else None


def current_records(home: Path, source: str, stream: str) -> list[Record]:
    """The records that a stream holds, as the raw log last says."""
    folder = stream_folder(home, source, stream)
    if not any(folder.glob("*.parquet")):
        return []
    rows = pl.read_parquet(folder / "*.parquet")
    known = last_known(rows, ["stream", "record_id"], merge=source == "graph")
    return [orjson.loads(text) for text in members(rows).join(known, on=["stream", "record_id"])["payload"]]


def opted_out(users: dict[str, Record], home: Path, settings: Settings) -> set[str]:
    """Users who opted out: by their Entra or systemuser id, an address, a domain, or a flag of their systemuser (N55).

    Raises SourceError while that cannot be told because the systemusers were not extracted yet.
    """
    opt_out = read_opt_out(settings.privacy_opt_out_file)
    flags = [column for table in ("systemuser", "systemusers") for column in flag_columns(settings).get(table, [])]
    state = read_state(stream_folder(home, "dataverse", "systemusers"))
    if (flags or opt_out.ids - users.keys()) and (
        state is None or (state.last_complete_at is None and state.round.kind != IMPORT)
    ):
        raise SourceError("who opted out cannot be told before Dataverse's systemusers are extracted: run extract_crm first")
    ids, own = set(opt_out.ids), set(opt_out.addresses)
    if opt_out.ids or flags:
        for record in current_records(home, "dataverse", "systemusers"):
            if _guid(record.get("systemuserid")) in opt_out.ids or any(record.get(flag) is True for flag in flags):
                ids.add(_guid(record.get("azureactivedirectoryobjectid")))
                own.add(canonical_address(str(record.get("internalemailaddress") or "")))
    return {
        user
        for user, record in users.items()
        if user in ids or addresses(record) & own or {at.rpartition("@")[2] for at in addresses(record)} & opt_out.domains
    }


def _guid(value: Any) -> str:
    """A GUID as the raw log spells record ids (N13)."""
    return str(value).strip().strip("{}").lower()


def current_users(home: Path) -> dict[str, Record]:
    """The users of the directory as the raw log last says, by id in lower case."""
    return {str(record["id"]).lower(): record for record in current_records(home, "graph", "users")}
