"""`rapport doctor`: what would keep a first run from working, found out before it."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from jobs.errors import RapportError
from jobs.extract import crm, exchange, keep
from jobs.extract.client import Access, Budget, Client, Probe, Timing
from jobs.extract.connection import Connection
from jobs.extract.errors import SourceError
from jobs.extract.streams import require_hash_key
from jobs.settings import Settings

LEAST_SPACE_GB = 2.0
MOST_SKEW_SECONDS = 300
MAILBOXES_TRIED = 3
OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Check:
    """One thing looked at: `status` ok, warn or fail, and what to know or do."""

    part: str
    what: str
    status: str
    detail: str = ""


def examine(settings: Settings, dataverse: Connection | None, graph: Connection | None, timing: Timing) -> list[Check]:
    """Check home, connections, permissions, change tracking, mailboxes and clocks. Nothing is written but a probe in the home."""
    return asyncio.run(_examine(settings, dataverse, graph, timing))


async def _examine(settings: Settings, dataverse: Connection | None, graph: Connection | None, timing: Timing) -> list[Check]:
    found = list(_home(settings))
    for part, connection, examined in (("Dataverse", dataverse, _dataverse), ("Graph", graph, _graph)):
        if connection is None:
            what = f"{part.lower()}_default"
            status = FAIL if part == "Dataverse" else WARN
            detail = f"no connection: set AIRFLOW_CONN_{what.upper()}" + (
                "" if status == FAIL else " (without it only Dataverse is read)"
            )
            found.append(Check(part, what, status, detail))
            continue
        try:
            async with Client(connection, settings, timing) as client:
                require_hash_key(client, settings)
                async for check in examined(client, settings):
                    found.append(check)
        except RapportError as error:
            found.append(Check(part, "connection", FAIL, str(error)))
    return found


def _home(settings: Settings) -> list[Check]:
    home = settings.home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".doctor"
        probe.write_text("ok")
        probe.unlink()
    except OSError as error:
        return [
            Check("home", str(home), FAIL, f"cannot be written ({error.strerror}): set RAPPORT_HOME to a folder that is yours")
        ]
    free = shutil.disk_usage(home).free / 1e9
    status = OK if free >= LEAST_SPACE_GB else FAIL if free < LEAST_SPACE_GB / 10 else WARN
    return [Check("home", str(home), OK), Check("home", "disk space", status, f"{free:.1f} GB free")]


def _clock(part: str, probe: Probe) -> Check:
    if probe.skew is None:
        return Check(part, "clock", WARN, "the source tells no time")
    status = OK if abs(probe.skew) <= MOST_SKEW_SECONDS else FAIL
    detail = f"ours differs by {abs(probe.skew):.0f} s" + ("" if status == OK else ": set this machine's clock")
    return Check(part, "clock", status, detail)


def _access(prefer: str = "odata.maxpagesize=1") -> Access:
    return Access(prefer, Budget(0))


def _reason(probe: Probe) -> str:
    return f"HTTP {probe.status}" + (f" {probe.code}" if probe.code else "")


async def _dataverse(client: Client, settings: Settings) -> AsyncIterator[Check]:
    who = await client.probe(f"{crm.base_path(client)}/WhoAmI", _access(""))
    if who.status != 200:
        yield Check("Dataverse", "sign-in", FAIL, f"{_reason(who)}: make the application a user of the environment")
        return
    yield Check("Dataverse", "sign-in", OK)
    yield _clock("Dataverse", who)
    untracked = await crm.untracked_tables(client, settings)
    for table in keep.TABLES.values():
        is_tracked = table.logical_name not in untracked
        prefer = "odata.track-changes,odata.maxpagesize=1" if is_tracked else "odata.maxpagesize=1"
        probe = await client.probe(crm.first_target(client, table, settings), _access(prefer))
        yield _table(table.entity_set, table.logical_name, probe, is_tracked)
    if settings.mailbox_role:
        for entity_set, logical_name in (("roles", "role"), ("systemuserrolescollection", "systemuserroles")):
            probe = await client.probe(f"{crm.base_path(client)}/{entity_set}?$select=roleid", _access())
            yield _table(entity_set, logical_name, probe)


def _table(entity_set: str, logical_name: str, probe: Probe, is_tracked: bool = True) -> Check:
    if probe.status == 200:
        detail = "" if is_tracked else "change tracking is off: the table is read whole every run; switch it on"
        return Check("Dataverse", entity_set, OK if is_tracked else WARN, detail)
    if probe.status == 403:
        named = re.search(r"\bprv\w{1,60}", probe.message)
        privilege = named[0] if named else f"prvRead{logical_name}"
        return Check("Dataverse", entity_set, FAIL, f"{_reason(probe)}: give the role {privilege} at organisation level")
    if probe.refused_column:
        return Check("Dataverse", entity_set, FAIL, f"the column {probe.refused_column} is refused ({_reason(probe)})")
    return Check("Dataverse", entity_set, FAIL, _reason(probe))


async def _graph(client: Client, settings: Settings) -> AsyncIterator[Check]:
    if not settings.exchange_consent:
        await client.connection.token()
        yield Check("Graph", "consent", WARN, "RAPPORT_EXCHANGE_CONSENT is not set: Exchange is not read")
        return
    root = client.base_path + exchange.API
    users = await client.probe(f"{root}/users?$select={keep.selected(keep.USER)}", _access())
    yield _permission("users", users, "User.Read.All")
    yield _clock("Graph", users)
    if settings.mailbox_group:
        group = quote(settings.mailbox_group, safe="")
        yield _permission(
            "group", await client.probe(f"{root}/groups/{group}/transitiveMembers?$select=id", _access()), "GroupMember.Read.All"
        )
    for user in await _some_users(client, users, settings, root):
        async for check in _mailbox(client, settings, f"{root}/users/{quote(user, safe='')}", user):
            yield check


def _permission(what: str, probe: Probe, permission: str, otherwise: str = "") -> Check:
    if probe.status == 200:
        return Check("Graph", what, OK)
    if probe.status in (401, 403):
        return Check("Graph", what, FAIL, f"{_reason(probe)}: grant {permission} (application) and consent to it{otherwise}")
    return Check("Graph", what, FAIL, _reason(probe))


async def _some_users(client: Client, users: Probe, settings: Settings, root: str) -> list[str]:
    """A few users whose mailboxes are tried: those that settings name, else the first ones of the directory."""
    if settings.mailboxes:
        return [name.strip() for name in settings.mailboxes[:MAILBOXES_TRIED]]
    listing: Any = users
    if settings.mailbox_group:
        group = quote(settings.mailbox_group, safe="")
        listing = await client.probe(f"{root}/groups/{group}/transitiveMembers?$select=id", _access(""))
    elif users.status == 200:
        listing = await client.probe(f"{root}/users?$select=id,mail", _access(""))
    try:
        records = orjson.loads(listing.body)["value"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
    return [
        each["id"] for each in records if isinstance(each, dict) and each.get("id") and each.get("mail", "group") is not None
    ][:MAILBOXES_TRIED]


async def _mailbox(client: Client, settings: Settings, path: str, user: str) -> AsyncIterator[Check]:
    profile = settings.mail_profile

    async def tried(what: str, target: str, permission: str) -> tuple[Check, Probe]:
        probe = await client.probe(path + target, _access(f"odata.maxpagesize=20, {exchange.IMMUTABLE}"))
        if probe.status == 404:
            return Check("Graph", f"{user} {what}", WARN, f"{_reason(probe)}: no mailbox here, it will be parked"), probe
        return _permission(f"{user} {what}", probe, permission, ", or take the mailbox into its RBAC scope"), probe

    checks = [
        ("settings", "/mailboxSettings?$select=userPurpose", "MailboxSettings.Read"),
        ("folders", "/mailFolders?includeHiddenFolders=true&$select=id", profile),
        ("calendar", f"/calendarView/delta?{_week(client)}", "Calendars.Read"),
    ]
    for what, target, permission in checks:
        check, _ = await tried(what, target, permission)
        yield check
    check, probe = await tried("mail", f"/mailFolders/inbox/messages/delta?$select={keep.selected(keep.MESSAGE)}", profile)
    yield check
    if probe.status == 200:
        yield _headers(probe, user, profile)
    if profile == "Mail.Read":
        extended = quote("singleValueExtendedProperties($filter=id eq 'String 0x1042')", safe="($)=")
        check, _ = await tried("sent mail", f"/mailFolders/sentitems/messages?$select=id&$expand={extended}", "Mail.Read")
        yield check


def _headers(probe: Probe, user: str, profile: str) -> Check:
    """Whether mail comes with its headers, which Mail.ReadBasic.All is not known to give."""
    what = f"{user} internetMessageHeaders"
    try:
        messages = [each for each in orjson.loads(probe.body)["value"] if isinstance(each, dict) and "@removed" not in each]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        messages = []
    if not messages:
        return Check("Graph", what, WARN, "the inbox is empty: nothing to tell from")
    if any(each.get("internetMessageHeaders") for each in messages):
        return Check("Graph", what, OK, f"given with {profile}")
    return Check("Graph", what, WARN, f"not given with {profile}: machine mail is then known by sender and type alone")


def _week(client: Client) -> str:
    now = client.timing.now().replace(microsecond=0)
    return (
        f"startDateTime={exchange.instant_text(now)}&endDateTime={exchange.instant_text(now.replace(year=now.year + 1, day=1))}"
    )


def connections() -> tuple[Connection | None, Connection | None, list[Check]]:
    """Both connections of the environment, and what is wrong with those that cannot be read."""
    found: list[Connection | None] = []
    wrong = []
    for part in ("dataverse", "graph"):
        try:
            found.append(Connection.from_environment(f"{part}_default"))
        except SourceError as error:
            found.append(None)
            wrong.append(Check(part.title(), f"{part}_default", FAIL, str(error)))
    return found[0], found[1], wrong
