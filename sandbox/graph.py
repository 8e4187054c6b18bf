"""Microsoft Graph over a tenant folder: users, groups, mail folders, messages and calendar views, with delta rounds."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import orjson

from jobs import clock
from sandbox.odata import Listings, Page, Reply, Request, Token, cut, entity, first_place, names, options_of, project
from sandbox.route import Route
from sandbox.tenant import Collection, Mailbox, Record, Tenant, Window, in_view

ROOT = "/graph/v1.0"
LIST_PAGE, LARGEST_PAGE = 10, 1000
USER_PAGE, LARGEST_USER_PAGE = 100, 999
FILTERED_LIMIT = 5000
LONGEST_VIEW = timedelta(days=1825)
HEADERS_BY_PROPERTY = {"String 0x1042": "in-reply-to", "String 0x1039": "references"}
ONLY_WHEN_SELECTED = {"internetMessageHeaders", "uniqueBody", "singleValueExtendedProperties"}
NOT_SHOWN = {"wellKnownName", "childFolderCount"}
_request_ids = count(1)


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error in the shape of Graph."""
    inner = {"date": f"{clock.now():%Y-%m-%dT%H:%M:%S}", "request-id": f"00000000-0000-4000-8000-{next(_request_ids):012d}"}
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    return Reply(status, orjson.dumps(body), {"content-type": "application/json", **(headers or {})})


def not_found() -> Reply:
    """The answer to a folder or item that is not there."""
    return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def bad_request(message: str, code: str = "ErrorInvalidUrlQuery") -> Reply:
    """The answer to a query that Graph refuses."""
    return error(400, code, message)


