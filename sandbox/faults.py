"""What the real APIs do to their clients, switched on stream by stream, seeded and counted.

A switch says `fault`, `stream` (a shell pattern over the names of the raw log, default all), `rate` (share of the requests
that it could strike, default 1), `times` (at most so often on each stream, default no limit), `after` (that many are spared
first) and the fault's own parameters. Whether the nth request of a stream is struck depends on the seed, the switch, the stream
and n alone, not on what other streams do.
"""

import gzip
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import orjson

from jobs import clock
from jobs.errors import RapportError
from sandbox import dataverse, graph
from sandbox.odata import Page, Reply, Request, Token, names
from sandbox.route import Route
from sandbox.tenant import ROW_TYPE, Tenant, in_view

DEAD_TOKEN_CODES = (
    "SyncStateNotFound",
    "syncStateNotFound",
    "resyncRequired",
    "resyncChangesApplyDifferences",
    "resyncChangesUploadDifferences",
)
RETRY_AFTER = {"integer": 1.0, "decimal": 2.128, "date": 2.0, "long": 300.0}
REPLY_HEADERS = ("in-reply-to", "references")
KINDS = {"messages": "message", "calendarView": "event", "mailFolders": "mailFolder"}
OPTIONS = {"messages": ("importance", "sandboxFuture"), "calendarView": ("showAs", "sandboxFuture")}


@dataclass
class Strike:
    """One request that a fault may strike: the request, what it is about, the fault's parameters and its seeded chance."""

    request: Request
    route: Route
    tenant: Tenant
    parameters: dict[str, Any]
    chance: random.Random
    memory: dict[Any, Any]
    in_flight: int
    is_certain: bool = False

    @property
    def is_dataverse(self) -> bool:
        """Whether Dataverse was asked."""
        return self.request.path.startswith(dataverse.ROOT)

    @property
    def kind(self) -> str:
        """The stream's name up to its first slash."""
        return self.route.stream.partition("/")[0]

    def __getitem__(self, parameter: str) -> Any:
        return self.parameters[parameter]

    def error(
        self, status: int, dataverse_code: str, graph_code: str, message: str, headers: dict[str, str] | None = None
    ) -> Reply:
        """An error in the shape of the API that was asked."""
        if self.is_dataverse:
            return dataverse.error(status, dataverse_code, message, headers)
        return graph.error(status, graph_code, message, headers)

    def token(self) -> tuple[str, Token | None, str] | None:
        """Kind of the link that is followed (delta, next), its token, and the text that tells it from others."""
        for option, kind in (("$deltatoken", "delta"), ("$skiptoken", "next")):
            if text := self.request.query.get(option):
                token = dataverse.token_of(self.request.query) if self.is_dataverse else Token.decode(text)
                return kind, token, text
        return None

    def is_tracked(self) -> bool:
        """Whether the request belongs to a change-tracking round."""
        followed = self.token()
        if self.is_dataverse and followed is not None:
            return followed[1] is not None and followed[1].option("tracked") is not None
        return "odata.track-changes" in self.request.prefer if self.is_dataverse else self.request.path.endswith("/delta")

    def selected(self) -> frozenset[str]:
        """The columns named by the request or by the round that its link continues."""
        followed = self.token()
        select = followed[1].option("$select") if followed is not None and followed[1] is not None else None
        return names(self.request.query.get("$select") or select) or frozenset()

    def removal(self, name: str) -> bytes:
        """A row that says that `name` was removed."""
        if self.is_dataverse:
            context = f"{self.request.origin}{dataverse.ROOT}/$metadata#{self.route.stream}/$deletedEntity"
            return orjson.dumps({"@odata.context": context, "id": name, "reason": "deleted"})
        return graph.removal(name, "deleted", KINDS.get(self.kind, ""))

    def row_id(self, row: bytes) -> str | None:
        """The id of an ordinary row; None for a removal or a broken line."""
        try:
            values = orjson.loads(row)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(values, dict) or "@removed" in values or values.get("reason") == "deleted":
            return None
        key = dataverse.ENTITY_SETS[self.route.stream].key if self.is_dataverse else "id"
        return values.get(key) if isinstance(values.get(key), str) else None

    def ghost(self) -> str:
        """An id that no record has."""
        digits = f"{self.chance.getrandbits(128):032x}"
        if not self.is_dataverse:
            return f"AAMkGhost{digits}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


