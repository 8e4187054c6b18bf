"""Microsoft Graph: users, and per mailbox its folders, mail by delta per folder, and calendar by delta over a window."""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from jobs.extract import keep, landing, parking
from jobs.extract.client import Access, Budget, Client, Timing
from jobs.extract.connection import Connection
from jobs.extract.errors import SourceError, StreamFailed
from jobs.extract.files import raw_root, stream_folder
from jobs.extract.keep import Record
from jobs.extract.log import Round, State, StreamLog
from jobs.extract.selection import choose, current_users
from jobs.extract.streams import (
    Progress,
    Reader,
    Report,
    Stream,
    history_start,
    refuse_if_all_unauthorised,
    require_hash_key,
    together,
)
from jobs.settings import Settings

API = "/v1.0"
SOURCE = "graph"
UNCOUNTED_FOLDERS = (
    "drafts", "outbox", "junkemail", "conversationhistory", "syncissues", "conflicts", "localfailures", "serverfailures",
    "recoverableitemsdeletions",
)  # fmt: skip
"""Well-known folders whose mail is no copy (N14)."""
SENT = "sentitems"
SEARCH_FOLDER = "#microsoft.graph.mailSearchFolder"
LONGEST_WINDOW_DAYS = 1825
OVERLAP = timedelta(minutes=5)
MAILBOXES_AT_A_TIME = 8
NO_SUCH_FOLDER = ("erroritemnotfound", "errorfoldernotfound")
IMMUTABLE = 'IdType="ImmutableId"'


@dataclass(frozen=True)
class Mailbox:
    """A mailbox to read, by its owner's id in lower case."""

    user_id: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def users_stream(client: Client, settings: Settings) -> Stream:
    """The directory's users by delta."""
    target = f"{client.base_path}{API}/users/delta?$select={keep.selected(keep.USER)}"
    return Stream("users", landing.user_filter(settings), f"odata.maxpagesize={settings.page_size}", lambda this, log: target)


def list_mailboxes(
    connection: Connection,
    home: Path,
    settings: Settings,
    run_id: str,
    *,
    crm: Connection | None = None,
    timing: Timing | None = None,
) -> list[Mailbox]:
    """Bring the users up to date and name the mailboxes to read; none without `exchange_consent`.

    Rooms, equipment and opted-out users are left out; streams of mailboxes that are no longer selected are retired. `crm` is asked
    for a security role. Raises SourceError.
    """
    if not settings.exchange_consent:
        return []
    return asyncio.run(_list_mailboxes(connection, home, settings, run_id, crm, timing or Timing()))


async def _list_mailboxes(
    connection: Connection, home: Path, settings: Settings, run_id: str, crm: Connection | None, timing: Timing
) -> list[Mailbox]:
    async with Client(connection, settings, timing) as client:
        require_hash_key(client, settings)
        reader = Reader(SOURCE, client, home, settings, run_id, timing, None)
        is_read = await reader.read(users_stream(client, settings))
        refuse_if_all_unauthorised(reader)
        users = current_users(home)
        if not is_read and not users:
            raise SourceError(f"the users of {connection.origin} cannot be read: {reader.report.parked[0][1]}")
        chosen = await choose(client, users, home, settings, crm, timing)
        _retire_others(home, set(chosen), timing.now())
        return [Mailbox(user) for user in chosen]


def _retire_others(home: Path, selected: set[str], now: datetime) -> None:
    """Retire the streams of mailboxes that are not selected."""
    kept = {stream_folder(home, SOURCE, f"mailFolders/{user}").name for user in selected}
    for folder in parking.mailbox_folders(home):
        parts = folder.relative_to(raw_root(home)).parts
        if parts[2] not in kept:
            parking.retire(folder, SOURCE, "/".join(parts[1:]), "its mailbox is not selected", now)


def extract_mailbox(
    connection: Connection,
    mailbox: Mailbox,
    home: Path,
    settings: Settings,
    run_id: str,
    progress: Progress | None = None,
    *,
    timing: Timing | None = None,
) -> Report:
    """Bring the raw log up to date with one mailbox."""
    return extract_group(connection, [mailbox], home, settings, run_id, progress, timing=timing)