class Graph:
    """Answers requests below `ROOT`."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._listings = Listings()

    def route(self, request: Request) -> Route:
        """What a path means; streams are named as in the raw log."""
        if not self.tenant.has_graph:
            return Route(
                "graph", lambda: error(404, "ResourceNotFound", "The tenant has no Exchange: graph/users.jsonl is missing.")
            )
        match request.segments[2:]:
            case ["users"]:
                return Route("users", lambda: self._users(request, tracked=False))
            case ["users", "delta"]:
                return Route("users", lambda: self._users(request, tracked=True))
            case ["groups", group, "members" | "transitiveMembers"]:
                return Route(f"groupMembers/{group.lower()}", lambda: self._members(request, group.lower()))
            case ["users", name, *rest]:
                user = self._user(name)
                if user is None:
                    return Route("users", lambda: self._no_user(name, bool(rest)))
                return self._user_route(request, user, rest)
        return Route("", lambda: bad_request("Resource not found for the segment.", "BadRequest"))

    def _user_route(self, request: Request, user: str, rest: list[str]) -> Route:
        box = self.tenant.mailbox(user)
        now = self.tenant.step
        match rest:
            case []:
                return Route("users", lambda: self._user_entity(request, user), user)
            case ["mailboxSettings"]:
                return Route(f"mailboxSettings/{user}", lambda: self._settings(request, user), user)
            case ["mailFolders"]:
                return Route(f"mailFolders/{user}", lambda: self._folders(request, user, box, None), user)
            case ["mailFolders", "delta"]:
                return Route(f"mailFolders/{user}", lambda: self._folder_delta(request, user, box), user)
            case ["calendarView", "delta"]:
                return Route(f"calendarView/{user}", lambda: self._calendar(request, user, box), user)
            case ["events", event]:
                return Route(f"events/{user}", lambda: self._event(request, box, event), user)
            case ["messages", "delta"]:
                text = "Change tracking is not supported against 'microsoft.graph.message'."
                return Route(f"messages/{user}", lambda: bad_request(text, "ErrorInvalidRequest"), user)
            case ["messages"]:
                return Route(f"{_list_kind(request)}/{user}", lambda: self._message_list(request, user, box, None), user)
            case ["mailFolders", name, *below]:
                folder = box.folder(name, now)
                if folder is None:
                    kind = "mailFolders" if below in ([], ["childFolders"]) else "messages"
                    return Route(f"{kind}/{user}" + (f"/{name}" if kind == "messages" else ""), not_found, user)
                match below:
                    case []:
                        return Route(f"mailFolders/{user}", lambda: self._folder_entity(request, box, folder), user)
                    case ["childFolders"]:
                        return Route(f"mailFolders/{user}", lambda: self._folders(request, user, box, folder), user)
                    case ["messages", "delta"]:
                        return Route(f"messages/{user}/{folder}", lambda: self._message_delta(request, user, box, folder), user)
                    case ["messages"]:
                        return Route(
                            f"{_list_kind(request)}/{user}/{folder}",
                            lambda: self._message_list(request, user, box, folder),
                            user,
                        )
        return Route("", lambda: bad_request(f"Resource not found for the segment '{rest[0]}'.", "BadRequest"), user)

    def _user(self, name: str) -> str | None:
        if self.tenant.users.get(name.lower(), self.tenant.step) is not None:
            return name.lower()
        held = self.tenant.users.at(self.tenant.step).items()
        wanted = name.lower()
        return next((user for user, r in held if str(r.index["userPrincipalName"] or "").lower() == wanted), None)

    @staticmethod
    def _no_user(name: str, in_mailbox: bool) -> Reply:
        if in_mailbox:
            return error(404, "ErrorInvalidUser", f"The requested user '{name}' is invalid.")
        return error(404, "Request_ResourceNotFound", f"Resource '{name}' does not exist.")

    def _users(self, request: Request, *, tracked: bool) -> Page | Reply:
        if refused := _refuse(request, {"$select", "$deltatoken", "$skiptoken"} | (set() if tracked else {"$top"})):
            return refused
        here = self._place(request, "users", ("$select",))
        if isinstance(here, Reply):
            return here
        selected = names(here.option("$select"))
        rows = _changed(self.tenant.users, here)
        size = _size(request, USER_PAGE, LARGEST_USER_PAGE)

        def keep(name: str) -> bool:
            return (name != "mailboxSettings") if selected is None else name == "id" or name[0] == "@" or name in selected

        return self._page(request, here, "users", rows, size, lambda row: project(row, keep), "", tracked=tracked)

    def _user_entity(self, request: Request, user: str) -> Reply:
        record = self.tenant.users.get(user, self.tenant.step)
        selected = names(request.query.get("$select"))
        body = project(record, lambda name: selected is None or name == "id" or name in selected)
        return entity(f"{request.origin}{ROOT}/$metadata#users/$entity", body)

    def _settings(self, request: Request, user: str) -> Reply:
        given = self.tenant.users.get(user, self.tenant.step).values().get("mailboxSettings")
        zone = self.tenant.description.get("time_zone", "UTC")
        settings = {"userPurpose": "user", "timeZone": zone, **(given if isinstance(given, dict) else {})}
        return entity(f"{request.origin}{ROOT}/$metadata#users('{user}')/mailboxSettings", orjson.dumps(settings))

    def _members(self, request: Request, group: str) -> Page | Reply:
        record = self.tenant.groups.get(group, self.tenant.step)
        if record is None:
            return error(404, "Request_ResourceNotFound", f"Resource '{group}' does not exist.")
        here = self._place(request, f"groupMembers/{group}", ("$select",))
        if isinstance(here, Reply):
            return here
        selected = names(here.option("$select"))
        users = (self.tenant.users.get(str(user).lower(), here.until) for user in record.index["members"] or ())

        def write(row: Record) -> bytes:
            return project(
                row, lambda name: selected is None or name == "id" or name in selected, {"@odata.type": "#microsoft.graph.user"}
            )

        size = _size(request, USER_PAGE, LARGEST_USER_PAGE)
        return self._page(request, here, "directoryObjects", [u for u in users if u is not None], size, write, "", tracked=False)

    def _folders(self, request: Request, user: str, box: Mailbox, above: str | None) -> Page | Reply:
        if refused := _refuse(request, {"$select", "$top", "$skiptoken", "includeHiddenFolders"}):
            return refused
        here = self._place(request, f"mailFolders/{user}", ("$select", "includeHiddenFolders"))
        if isinstance(here, Reply):
            return here
        held = box.folders.at(here.until)
        hidden_too = (here.option("includeHiddenFolders") or "").lower() == "true"
        rows: list[Any] = [
            record
            for name, record in held.items()
            if (hidden_too or record.index["isHidden"] is not True) and _is_below(name, above, held)
        ]
        if above is None:
            rows += box.folders.broken_between(-1, here.until)
        size = _size(request, LIST_PAGE, LARGEST_PAGE)
        write = self._folder_writer(here, box)
        return self._page(request, here, f"users('{user}')/mailFolders", rows, size, write, "mailFolder", tracked=False)

    def _folder_delta(self, request: Request, user: str, box: Mailbox) -> Page | Reply:
        if refused := _refuse(request, {"$select", "$deltatoken", "$skiptoken", "includeHiddenFolders"}):
            return refused
        here = self._place(request, f"mailFolders/{user}", ("$select",))
        if isinstance(here, Reply):
            return here
        rows = _changed(box.folders, here)
        size = _size(request, LIST_PAGE, LARGEST_PAGE)
        write = self._folder_writer(here, box)
        return self._page(request, here, f"users('{user}')/mailFolders", rows, size, write, "mailFolder", tracked=True)

    def _folder_writer(self, here: Token, box: Mailbox) -> Callable[[Record], bytes]:
        held = box.folders.at(here.until)
        children = Counter(record.index["parentFolderId"] for record in held.values())
        selected = names(here.option("$select"))

        def write(row: Record) -> bytes:
            name = row.values()["id"]
            more = {"childFolderCount": children[name]} if selected is None or "childFolderCount" in selected else None
            return project(row, lambda key: _kept(key, selected, NOT_SHOWN), more)

        return write

    def _folder_entity(self, request: Request, box: Mailbox, folder: str) -> Reply:
        here = Token("next", "", -1, self.tenant.step, options=options_of(request.query, ["$select"]))
        body = self._folder_writer(here, box)(box.folders.get(folder, here.until))
        return entity(f"{request.origin}{ROOT}/$metadata#mailFolders/$entity", body)

    def _message_delta(self, request: Request, user: str, box: Mailbox, folder: str) -> Page | Reply:
        if "$expand" in request.query:
            return error(500, "ErrorInternalServerError", "Value cannot be null.\r\nParameter name: type")
        if refused := _refuse(request, {"$select", "$filter", "$orderby", "$top", "$deltatoken", "$skiptoken"}):
            return refused
        here = self._place(request, f"messages/{user}/{folder}", ("$select", "$filter", "$orderby", "$top"))
        if isinstance(here, Reply):
            return here
        if here.option("$orderby") not in (None, "receivedDateTime desc"):
            return bad_request("Only receivedDateTime desc is supported for $orderby with change tracking.")
        admits = _filter(here.option("$filter"), {"receivedDateTime"}, {"ge", "gt"})
        if admits is None:
            return bad_request("Only receivedDateTime ge or gt is supported for $filter with change tracking.")
        rows = self._listings.of(here, lambda: _folder_changes(box, folder, here, admits))
        top = here.option("$top") or ""
        return self._page(
            request,
            here,
            f"users('{user}')/mailFolders('{folder}')/messages",
            rows,
            _size(request, LIST_PAGE, LARGEST_PAGE, top=False),
            _message_writer(names(here.option("$select"))),
            "message",
            tracked=True,
            limit=int(top) if top.isdigit() else None,
        )

    def _message_list(self, request: Request, user: str, box: Mailbox, folder: str | None) -> Page | Reply:
        if refused := _refuse(request, {"$select", "$filter", "$orderby", "$top", "$expand", "$skiptoken"}):
            return refused
        stream = f"messageList/{user}/{folder or ''}"
        here = self._place(request, stream, ("$select", "$filter", "$orderby", "$expand"))
        if isinstance(here, Reply):
            return here
        selected = names(here.option("$select"))
        if selected is not None and "meetingMessageType" in selected:
            return bad_request(
                "Could not find a property named 'meetingMessageType' on type 'microsoft.graph.message'.",
                "RequestBroker-ParseUri",
            )
        wanted = here.option("$filter") or ""
        admits = _filter(wanted, {"receivedDateTime", "lastModifiedDateTime"}, {"ge", "gt", "le", "lt"})
        if admits is None:
            return bad_request("The sandbox filters messages by receivedDateTime and lastModifiedDateTime only.")
        column, _, direction = (here.option("$orderby") or "").partition(" ")
        if column not in ("", "receivedDateTime", "lastModifiedDateTime"):
            return bad_request("The sandbox orders messages by receivedDateTime and lastModifiedDateTime only.")
        if column and wanted and not wanted.lstrip("( ").startswith(column):
            return bad_request("The restriction or sort order is too complex for this operation.", "InefficientFilter")
        expanded = here.option("$expand")
        if expanded is not None and not expanded.startswith("singleValueExtendedProperties("):
            return bad_request(f"The sandbox does not expand {expanded}.")
        descending = direction.strip().lower() == "desc"
        rows = self._listings.of(here, lambda: _listed(box, folder, here, admits, column, descending))
        properties = re.findall(r"id eq '([^']*)'", expanded) if expanded is not None else None
        return self._page(
            request,
            here,
            f"users('{user}')/messages",
            rows,
            _size(request, LIST_PAGE, LARGEST_PAGE),
            _message_writer(selected, properties),
            "message",
            tracked=False,
        )

    def _calendar(self, request: Request, user: str, box: Mailbox) -> Page | Reply:
        if refused := _refuse(request, {"startDateTime", "endDateTime", "$deltatoken", "$skiptoken"}):
            return refused
        here = self._place(request, f"calendarView/{user}", ("startDateTime", "endDateTime"))
        if isinstance(here, Reply):
            return here
        window = window_of(here)
        if window is None:
            return bad_request(
                "This request requires a time window specified by the query string parameters StartDateTime and EndDateTime.",
                "ErrorInvalidParameter",
            )
        if window[1] - window[0] > LONGEST_VIEW or window[1] <= window[0]:
            return bad_request(
                "The calendar view must be longer than none and at most 1825 days.", "ErrorCalendarViewRangeTooBig"
            )
        rows = self._listings.of(here, lambda: _view_changes(box, window, here))
        size = _size(request, LIST_PAGE, LARGEST_PAGE, top=False)
        return self._page(request, here, f"users('{user}')/calendarView", rows, size, lambda row: row.raw, "event", tracked=True)

    def _event(self, request: Request, box: Mailbox, event: str) -> Reply:
        record = box.events.get(event, self.tenant.step)
        if record is None:
            return not_found()
        selected = names(request.query.get("$select"))
        body = project(record, lambda key: _kept(key, selected, set()))
        return entity(f"{request.origin}{ROOT}/$metadata#users/events/$entity", body)

    def _place(self, request: Request, stream: str, options: tuple[str, ...]) -> Token | Reply:
        """Where the request stands in its stream: at a link's place, or at the start of a full round."""
        now = self.tenant.step
        text = request.query.get("$deltatoken", request.query.get("$skiptoken"))
        if text is None:
            return first_place(stream, now, options_of(request.query, options))
        token = Token.decode(text)
        if token is None or token.stream != stream or token.until > self.tenant.steps:
            return error(410, "SyncStateNotFound", "The sync state generation is not found; generation=605;[highest=841]")
        return replace(token, until=max(token.until, now)) if token.kind == "delta" else token

    def _page(
        self,
        request: Request,
        here: Token,
        context: str,
        rows: list[Any],
        size: int,
        write: Callable[[Record], bytes],
        kind: str,
        *,
        tracked: bool,
        limit: int | None = None,
    ) -> Page:
        """The page at `here`: records are written by `write`, broken lines as they stand, (id, reason) as removals."""
        shown, following, delta = cut(rows, here, size, tracked=tracked, limit=limit)
        written = []
        for row in shown:
            if isinstance(row, Record):
                written.append(write(row))
            elif isinstance(row, bytes):
                written.append(row)
            else:
                written.append(removal(row[0], row[1], kind))
        text = request.query.get("$deltatoken", request.query.get("$skiptoken"))
        return Page(
            here,
            f"{request.origin}{ROOT}/$metadata#{'Collection(' if here.after >= 0 else ''}{context}{')' if here.after >= 0 else ''}",
            written,
            link=lambda token: (
                f"{request.origin}{request.path}?${'delta' if token.kind == 'delta' else 'skip'}token={token.encode()}"
            ),
            next=following,
            delta=delta,
            asked=Token.decode(text) if text else None,
        )