Effect = Callable[[], Any]
FaultCode = Callable[..., Effect | None]


@dataclass
class Fault:
    """A kind of fault: its parameters with defaults, and its code at each stage (request, page, reply)."""

    parameters: dict[str, Any]
    stages: dict[str, FaultCode] = field(default_factory=dict)
    meaning: str = ""


FAULTS: dict[str, Fault] = {}


def fault(stage: str, **parameters: Any) -> Callable[[FaultCode], FaultCode]:
    """Register a function as a fault's code at a stage.

    The function returns what to do, or None where the fault cannot strike; `request` effects return a Reply, the others change
    the Page or Reply in place.
    """

    def register(code: FaultCode) -> FaultCode:
        known = FAULTS.setdefault(code.__name__.removesuffix(f"_on_{stage}"), Fault(parameters))
        known.stages[stage] = code
        known.meaning = known.meaning or (code.__doc__ or "").strip().splitlines()[0]
        return code

    return register


@dataclass
class Switch:
    """A fault that is on, and how often it could have struck and struck, by stream."""

    fault: str
    stream: str
    rate: float
    times: int | None
    after: int
    parameters: dict[str, Any]
    seen: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    memory: dict[Any, Any] = field(default_factory=dict)


class Faults:
    """The faults that are on. Without any, nothing is changed."""

    def __init__(self) -> None:
        self.seed: int | str = 0
        self.switches: list[Switch] = []
        self.in_flight: Counter[str] = Counter()

    def switch_on(self, switches: list[Mapping[str, Any]], seed: int | str = 0) -> None:
        """Replace what is on by `switches`; an empty list switches all off. Raises RapportError on an unknown name."""
        self.seed, self.switches = seed, [_switch(given) for given in switches]

    def counts(self) -> list[dict[str, Any]]:
        """For each switch how many requests it could strike (`seen`) and struck, in all and by stream."""
        return [
            {
                "fault": switch.fault,
                "stream": switch.stream,
                **switch.parameters,
                "seen": switch.seen.total(),
                "struck": switch.struck.total(),
                "by_stream": dict(switch.struck),
            }
            for switch in self.switches
        ]

    def is_on(self, name: str, stream: str) -> bool:
        """Whether a fault is on for a stream, whatever its rate."""
        return any(switch.fault == name and fnmatchcase(stream, switch.stream) for switch in self.switches)

    def on_request(self, request: Request, route: Route, tenant: Tenant) -> Reply | None:
        """The reply of the first fault that refuses the request, or None."""
        for position, switch in enumerate(self.switches):
            for effect in self._effects(position, switch, "request", request, route, tenant):
                return effect()
        return None

    def on_page(self, page: Page, request: Request, route: Route, tenant: Tenant) -> None:
        """Change a page as the faults have it."""
        for position, switch in enumerate(self.switches):
            for effect in self._effects(position, switch, "page", request, route, tenant, page):
                effect()

    def on_reply(self, reply: Reply, request: Request, route: Route, tenant: Tenant) -> None:
        """Change how a reply is carried."""
        for position, switch in enumerate(self.switches):
            for effect in self._effects(position, switch, "reply", request, route, tenant, reply):
                effect()

    def _effects(
        self, position: int, switch: Switch, stage: str, request: Request, route: Route, tenant: Tenant, *more: Any
    ) -> list[Effect]:
        code = FAULTS[switch.fault].stages.get(stage)
        if code is None or not fnmatchcase(route.stream, switch.stream):
            return []
        ordinal = switch.seen[route.stream]
        chance = random.Random(f"{self.seed}/{position}/{stage}/{route.stream}/{ordinal}")
        in_flight = self.in_flight[route.mailbox or ""]
        strike = Strike(request, route, tenant, switch.parameters, chance, switch.memory, in_flight)
        effect = code(strike, *more)
        if effect is None:
            return []
        if strike.is_certain:
            return [effect]
        switch.seen[route.stream] += 1
        spent = switch.times is not None and switch.struck[route.stream] >= switch.times
        if ordinal < switch.after or spent or chance.random() >= switch.rate:
            return []
        switch.struck[route.stream] += 1
        return [effect]