def extract_group(
    connection: Connection,
    mailboxes: list[Mailbox],
    home: Path,
    settings: Settings,
    run_id: str,
    progress: Progress | None = None,
    *,
    timing: Timing | None = None,
) -> Report:
    """Bring the raw log up to date with several mailboxes, a few at the same time.

    A mailbox, folder or calendar that cannot be read is parked and named in the report. Raises SourceError when nothing can be
    read, and when `exchange_consent` is not set.
    """
    if not settings.exchange_consent:
        raise SourceError(
            "RAPPORT_EXCHANGE_CONSENT is not set: Exchange is read only after it says who agreed, when, and to what"
        )
    return asyncio.run(_extract_group(connection, mailboxes, home, settings, run_id, progress, timing or Timing()))


async def _extract_group(
    connection: Connection,
    mailboxes: list[Mailbox],
    home: Path,
    settings: Settings,
    run_id: str,
    progress: Progress | None,
    timing: Timing,
) -> Report:
    async with Client(connection, settings, timing) as client:
        require_hash_key(client, settings)
        reader = Reader(SOURCE, client, home, settings, run_id, timing, progress)
        at_a_time = asyncio.Semaphore(MAILBOXES_AT_A_TIME)

        async def read(mailbox: Mailbox) -> None:
            async with at_a_time:
                await _MailboxReader(reader, mailbox).read()

        await together(read(mailbox) for mailbox in mailboxes)
        refuse_if_all_unauthorised(reader)
        return reader.report