def removal(name: str, reason: str, kind: str) -> bytes:
    """A row that says that a record left the stream."""
    typed = {"@odata.type": f"#microsoft.graph.{kind}"} if kind else {}
    return orjson.dumps({**typed, "id": name, "@removed": {"reason": reason}})


def _changed(held: Collection, here: Token) -> list[Any]:
    """What a round lists of a collection: its records, broken lines, and removals as (id, reason)."""
    lines = held.broken_between(here.after, here.until)
    if here.after < 0:
        return [*held.at(here.until).values(), *lines]
    touched = [(name, held.get(name, here.until)) for name in held.touched_between(here.after, here.until)]
    there = [record for _, record in touched if record is not None]
    return [*there, *lines, *((name, _reason(held, name, here)) for name, record in touched if record is None)]


def _folder_changes(box: Mailbox, folder: str, here: Token, admits: Callable[[Record], bool]) -> list[Any]:
    """What a delta round of a mail folder lists; with `$filter` the newest 5,000 messages at most."""
    rows: list[Any] = []
    gone: list[Any] = []

    def is_listed(record: Record) -> bool:
        return record.index["parentFolderId"] == folder and admits(record)

    if here.after < 0:
        held = box.messages.at(here.until)
        rows = [held[name] for name in box.members(here.until).get(folder, ()) if admits(held[name])]
    else:
        for name in box.messages.touched_between(here.after, here.until):
            record = box.messages.get(name, here.until)
            if record is not None and is_listed(record):
                rows.append(record)
            elif _was_ever(is_listed, box.messages, name, here):
                gone.append((name, "deleted"))
    filtered = here.option("$filter") is not None
    if filtered or here.option("$orderby") is not None:
        rows.sort(key=lambda record: str(record.index["receivedDateTime"]), reverse=True)
    if filtered:
        rows = rows[:FILTERED_LIMIT]
    lines = box.messages.broken_between(here.after, here.until) if folder == box.home_of_broken_lines(here.until) else []
    return rows + lines + gone


