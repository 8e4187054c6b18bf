"""An HTTP client for both sources that waits, retries and gives up as they document it."""

import asyncio
import gc
import logging
import random
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson

from jobs import clock
from jobs.extract.connection import Connection
from jobs.extract.errors import AT_ONCE, DAILY, SOON, SourceError, StreamFailed, SyncStateLost
from jobs.extract.pages import BOM, BadPage, Body, NoWayOn, parse, read_record
from jobs.settings import Settings

TRIES = 5
TIMEOUT = httpx.Timeout(60, connect=15, pool=None).as_dict()
LONGEST_BACKOFF = 60.0
SHORTEST_WAIT = 0.05
THROTTLED = {429, 503, 504, 509}
DATAVERSE_EXPIRED = {"0x80044352", "-2147204270"}
DATAVERSE_THROTTLED = {
    "0x80072321", "0x80072322", "0x80072326", "0x80060308", "0x8005f103", "-2147015903", "-2147015902", "-2147015898",
}  # fmt: skip
"""Codes of a request that is one too many, whatever its status."""
T = TypeVar("T")

for _noisy in ("httpx", "httpcore", "azure"):
    # their INFO lines hold addresses with user ids and sync tokens
    logging.getLogger(_noisy).setLevel(logging.WARNING)


@dataclass
class Timing:
    """The clock, waiting and chance that a client uses; tests bring their own."""

    now: Callable[[], datetime] = clock.now
    monotonic: Callable[[], float] = clock.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: random.Random = field(default_factory=random.Random)


class Budget:
    """Seconds that one stream may spend waiting in a run."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def spend(self, seconds: float, reason: str) -> None:
        """Take `seconds`, or give the stream up until the wait is over."""
        if seconds > self.left:
            raise StreamFailed(f"{reason}; the retry budget is spent", wait=max(SOON, timedelta(seconds=seconds)))
        self.left -= seconds


class Limiter:
    """The number of requests at a time: one more for every round of successes, half after a throttled one."""

    def __init__(self, ceiling: int, timing: Timing) -> None:
        self.ceiling = ceiling
        self.limit = float(min(8, ceiling))
        self._active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timing = timing
        self._halved_at: float | None = None

    async def __aenter__(self) -> None:
        if self._active < int(self.limit) and not self._waiting:
            self._active += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._active -= 1
            self._wake()
            raise

    async def __aexit__(self, *exc: object) -> None:
        self._active -= 1
        self._wake()

    def succeeded(self) -> None:
        """A request went through."""
        self.limit = min(float(self.ceiling), self.limit + 1 / self.limit)
        self._wake()

    def throttled(self) -> None:
        """A request was refused as one too many; answers of one burst count once."""
        at = self._timing.monotonic()
        if self._halved_at is None or at - self._halved_at >= 1:
            self._halved_at = at
            self.limit = max(1.0, self.limit / 2)

    def _wake(self) -> None:
        while self._waiting and self._active < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self._active += 1
                turn.set_result(None)


def retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, an integer, a decimal or an HTTP date; None where there is none to read."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


@dataclass
class Access:
    """How requests of one stream are made: preference header, retry budget, the turns of its mailbox."""

    prefer: str
    budget: Budget
    turns: asyncio.Semaphore | None = None


@dataclass(frozen=True)
class Probe:
    """What one request came to: status, the error's code and message, the column that is refused, the body, and by how many
    seconds the source's clock is ahead of ours."""

    status: int
    code: str
    message: str
    refused_column: str | None
    body: bytes
    skew: float | None