class _MailboxReader:
    """Reads one mailbox: first its folders, then all its streams, at most four requests at a time."""

    def __init__(self, reader: Reader, mailbox: Mailbox) -> None:
        self.reader, self.client, self.settings = reader, reader.client, reader.settings
        self.user = mailbox.user_id.lower()
        self.path = f"{self.client.base_path}{API}/users/{quote(self.user, safe='')}"
        self.turns = asyncio.Semaphore(self.settings.mailbox_requests)

    async def read(self) -> None:
        folders = await self._folders()
        if folders is None:
            return
        streams = [*self._mail_streams(folders), self._calendar_stream()]
        self._retire_folders({stream_folder(self.reader.home, SOURCE, stream.name) for stream in streams})
        self.reader.expect(len(streams))
        await together(self.reader.read(stream) for stream in streams)

    def _retire_folders(self, current: set[Path]) -> None:
        own = stream_folder(self.reader.home, SOURCE, f"mailFolders/{self.user}").name
        for folder in parking.mailbox_folders(self.reader.home, own):
            if folder.parent.name == own and folder not in current:
                name = "/".join(folder.relative_to(raw_root(self.reader.home)).parts[1:])
                parking.retire(folder, SOURCE, name, "its folder is not read any more", self.reader.timing.now())

    async def _folders(self) -> list[Record] | None:
        """The folders of the mailbox, landed; None when the mailbox is parked."""
        stream = Stream(
            f"mailFolders/{self.user}", landing.folder_filter(self.settings), "", lambda this, log: "", is_tracked=False
        )
        reader = self.reader
        reader.expect(1)
        log = StreamLog(reader.home, SOURCE, stream.name, reader.run_id)
        with log.locked():
            if reader.waits(mark := parking.read(log.folder)):
                return None
            access = Access(
                f"odata.maxpagesize={self.settings.page_size}, {IMMUTABLE}",
                Budget(self.settings.retry_budget_seconds),
                self.turns,
            )
            try:
                listed = await self._list_folders(access)
                folders = [each for each in listed if isinstance(each, dict)]
                known = await self._well_known(folders, log, access)
            except StreamFailed as error:
                reader.set_aside(stream.name, error)
                return None
            names = {folder: name for name, folder in known["well_known"].items()}
            for each in folders:
                each["wellKnownName"] = names.get(each.get("id"))
            known["digest"] = _digest(listed)
            if self._is_unchanged(log.state, known["digest"]):
                await reader.land_whole(stream, log, [], "delta")
            else:
                await reader.land_whole(stream, log, listed, "full", folders=known)
            if mark is not None:
                parking.clear(log.folder)
        reader.report.streams += 1
        return list({folder["id"]: folder for folder in folders if isinstance(folder.get("id"), str)}.values())

    async def _list_folders(self, access: Access, above: str | None = None, opened: set[str] | None = None) -> list[Any]:
        opened = set() if opened is None else opened
        where = f"{self.path}/mailFolders" + (f"/{quote(above, safe='')}/childFolders" if above else "")
        found = await self.client.collection(
            f"{where}?includeHiddenFolders=true&$select=id,parentFolderId,isHidden,childFolderCount", access
        )
        parents = {
            each["id"]
            for each in found
            if isinstance(each, dict) and isinstance(each.get("id"), str) and each.get("childFolderCount") != 0
            if each.get("@odata.type") != SEARCH_FOLDER
        } - opened
        opened |= parents
        for below in await together(self._list_folders(access, parent, opened) for parent in sorted(parents)):
            found += below
        return found

    def _is_unchanged(self, state: State | None, digest: str) -> bool:
        """Whether the folders are as last landed, so that the round has nothing to say; a full list is due from time to time."""
        if state is None or state.folders is None or state.folders["digest"] != digest or state.last_full_at is None:
            return False
        days = self.settings.reconcile_days
        return not days or self.reader.timing.now() - state.last_full_at < timedelta(days=days)

    async def _well_known(self, folders: list[Record], log: StreamLog, access: Access) -> dict[str, Any]:
        """Folder ids by well-known name: as last landed while the folders are the same ones, else asked name by name."""
        names = list(dict.fromkeys((SENT, *UNCOUNTED_FOLDERS, *self.settings.skip_folders)))
        ids = _digest(sorted(str(folder.get("id")) for folder in folders))
        before = log.state.folders if log.state else None
        if before and before["ids"] == ids and before["asked"] == names:
            return dict(before)
        found = await together(self._folder_id(name, access) for name in names)
        known = {name: folder for name, folder in zip(names, found, strict=True) if folder is not None}
        return {"ids": ids, "asked": names, "well_known": known}

    async def _folder_id(self, name: str, access: Access) -> str | None:
        try:
            found = (await self.client.entity(f"{self.path}/mailFolders/{name}?$select=id", access)).get("id")
        except StreamFailed as error:
            if error.status == 404 and error.code.lower() in NO_SUCH_FOLDER:
                return None
            raise
        return found if isinstance(found, str) else None

    def _mail_streams(self, folders: list[Record]) -> list[Stream]:
        unread = self.settings.skip_folders
        hidden = not self.settings.hidden_folders
        skipped = _with_below(
            folders, {f["id"] for f in folders if f["wellKnownName"] in unread or (hidden and f.get("isHidden") is True)}
        )
        sent = _with_below(folders, {f["id"] for f in folders if f["wellKnownName"] == SENT})
        found = []
        for folder in folders:
            if folder["id"] in skipped or folder.get("@odata.type") == SEARCH_FOLDER:
                continue
            found.append(self._message_stream(folder["id"]))
            if folder["id"] in sent and self.settings.mail_profile == "Mail.Read":
                found.append(self._list_pass(folder["id"]))
        return found

    def _prefer(self) -> str:
        return f"odata.maxpagesize={self.settings.page_size}, {IMMUTABLE}"

    def _message_stream(self, folder: str) -> Stream:
        target = f"{self.path}/mailFolders/{quote(folder, safe='')}/messages/delta?$select={keep.selected(keep.MESSAGE)}"
        return Stream(
            f"messages/{self.user}/{folder}",
            landing.message_filter(self.settings),
            self._prefer(),
            lambda this, log: target,
            first_load_days=self.settings.first_load_days,
            turns=self.turns,
            is_gone=lambda access: self._is_gone(folder, access),
        )

    async def _is_gone(self, folder: str, access: Access) -> bool:
        return await self._folder_id(quote(folder, safe=""), access) is None

    def _list_pass(self, folder: str) -> Stream:
        """In-Reply-To and References of sent mail, which delta does not give."""
        wanted = " or ".join(f"id eq '{name}'" for name in keep.EXTENDED_PROPERTIES)
        base = (
            f"{self.path}/mailFolders/{quote(folder, safe='')}/messages?$select=id,internetMessageId,lastModifiedDateTime,receivedDateTime"
            f"&$expand={quote(f'singleValueExtendedProperties($filter={wanted})', safe='($)=')}"
        )

        def first_target(this: Round, log: StreamLog) -> str:
            column, since = "lastModifiedDateTime", log.state.modified_to if log.state else None
            if since is not None:
                since = instant_text(datetime.fromisoformat(since) - OVERLAP)
            elif history := history_start(self.settings.first_load_days, log, this):
                column, since = "receivedDateTime", f"{history}T00:00:00Z"
            return base if since is None else f"{base}&$filter={column}%20ge%20{since}&$orderby={column}"

        return Stream(
            f"messageHeaders/{self.user}/{folder}",
            landing.listed_message_filter(self.settings),
            self._prefer(),
            first_target,
            is_tracked=False,
            kind="list",
            first_load_days=self.settings.first_load_days,
            drop=lambda record: None if record.get("singleValueExtendedProperties") else "no_reference",
            notes_modified=True,
            is_resumable=False,
            turns=self.turns,
            is_gone=lambda access: self._is_gone(folder, access),
        )

    def _calendar_stream(self) -> Stream:
        def first_target(this: Round, log: StreamLog) -> str:
            start, end = instant_text(this.window_start), instant_text(this.window_end)
            return f"{self.path}/calendarView/delta?startDateTime={start}&endDateTime={end}"

        return Stream(
            f"calendarView/{self.user}",
            landing.event_filter(self.settings),
            self._prefer(),
            first_target,
            window=lambda now: calendar_window(now, self.settings),
            related=self._series_masters,
            turns=self.turns,
        )

    async def _series_masters(self, events: list[Record | landing.Typed], fetched: set[str], access: Access) -> list[Record]:
        """The masters that occurrences name, which a calendar view leaves out; each once a round."""
        wanted = {master for event in events if isinstance(master := event.get("seriesMasterId"), str) and master} - fetched
        fetched |= wanted
        found = await together(self._series_master(master, access) for master in sorted(wanted))
        return [master for master in found if master is not None]

    async def _series_master(self, master: str, access: Access) -> Record | None:
        try:
            return await self.client.entity(
                f"{self.path}/events/{quote(master, safe='')}?$select={keep.selected(keep.EVENT)}", access
            )
        except StreamFailed as error:
            if error.status == 404:
                return None
            raise


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, default=asdict, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _with_below(folders: Iterable[Record], roots: set[str]) -> set[str]:
    """`roots` and every folder below one of them."""
    found = set(roots)
    while more := {f["id"] for f in folders if f.get("parentFolderId") in found} - found:
        found |= more
    return found


def instant_text(at: datetime | None) -> str:
    """An instant as a query takes it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at is not None else ""


def calendar_window(now: datetime, settings: Settings) -> tuple[datetime, datetime]:
    """The window of a round that starts at `now`: never shorter in the past than mail is, never longer than Graph allows (N36).

    A replayed tenant's window lies around its as-of.
    """
    anchor = settings.as_of if settings.replayed_tenant and settings.as_of else now
    anchor = anchor.replace(microsecond=0, tzinfo=anchor.tzinfo or now.tzinfo)
    past = max(settings.calendar_past_days, settings.first_load_days)
    past = min(past, LONGEST_WINDOW_DAYS - settings.calendar_future_days)
    return anchor - timedelta(days=past), anchor + timedelta(days=settings.calendar_future_days)