def _listed(
    box: Mailbox, folder: str | None, here: Token, admits: Callable[[Record], bool], column: str, descending: bool
) -> list[Any]:
    """Messages of a folder, or of all, that `admits` lets through, ordered by a column."""
    held, members = box.messages.at(here.until), box.members(here.until)
    ids = members.get(folder, []) if folder else [name for part in members.values() for name in part]
    rows = [record for name in ids if admits(record := held[name])]
    return sorted(rows, key=lambda record: str(record.index[column]), reverse=descending) if column else rows


def _view_changes(box: Mailbox, window: Window, here: Token) -> list[Any]:
    """What a delta round of a calendar view lists."""
    lines = box.events.broken_between(here.after, here.until)
    shown = box.view(here.until, window)
    if here.after < 0:
        held = box.events.at(here.until)
        return [held[name] for name in shown] + lines
    now = set(shown)
    touched = box.touched_events(here.after, here.until)
    there = [box.events.get(name, here.until) for name in touched if name in now]

    def was_shown(name: str) -> bool:
        return _was_ever(lambda record: in_view(record, window), box.events, name, here)

    return [*there, *lines, *((name, "deleted") for name in touched if name not in now and was_shown(name))]


def _was_ever(test: Callable[[Record], bool], held: Collection, name: str, here: Token) -> bool:
    """Whether a record passed a test after any step of the round: a client that saw a round twice may hold it."""
    earlier = (held.get(name, step) for step in range(here.after, here.until))
    return any(record is not None and test(record) for record in earlier)