class Client:
    """Requests to one source. `target` is always a path and query on the connection's own origin."""

    def __init__(self, connection: Connection, settings: Settings, timing: Timing) -> None:
        self.connection, self.settings, self.timing = connection, settings, timing
        self.base_path = urlsplit(connection.base_url).path
        self.limiter = Limiter(settings.max_requests, timing)
        self.requests = 0
        self._stack = AsyncExitStack()
        self._idle: list[httpx.AsyncBaseTransport] = []
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity" if connection.is_loopback else "gzip, deflate",
            "User-Agent": "rapport",
        }
        self._tls = httpx.create_ssl_context(verify=connection.origin.startswith("https:"))
        self._token: str | None = None
        self._token_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        # pages are big trees without cycles: looking through them for garbage would cost a fifth of the run
        self._stack.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(100_000, 20, 100)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def _network(self) -> AsyncIterator[httpx.AsyncBaseTransport]:
        """The way of one request, a connection of its own: a pool looks at each of its connections for every request."""
        network = self._idle.pop() if self._idle else await self._stack.enter_async_context(self._new_network())
        try:
            yield network
        finally:
            self._idle.append(network)

    def _new_network(self) -> httpx.AsyncBaseTransport:
        return self.connection.transport or httpx.AsyncHTTPTransport(
            verify=self._tls,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=1),
            proxy=self.connection.proxy,
        )

    async def page(self, target: str, access: Access, *, is_link: bool, ends_with_delta: bool, seen: set[str]) -> Body:
        """One page. `is_link`: the target is a link of the source, whose loss raises SyncStateLost.

        A page is fetched again, a few times, when it is cut short, has a link that leads elsewhere, a nextLink in `seen`, or
        (`ends_with_delta`) no link at all. A link that in the end leads to neither is as good as lost: it may be that of a listing
        that began while the table was not tracked.
        """

        def accept(data: bytes) -> Body:
            body = parse(data, self.connection.origin)
            if body.next is None and body.delta is None and ends_with_delta:
                raise NoWayOn("the page has neither nextLink nor deltaLink")
            if body.next is not None and body.next in seen:
                raise NoWayOn("the same nextLink came twice")
            return body

        return await self.fetch(target, access, accept, is_link=is_link)

    async def entity(self, target: str, access: Access) -> dict[str, Any]:
        """A single record."""

        def accept(data: bytes) -> dict[str, Any]:
            found = read_record(data.removeprefix(BOM))
            if not isinstance(found, dict):
                raise BadPage("the answer is no JSON object")
            return found

        return await self.fetch(target, access, accept, is_link=False)

    async def collection(self, target: str, access: Access) -> list[Any]:
        """All records of a collection that is read whole; what stands in the place of one is a `Reject` or no object."""
        found: list[Any] = []
        seen = {target}
        following: str | None = target
        while following is not None:
            body = await self.page(following, access, is_link=False, ends_with_delta=False, seen=seen)
            found += map(read_record, body.records)
            if (following := body.next) is not None:
                seen.add(following)
        return found

    async def probe(self, target: str, access: Access) -> Probe:
        """One request without retries, whatever comes of it. Raises SourceError for an unreachable host and a refused sign-in."""
        try:
            answer = await self._send(target, access)
        except (httpx.TransportError, TimeoutError) as error:
            raise self._unreachable(type(error).__name__) from None
        code, message = _error_of(answer)
        refused = _refused_column(target, message) if answer.status_code == 400 else None
        skew = None
        with suppress(TypeError, ValueError):
            skew = (parsedate_to_datetime(answer.headers.get("Date")) - self.timing.now()).total_seconds()
        return Probe(answer.status_code, code, message, refused, answer.content, skew)

    def _unreachable(self, reason: str) -> SourceError:
        host = urlsplit(self.connection.origin).netloc
        return SourceError(f"cannot reach {host} ({reason}): check the connection's host and the network")

    async def fetch(self, target: str, access: Access, accept: Callable[[bytes], T], *, is_link: bool) -> T:
        """What `accept` makes of the body at `target`.

        Raises StreamFailed when the source refuses or goes on failing, SyncStateLost, and SourceError for an unreachable host.
        """
        tries = throttled = unreachable = 0
        is_refreshed = False
        while True:
            wait: float | None = None
            status = 0
            is_stuck = False
            try:
                async with access.turns or nullcontext(), self.limiter:
                    answer = await self._send(target, access)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                tries, unreachable = tries + 1, unreachable + 1
                reason = type(error).__name__
            except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
                tries, unreachable = tries + 1, 0
                reason = f"the connection broke ({type(error).__name__})"
            else:
                unreachable, status = 0, answer.status_code
                if status == 200:
                    try:
                        found = accept(_whole_body(answer))
                    except BadPage as error:
                        tries += 1
                        reason, is_stuck = str(error), isinstance(error, NoWayOn)
                    else:
                        self.limiter.succeeded()
                        return found
                elif status == 401 and not is_refreshed:
                    is_refreshed = True
                    await self._renew_token(answer.request.headers.get("Authorization"))
                    continue
                else:
                    reason = self._refusal(answer, target, is_link)
                    is_throttled = status == 429 or _error_of(answer)[0].lower() in DATAVERSE_THROTTLED
                    if is_throttled or status in THROTTLED:
                        wait = retry_after(answer.headers.get("Retry-After"), self.timing.now())
                    if is_throttled:
                        self.limiter.throttled()
                        throttled += 1
                    else:
                        tries += 1
            pause = self._pause(wait, tries + throttled)
            if unreachable and (unreachable >= TRIES or pause > access.budget.left):
                raise self._unreachable(reason)
            if tries >= TRIES and is_stuck and is_link:
                raise SyncStateLost(reason)
            if tries >= TRIES:
                raise StreamFailed(reason, status=status)
            access.budget.spend(pause, reason)
            await self.timing.sleep(pause)

    def _pause(self, wait: float | None, attempt: int) -> float:
        chance = self.timing.chance.random()
        if wait is not None:
            # a source that says zero again and again is not to be hammered
            wait = max(wait, SHORTEST_WAIT * 2 ** min(attempt - 1, 7))
            return wait + chance * min(1.0, 0.1 * wait + 0.05)
        return min(LONGEST_BACKOFF, 0.5 * 2 ** min(attempt - 1, 10)) * (0.5 + chance / 2)

    async def _send(self, target: str, access: Access) -> httpx.Response:
        async with self._token_lock:
            if self._token is None:
                self._token = await self.connection.token()
        headers = dict(self._headers)
        if access.prefer:
            headers["Prefer"] = access.prefer
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        url = httpx.URL(self.connection.origin + target)
        extensions: dict[str, Any] = {"timeout": TIMEOUT}
        if url.raw_path != target.encode():
            extensions["target"] = target.encode()
        request = httpx.Request("GET", url, headers=headers, extensions=extensions)
        self.requests += 1
        async with self._network() as network, asyncio.timeout(self.settings.request_timeout_seconds):
            answer = await network.handle_async_request(request)
            answer.request = request
            try:
                await answer.aread()
            finally:
                await answer.aclose()
            return answer

    async def _renew_token(self, refused: str | None) -> None:
        async with self._token_lock:
            if self._token is None or refused == f"Bearer {self._token}":
                self._token = await self.connection.token(fresh=True)

    def _refusal(self, answer: httpx.Response, target: str, is_link: bool) -> str:
        """Why an answer is none, when it may be asked again; else raises what it means."""
        status, code, message = answer.status_code, *_error_of(answer)
        reason = f"HTTP {status}" + (f" {code}" if code else "")
        lost = code.lower() in DATAVERSE_EXPIRED or code.lower() == "syncstatenotfound" or code.lower().startswith("resync")
        if is_link and (status == 410 or lost):
            raise SyncStateLost(reason)
        if status == 429 or code.lower() in DATAVERSE_THROTTLED or (status >= 500 and status != 501) or status == 408:
            return reason
        if status == 401:
            raise StreamFailed(f"{reason}: the access token is refused", wait=AT_ONCE, status=status, code=code)
        if status == 400 and (column := _refused_column(target, message)):
            raise StreamFailed(f"the source refuses the column {column} ({reason})", wait=DAILY, status=status, code=code)
        if is_link and status == 400:
            # a link is the source's own: one that it cannot read any more will not do tomorrow either
            raise SyncStateLost(reason)
        raise StreamFailed(reason, wait=DAILY, status=status, code=code)


def _refused_column(target: str, message: str) -> str | None:
    """The column that an error message is about: one that was selected, else one that it says is none."""
    selected = parse_qs(urlsplit(target).query).get("$select", [""])[0].split(",")
    words = re.findall(r"[\w.@]+", message)
    found = next((column for column in selected if column in words), None)
    named = re.search(r"property named '([\w.@]{1,100})'", message)
    return found or (named[1] if named else None)


def _whole_body(answer: httpx.Response) -> bytes:
    data = answer.content
    announced = answer.headers.get("Content-Length")
    if announced and announced.isdigit() and "Content-Encoding" not in answer.headers and len(data) != int(announced):
        raise BadPage("the body is shorter than announced")
    return data


def _error_of(answer: httpx.Response) -> tuple[str, str]:
    """Code and message of an error body, empty where there are none."""
    try:
        error = orjson.loads(answer.content.removeprefix(BOM))["error"]
        code, message = error.get("code"), error.get("message")
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
        return "", ""
    code = str(code) if isinstance(code, (str, int)) else ""
    return code if len(code) <= 80 and code.isprintable() else "", message if isinstance(message, str) else ""