def _switch(given: Mapping[str, Any]) -> Switch:
    values = dict(given)
    name = str(values.pop("fault", ""))
    if name not in FAULTS:
        raise RapportError(f"there is no fault {name!r}: choose one of {', '.join(sorted(FAULTS))}")
    common = {"stream": "*", "rate": 1.0, "times": None, "after": 0}
    common |= {key: values.pop(key) for key in list(values) if key in common}
    if unknown := values.keys() - FAULTS[name].parameters.keys():
        known = ", ".join(sorted(FAULTS[name].parameters)) or "none of its own"
        raise RapportError(f"the fault {name} has no parameter {', '.join(sorted(unknown))}: it has {known}")
    return Switch(name, **common, parameters={**FAULTS[name].parameters, **values})


def _edited(row: bytes, changes: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    """The row with some columns changed, the others in the bytes they had; broken lines stay."""
    try:
        return msgspec.json.encode(changes(msgspec.json.decode(row, type=ROW_TYPE)))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return row


def _edit_rows(page: Page, strike: Strike, changes: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    page.rows = [_edited(row, changes) if strike.row_id(row) is not None else row for row in page.rows]


def _retry_after(kind: str | float | None, seconds: float | None) -> dict[str, str]:
    if kind in (None, "none"):
        return {}
    if kind not in RETRY_AFTER:
        return {"retry-after": str(kind)}
    wait = RETRY_AFTER[str(kind)] if seconds is None else seconds
    if kind == "date":
        return {"retry-after": format_datetime(clock.now() + timedelta(seconds=wait), usegmt=True)}
    return {"retry-after": str(wait if kind == "decimal" else max(round(wait), 0))}


def _throttle(strike: Strike, headers: dict[str, str], message: str) -> Reply:
    return strike.error(429, "0x80072322", "ApplicationThrottled", message, headers)


# requests that are refused


@fault("request", retry_after="integer", seconds=None)
def throttled(strike: Strike) -> Effect | None:
    """429; `retry_after` integer, decimal, date, long (300 s), none or a literal value; `seconds` replaces its length."""
    headers = _retry_after(strike["retry_after"], strike["seconds"])
    return lambda: _throttle(strike, headers, "Number of requests exceeded the limit of 6000 over time window of 300 seconds.")


@fault("request", limit=4, retry_after="integer", seconds=None)
def mailbox_concurrency(strike: Strike) -> Effect | None:
    """429 for a request of a mailbox that has `limit` others under way (`slow` makes them last)."""
    if strike.route.mailbox is None or strike.in_flight <= strike["limit"]:
        return None
    headers = _retry_after(strike["retry_after"], strike["seconds"])
    return lambda: _throttle(strike, headers, "Application is over its MailboxConcurrency limit.")


@fault("request", requests=100, window=1.0)
def global_rate(strike: Strike) -> Effect | None:
    """429 for requests above `requests` in `window` seconds, over all streams that the switch names."""
    now = clock.monotonic()
    times: deque[float] = strike.memory.setdefault("times", deque())
    while times and times[0] <= now - strike["window"]:
        times.popleft()
    if len(times) < strike["requests"]:
        times.append(now)
        return None
    wait = times[0] + strike["window"] - now
    return lambda: _throttle(strike, {"retry-after": f"{max(wait, 0.0):.3f}"}, "Too many requests.")


@fault("request", until_refreshed=False)
def unauthorized(strike: Strike) -> Effect | None:
    """401; with `until_refreshed` only for the bearer token that was struck first."""
    bearer = strike.request.headers.get("authorization", "")
    if strike["until_refreshed"] and strike.memory.get("bearer", bearer) != bearer:
        return None

    def effect() -> Reply:
        strike.memory.setdefault("bearer", bearer)
        return strike.error(401, "0x80072560", "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")

    return effect


@fault("request", code=None, privilege=None)
def forbidden(strike: Strike) -> Effect | None:
    """403 for a table (names the missing `privilege`) or a mailbox; `code` replaces the usual one."""
    if strike.is_dataverse:
        table = dataverse.ENTITY_SETS.get(strike.route.stream)
        privilege = strike["privilege"] or f"prvRead{table.logical_name if table else 'Entity'}"
        text = f"Principal user (Id={dataverse.USER_ID}, type=8) is missing {privilege} privilege."
        return lambda: dataverse.error(403, strike["code"] or "0x80040220", text)
    code = strike["code"] or ("Authorization_RequestDenied" if strike.kind in ("users", "groupMembers") else "ErrorAccessDenied")
    text = "Access is denied." if strike["privilege"] is None else f"Access is denied: {strike['privilege']} is missing."
    return lambda: graph.error(403, code, text)


@fault("request", code="alternate")
def not_found(strike: Strike) -> Effect | None:
    """404; `alternate` changes between the two codes of a mailbox that cannot be read, else the code given."""

    def effect() -> Reply:
        strike.memory["count"] = strike.memory.get("count", 0) + 1
        code = strike["code"]
        if code == "alternate":
            code = "MailboxNotEnabledForRESTAPI" if strike.memory["count"] % 2 else "ResourceNotFound"
        return strike.error(404, "0x80060888", code, "The resource could not be discovered.")

    return effect


@fault("request")
def server_error(strike: Strike) -> Effect | None:
    """500; once with `times` 1, else for good."""
    return lambda: strike.error(500, "0x80040216", "ErrorInternalServerError", "An internal server error occurred.")


@fault("request", status=503, retry_after=None, seconds=None)
def unavailable(strike: Strike) -> Effect | None:
    """503, or another `status` (502, 504, 509); `retry_after` as for throttled."""
    headers = _retry_after(strike["retry_after"], strike["seconds"])
    code = {504: "GatewayTimeout"}.get(strike["status"], "ServiceUnavailable")
    return lambda: strike.error(strike["status"], "", code, "The service is temporarily unavailable.", headers)


@fault("request", when="any", code=None, status=None)
def dead_token(strike: Strike) -> Effect | None:
    """A `delta` or `next` (or `any`) link that has died: 410 with one of five spellings, in Dataverse 0x80044352; it stays dead."""
    followed = strike.token()
    if followed is None or not strike.is_tracked():
        return None
    kind, _, text = followed
    if text in strike.memory:
        strike.is_certain = True
    elif strike["when"] not in ("any", kind):
        return None

    def effect() -> Reply:
        code = strike.memory.setdefault(text, strike["code"] or strike.chance.choice(DEAD_TOKEN_CODES))
        if strike.is_dataverse:
            return dataverse.error(strike["status"] or 400, strike["code"] or dataverse.EXPIRED[0], dataverse.EXPIRED[1])
        message = "The sync state generation is not found; generation=605;[highest=841][known=764]"
        return graph.error(strike["status"] or 410, code, message)

    return effect


@fault("request", column=None)
def column_missing(strike: Strike) -> Effect | None:
    """400 that names a `column` which the request selects and the source no longer has."""
    column = strike["column"]
    if column not in strike.selected():
        return None
    table = dataverse.ENTITY_SETS.get(strike.route.stream)
    owner = f"Microsoft.Dynamics.CRM.{table.logical_name}" if table else f"microsoft.graph.{KINDS.get(strike.kind, 'user')}"
    text = f"Could not find a property named '{column}' on type '{owner}'."
    return lambda: strike.error(400, "0x80060888", "RequestBroker-ParseUri", text)


@fault("request")
def change_tracking_off(strike: Strike) -> Effect | None:
    """A table whose change tracking is off: EntityDefinitions says so, and a request with change tracking is refused."""
    table = dataverse.ENTITY_SETS.get(strike.route.stream)
    if table is None or not strike.is_tracked():
        return None
    text = f"Change tracking is not enabled for the entity '{table.logical_name}'."
    return lambda: dataverse.error(400, "0x80060888", text)


@fault("request", headers=False)
def read_basic(strike: Strike) -> Effect | None:
    """The permission Mail.ReadBasic.All: no extended properties (403), and no `headers` unless true."""
    if strike.kind != "messageHeaders":
        return None
    return lambda: graph.error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")


# pages that are other than expected


@fault("page", headers=False)
def read_basic_on_page(strike: Strike, page: Page) -> Effect | None:
    if strike.kind != "messages" or strike["headers"]:
        return None
    return lambda: _drop(page, strike, {"internetMessageHeaders"})


def _drop(page: Page, strike: Strike, columns: set[str]) -> None:
    _edit_rows(page, strike, lambda row: {name: value for name, value in row.items() if name not in columns})


@fault("page")
def empty_page(strike: Strike, page: Page) -> Effect | None:
    """A page without rows whose nextLink leads to the rows."""

    def effect() -> None:
        page.rows, page.delta = [], None
        page.next = replace(page.here, kind="next", generation=page.here.generation + 1)

    return effect


@fault("page")
def empty_delta(strike: Strike, page: Page) -> Effect | None:
    """A round of changes that shows none and gives a new deltaLink; the next round has them."""
    if not page.is_delta_round or page.here.offset or page.here.kind != "delta":
        return None

    def effect() -> None:
        page.rows, page.next = [], None
        page.delta = replace(page.here, generation=page.here.generation + 1)

    return effect


@fault("page")
def empty_last_page(strike: Strike, page: Page) -> Effect | None:
    """The last rows come with a nextLink, and an empty page with the deltaLink after them."""
    if page.delta is None or not page.rows:
        return None

    def effect() -> None:
        page.delta = None
        page.next = replace(page.here, kind="next", offset=page.here.offset + len(page.rows))

    return effect


@fault("page", rows=1)
def partial_row(strike: Strike, page: Page) -> Effect | None:
    """A round of changes also shows `rows` unchanged messages with id, isRead and parentFolderId only."""
    if strike.kind != "messages" or not page.is_delta_round:
        return None
    members = _unchanged_members(strike, page)
    if not members:
        return None

    def effect() -> None:
        folder = strike.route.stream.split("/", 2)[2]
        for name in strike.chance.sample(members, min(strike["rows"], len(members))):
            page.rows.append(orjson.dumps({"id": name, "isRead": strike.chance.random() < 0.5, "parentFolderId": folder}))

    return effect


def _unchanged_members(strike: Strike, page: Page) -> list[str]:
    """Messages of the folder that the round of the page does not change."""
    _, user, folder = strike.route.stream.split("/", 2)
    box = strike.tenant.mailbox(user)
    changed = set(box.messages.touched_between(page.here.after, page.here.until))
    return [name for name in box.members(page.here.until).get(folder, ()) if name not in changed]


@fault("page")
def repeated_row(strike: Strike, page: Page) -> Effect | None:
    """A row of the page comes once more at its end."""
    rows = [row for row in page.rows if strike.row_id(row) is not None]
    return (lambda: page.rows.append(strike.chance.choice(rows))) if rows else None


@fault("page")
def removed_in_first_round(strike: Strike, page: Page) -> Effect | None:
    """A full round says that a record is removed, right before it shows it."""
    ids = [(place, name) for place, row in enumerate(page.rows) if (name := strike.row_id(row)) is not None]
    if page.is_delta_round or not strike.is_tracked() or not ids:
        return None

    def effect() -> None:
        place, name = strike.chance.choice(ids)
        page.rows.insert(place, strike.removal(name))

    return effect


@fault("page")
def removed_never_seen(strike: Strike, page: Page) -> Effect | None:
    """A removal of a record that was never shown."""
    return (lambda: page.rows.append(strike.removal(strike.ghost()))) if strike.is_tracked() else None


@fault("page")
def removed_outside_window(strike: Strike, page: Page) -> Effect | None:
    """A calendar round removes an event that lies outside its window (one of the mailbox, else one never seen)."""
    if strike.kind != "calendarView":
        return None

    def effect() -> None:
        window = graph.window_of(page.here)
        events = strike.tenant.mailbox(strike.route.stream.partition("/")[2]).events.at(page.here.until)
        outside = [n for n, r in events.items() if window and r.index["type"] != "seriesMaster" and not in_view(r, window)]
        page.rows.append(strike.removal(strike.chance.choice(outside) if outside else strike.ghost()))

    return effect


@fault("page")
def moved_away_and_back(strike: Strike, page: Page) -> Effect | None:
    """A message that went to another folder and came back: its removal is shown, its return is not."""
    if strike.kind != "messages" or not page.is_delta_round:
        return None
    members = _unchanged_members(strike, page)
    return (lambda: page.rows.append(strike.removal(strike.chance.choice(members)))) if members else None


@fault("page")
def links_first(strike: Strike, page: Page) -> Effect | None:
    """The links come before `value`."""

    def effect() -> None:
        page.links_first = True

    return effect


@fault("page")
def equal_delta_link(strike: Strike, page: Page) -> Effect | None:
    """The round's deltaLink is the one that was followed, so its changes come again."""
    if page.delta is None or "$deltatoken" not in strike.request.query:
        return None
    return lambda: page.links.update({"@odata.deltaLink": strike.request.url})


@fault("page")
def same_next_link(strike: Strike, page: Page) -> Effect | None:
    """The nextLink is the one that was followed."""
    if page.next is None or "$skiptoken" not in strike.request.query:
        return None
    return lambda: page.links.update({"@odata.nextLink": strike.request.url})


@fault("page", origin="https://elsewhere.example")
def cross_origin_link(strike: Strike, page: Page) -> Effect | None:
    """The page's link leads to another `origin`."""

    def effect() -> None:
        for name, token in (("@odata.nextLink", page.next), ("@odata.deltaLink", page.delta)):
            if token is not None:
                page.links[name] = strike["origin"] + page.link(token).removeprefix(strike.request.origin)

    return effect if page.next is not None or page.delta is not None else None


@fault("page")
def missing_link(strike: Strike, page: Page) -> Effect | None:
    """A page of a tracked round with neither link."""

    def effect() -> None:
        page.next = page.delta = None
        page.links.clear()

    return effect if strike.is_tracked() else None


@fault("page", column="sandbox_unknown", value="sandbox")
def unknown_column(strike: Strike, page: Page) -> Effect | None:
    """Every row has a `column` that nobody asked for, holding `value`."""
    return lambda: _edit_rows(page, strike, lambda row: {**row, strike["column"]: strike["value"]})


@fault("page", column=None, value=None)
def unknown_option(strike: Strike, page: Page) -> Effect | None:
    """Rows hold an option `value` that is not known, in `column` (Dataverse: statuscode; mail: importance; events: showAs)."""
    column, value = OPTIONS.get(strike.kind, ("statuscode", 999_000_001))
    column, value = strike["column"] or column, value if strike["value"] is None else strike["value"]
    return lambda: _edit_rows(page, strike, lambda row: {**row, column: value} if column in row else row)


@fault("page", column=None, value=None)
def wrong_type(strike: Strike, page: Page) -> Effect | None:
    """Rows hold `value` in `column`; without a column, booleans and whole numbers come as text."""

    def as_text(row: dict[str, Any]) -> dict[str, Any]:
        plain = {name: bytes(value) for name, value in row.items()}
        text = {name: value.decode() for name, value in plain.items() if value in (b"true", b"false") or value.isdigit()}
        return {**row, **text}

    def given(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, strike["column"]: strike["value"]}

    return lambda: _edit_rows(page, strike, as_text if strike["column"] is None else given)


@fault("page")
def broken_line(strike: Strike, page: Page) -> Effect | None:
    """One more record whose JSON is cut off, on a line of its own."""
    return lambda: page.rows.insert(strike.chance.randint(0, len(page.rows)), b'{"id": "AAMkBroken", "subject": "cut')


@fault("page", megabytes=50)
def big_page(strike: Strike, page: Page) -> Effect | None:
    """A page of that many megabytes, padded by a column that nobody asked for."""

    def effect() -> None:
        padding = strike["megabytes"] * 1_000_000 // max(len(page.rows), 1)
        if page.rows:
            _edit_rows(page, strike, lambda row: {**row, "sandbox_padding": "x" * padding})
        else:
            page.extra = b',"@sandbox.padding":"%b"' % (b"x" * padding)

    return effect


@fault("page", whole=True)
def sent_without_reply_headers(strike: Strike, page: Page) -> Effect | None:
    """Sent items lack `internetMessageHeaders` as a `whole`, or the reply headers in them."""
    if strike.kind != "messages":
        return None
    _, user, folder = strike.route.stream.split("/", 2)
    if "sentitems" not in strike.tenant.mailbox(user).path(folder, page.here.until):
        return None
    if strike["whole"]:
        return lambda: _drop(page, strike, {"internetMessageHeaders"})

    def without(row: dict[str, Any]) -> dict[str, Any]:
        if "internetMessageHeaders" not in row:
            return row
        headers = orjson.loads(bytes(row["internetMessageHeaders"]))
        if not isinstance(headers, list):
            return row
        kept = [h for h in headers if not isinstance(h, dict) or str(h.get("name")).lower() not in REPLY_HEADERS]
        return {**row, "internetMessageHeaders": kept}

    return lambda: _edit_rows(page, strike, without)


@fault("page")
def thin_occurrences(strike: Strike, page: Page) -> Effect | None:
    """Occurrences and exceptions lack what is the same in their series master, but for times and what ties them to it."""
    if strike.kind != "calendarView":
        return None
    events = strike.tenant.mailbox(strike.route.stream.partition("/")[2]).events.at(page.here.until)
    own = {"id", "type", "seriesMasterId", "start", "end", "originalStart", "iCalUId", "@odata.type", "@odata.etag"}

    def thin(row: dict[str, Any]) -> dict[str, Any]:
        name = orjson.loads(bytes(row["seriesMasterId"])) if "seriesMasterId" in row else None
        master = (events[name].columns() or {}) if isinstance(name, str) and name in events else {}
        same = {k for k, v in row.items() if k in master and orjson.loads(bytes(v)) == orjson.loads(bytes(master[k]))}
        return {k: v for k, v in row.items() if k in own or k not in same}

    return lambda: _edit_rows(page, strike, thin)


# replies that are carried badly


@fault("reply", bytes=None)
def truncated(strike: Strike, reply: Reply) -> Effect | None:
    """The connection is closed in order after `bytes` of the body (half of it), fewer than announced."""

    def effect() -> None:
        reply.announced = len(reply.body)
        reply.body = reply.body[: len(reply.body) // 2 if strike["bytes"] is None else strike["bytes"]]

    return effect if reply.status == 200 else None


@fault("reply", bytes=None)
def reset(strike: Strike, reply: Reply) -> Effect | None:
    """The connection is reset after `bytes` of the body (half of it); 0: before the reply."""

    def effect() -> None:
        reply.reset = len(reply.body) // 2 if strike["bytes"] is None else strike["bytes"]

    return effect if reply.status == 200 else None


@fault("reply", bytes=1024, seconds=0.01)
def drip(strike: Strike, reply: Reply) -> Effect | None:
    """The body comes `bytes` by `bytes` with a pause of `seconds` after each piece."""

    def effect() -> None:
        reply.chunk, reply.pause = strike["bytes"], strike["seconds"]

    return effect


@fault("reply", seconds=0.02)
def slow(strike: Strike, reply: Reply) -> Effect | None:
    """The reply waits `seconds` before it is sent."""

    def effect() -> None:
        reply.hold = strike["seconds"]

    return effect


def _is_plain(reply: Reply) -> bool:
    """Whether no other fault has laid hands on the body."""
    return "content-encoding" not in reply.headers and reply.announced is None and reply.reset is None


@fault("reply")
def zipped(strike: Strike, reply: Reply) -> Effect | None:
    """The body is compressed with gzip, whether the client asked for it or not."""

    def effect() -> None:
        reply.body = gzip.compress(reply.body, 1, mtime=0)
        reply.headers["content-encoding"] = "gzip"

    return effect if _is_plain(reply) else None


@fault("reply")
def bom(strike: Strike, reply: Reply) -> Effect | None:
    """The body starts with a byte order mark."""

    def effect() -> None:
        reply.body = b"\xef\xbb\xbf" + reply.body

    return effect if _is_plain(reply) else None


@fault("reply")
def not_json(strike: Strike, reply: Reply) -> Effect | None:
    """200 with a page of HTML in place of the body."""

    def effect() -> None:
        reply.body = b"<html><body>The service is being updated.</body></html>"
        reply.headers["content-type"] = "text/html"

    return effect if reply.status == 200 and _is_plain(reply) else None


@fault("reply", seconds=3600)
def clock_skew(strike: Strike, reply: Reply) -> Effect | None:
    """The Date header is `seconds` ahead."""

    def effect() -> None:
        reply.headers["date"] = format_datetime(clock.now() + timedelta(seconds=strike["seconds"]), usegmt=True)

    return effect


HARMLESS = (
    "throttled",
    "unauthorized",
    "server_error",
    "unavailable",
    "dead_token",
    "empty_page",
    "empty_delta",
    "empty_last_page",
    "partial_row",
    "repeated_row",
    "removed_in_first_round",
    "removed_never_seen",
    "removed_outside_window",
    "links_first",
    "equal_delta_link",
    "same_next_link",
    "cross_origin_link",
    "missing_link",
    "unknown_column",
    "thin_occurrences",
    "truncated",
    "reset",
    "zipped",
    "bom",
    "not_json",
)
"""Faults after which a client that tries again still ends with the tenant's final state, when they strike now and then."""