def _reason(held: Collection, name: str, here: Token) -> str:
    found = (held.reasons[name, step] for step in range(here.until, here.after, -1) if (name, step) in held.reasons)
    return next(found, "deleted")


def _is_below(name: str, above: str | None, held: dict[str, Record]) -> bool:
    """Whether a folder lies in `above`, or without one at the top: no folder above it, or itself."""
    current = held[name].index["parentFolderId"]
    if above is not None:
        return current == above
    seen = {name}
    top = current not in held
    while current in held and current not in seen:
        seen.add(current)
        current = held[current].index["parentFolderId"]
    return top or current == name


def _kept(key: str, selected: frozenset[str] | None, left_out: set[str]) -> bool:
    if key in left_out:
        return False
    return selected is None or key == "id" or key[:1] == "@" or key in selected


def _message_writer(selected: frozenset[str] | None, properties: list[str] | None = None) -> Callable[[Record], bytes]:
    """Writes a message with the selected keys and, for the list pass, the extended properties asked for."""
    decided: dict[str, bool] = {}

    def keep(key: str) -> bool:
        if key not in decided:
            if key == "singleValueExtendedProperties" or (selected is None and key in ONLY_WHEN_SELECTED):
                decided[key] = False
            else:
                decided[key] = selected is None or key == "id" or key[:1] == "@" or key in selected
        return decided[key]

    def write(row: Record) -> bytes:
        if properties is None:
            return project(row, keep)
        found = _extended(row.values(), properties)
        return project(row, keep, {"singleValueExtendedProperties": found} if found else None)

    return write


def _extended(message: dict[str, Any], wanted: list[str]) -> list[dict[str, Any]]:
    """The extended properties of a message: those it brings, else what its reply headers say."""
    given = message.get("singleValueExtendedProperties")
    by_id = {str(p.get("id")).lower(): p for p in given if isinstance(p, dict)} if isinstance(given, list) else {}
    headers = message.get("internetMessageHeaders")
    by_name = {
        str(header.get("name")).lower(): header.get("value")
        for header in (headers if isinstance(headers, list) else ())
        if isinstance(header, dict)
    }
    found = []
    for name in wanted:
        if name.lower() in by_id:
            found.append(by_id[name.lower()])
        elif (value := by_name.get(HEADERS_BY_PROPERTY.get(name, ""))) is not None:
            found.append({"id": name, "value": value})
    return found


def _list_kind(request: Request) -> str:
    """A list of messages is the list pass for extended properties when it expands them (its links no longer say so)."""
    token = Token.decode(request.query.get("$skiptoken", ""))
    expanded = "$expand" in request.query or (token is not None and token.option("$expand") is not None)
    return "messageHeaders" if expanded else "messages"


def _refuse(request: Request, allowed: set[str]) -> Reply | None:
    """An error for a query option that the resource does not take."""
    taken = {name.lower() for name in allowed}
    refused = [name for name in request.query if name.lower() not in taken and (name[:1] == "$" or name == "changeType")]
    if not refused:
        return None
    return bad_request(f"The following parameters are not supported here: '{', '.join(refused)}'.")


def _size(request: Request, default: int, largest: int, *, top: bool = True) -> int:
    wish = request.query.get("$top", "") if top else ""
    return min(int(wish), largest) if wish.isdigit() and int(wish) else request.page_size(default, largest)


def _filter(text: str | None, columns: set[str], operators: set[str]) -> Callable[[Record], bool] | None:
    """A test of `column op instant [and ...]`; None when the text is something else."""
    if not text:
        return lambda record: True
    tests = []
    for part in re.split(r"\s+and\s+", text.strip().strip("()")):
        found = re.fullmatch(r"(\w+) (\w\w) (\S+)", part.strip())
        at = _at(found[3]) if found and found[1] in columns and found[2] in operators else None
        if at is None:
            return None
        tests.append((found[1], found[2], at))

    def admits(record: Record) -> bool:
        for column, operator, bound in tests:
            at = _at(record.index[column])
            if at is None:
                return False
            if not {"ge": at >= bound, "gt": at > bound, "le": at <= bound, "lt": at < bound}[operator]:
                return False
        return True

    return admits


def _at(text: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def window_of(here: Token) -> Window | None:
    """The calendar window of a round; None where it has none that can be read."""
    start, end = _at(here.option("startDateTime")), _at(here.option("endDateTime"))
    return None if start is None or end is None else (start, end)
