"""The sandbox as a server: one synchronous core, served over HTTP by uvicorn, or in-process by `Transport`."""

import asyncio
import socket
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pydantic
import uvicorn
from fastapi.responses import JSONResponse

from jobs import clock
from jobs.errors import RapportError
from sandbox import dataverse, graph
from sandbox.dataverse import Dataverse
from sandbox.faults import FAULTS, Faults
from sandbox.graph import Graph
from sandbox.odata import Reply, Request, Token
from sandbox.route import Route
from sandbox.tenant import Tenant

REQUESTS_KEPT = 20_000
START_SECONDS = 30.0


class Sandbox:
    """A tenant behind both APIs; `respond` answers one request, whatever carried it.

    `token`: the bearer token that every request must bring (none: any caller). `step`: how many steps of `changes/` are applied
    at the start. `requests` keeps the latest requests for tests: stream, mailbox, path, query, prefer, status.
    """

    def __init__(self, tenant_dir: Path | str, *, token: str | None = None, step: int = 0) -> None:
        self.tenant = Tenant(Path(tenant_dir), step)
        self.token = token
        self.faults = Faults()
        self.dataverse = Dataverse(self.tenant, lambda table: self.faults.is_on("change_tracking_off", table))
        self.graph = Graph(self.tenant)
        self.requests: deque[dict[str, Any]] = deque(maxlen=REQUESTS_KEPT)
        self.request_counts: Counter[str] = Counter()
        self.most_in_flight: Counter[str] = Counter()
        self._lock = threading.RLock()

    def respond(self, request: Request) -> Reply:
        """The reply to a request; errors have the shape of the API that was asked.

        Whoever carries the reply calls `done` when it is sent: until then the request counts as under way.
        """
        with self._lock:
            error = dataverse.error if request.path.startswith(dataverse.ROOT) else graph.error
            mailbox = None
            try:
                self._catch_up(request)
                route = self._route(request)
                mailbox = route.mailbox
                self._begin(mailbox)
                reply = self._answer(request, route, error)
                self.faults.on_reply(reply, request, route, self.tenant)
            except RapportError as broken:
                reply = error(500, "SandboxTenant", str(broken))
                route = Route(stream="", answer=lambda: reply)
            reply.mailbox = mailbox
            self._note(request, route, reply)
        reply.headers.setdefault("date", format_datetime(clock.now(), usegmt=True))
        return reply

    def done(self, reply: Reply) -> None:
        """The reply was sent, or broke off."""
        if reply.mailbox is not None:
            with self._lock:
                self.faults.in_flight[reply.mailbox] -= 1

    def advance(self) -> dict[str, Any]:
        """Apply the next step of `changes/`."""
        with self._lock:
            return {"advanced": self.tenant.advance(), "step": self.tenant.step, "steps": self.tenant.steps}

    def state(self) -> dict[str, Any]:
        """What is served and what was asked, for tests."""
        with self._lock:
            return {
                "name": self.tenant.description["name"],
                "step": self.tenant.step,
                "steps": self.tenant.steps,
                "requests": dict(self.request_counts),
                "most_in_flight": dict(self.most_in_flight),
            }

    def switch_on(self, faults: list[dict[str, Any]], seed: int | str = 0) -> list[dict[str, Any]]:
        """Replace the faults that are on; see `sandbox.faults`. Raises RapportError on an unknown fault or parameter."""
        with self._lock:
            self.faults.switch_on(faults, seed)
            return self.faults.counts()

    def _catch_up(self, request: Request) -> None:
        """A link of a later step, from before a restart, brings the tenant to that step."""
        if "$deltatoken" in request.query or "$skiptoken" in request.query:
            text = request.query.get("$deltatoken", request.query.get("$skiptoken", ""))
            in_dataverse = request.path.startswith(dataverse.ROOT)
            token = dataverse.token_of(request.query) if in_dataverse else Token.decode(text)
            while token is not None and self.tenant.step < token.until and self.tenant.advance():
                pass

    def _begin(self, mailbox: str | None) -> None:
        if mailbox is not None:
            self.faults.in_flight[mailbox] += 1
            self.most_in_flight[mailbox] = max(self.most_in_flight[mailbox], self.faults.in_flight[mailbox])

    def _route(self, request: Request) -> Route:
        for api, root in ((self.dataverse, dataverse.ROOT), (self.graph, graph.ROOT)):
            if request.path == root or request.path.startswith(f"{root}/"):
                return api.route(request)
        return Route("", lambda: graph.error(404, "NotFound", f"The sandbox serves {dataverse.ROOT}/ and {graph.ROOT}/."))

    def _answer(self, request: Request, route: Route, error: Any) -> Reply:
        if request.method != "GET":
            return error(405, "MethodNotAllowed", f"The sandbox is read only: it does not take {request.method}.")
        if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
            return error(401, "InvalidAuthenticationToken", "Access token is missing or not the one expected.")
        refusal = self.faults.on_request(request, route, self.tenant)
        if refusal is not None:
            return refusal
        answer = route.answer()
        if isinstance(answer, Reply):
            return answer
        self.faults.on_page(answer, request, route, self.tenant)
        return answer.render()

    def _note(self, request: Request, route: Route, reply: Reply) -> None:
        self.request_counts[route.stream] += 1
        self.requests.append(
            {
                "stream": route.stream,
                "mailbox": route.mailbox,
                "path": request.path,
                "query": request.query,
                "prefer": request.headers.get("prefer", ""),
                "status": reply.status,
            }
        )


class WantedFaults(pydantic.BaseModel):
    """The body of `POST /sandbox/faults`: switches as `sandbox.faults` describes them, and the seed of their chances."""

    faults: list[dict[str, Any]]
    seed: int | str = 0


class Application:
    """The ASGI application: the two APIs by the core, `/sandbox/...` by FastAPI (its own description is at `/sandbox/docs`)."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.control = _control(sandbox)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox"):
            await self.control(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        origin = f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}"
        request = Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers, origin)
        reply = self.sandbox.respond(request)
        try:
            await _send(reply, send)
        finally:
            self.sandbox.done(reply)


def _broken_off(reply: Reply) -> httpx.TransportError:
    """What httpx raises on a real connection that breaks off like this."""
    if reply.reset is not None:
        return httpx.ReadError("connection reset by peer")
    return httpx.RemoteProtocolError("peer closed connection without sending complete message body")


async def _send(reply: Reply, send: Any) -> None:
    if reply.hold:
        await asyncio.sleep(reply.hold)
    headers = {**reply.headers, "content-length": str(len(reply.body) if reply.announced is None else reply.announced)}
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    carrier = getattr(getattr(send, "__self__", None), "transport", None)
    if reply.reset == 0:
        if carrier is None:
            raise _broken_off(reply)
        carrier.abort()
        return
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    if reply.reset is not None or reply.announced is not None:
        await send({"type": "http.response.body", "body": reply.body[: reply.reset], "more_body": True})
        if carrier is None:
            raise _broken_off(reply)
        await asyncio.sleep(0.01)
        (carrier.abort if reply.reset is not None else carrier.close)()
        return
    if reply.chunk:
        for start in range(0, len(reply.body), reply.chunk):
            await send({"type": "http.response.body", "body": reply.body[start : start + reply.chunk], "more_body": True})
            await asyncio.sleep(reply.pause)
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": reply.body})


def _control(sandbox: Sandbox) -> fastapi.FastAPI:
    control = fastapi.FastAPI(
        title="Rapport sandbox", openapi_url="/sandbox/openapi.json", docs_url="/sandbox/docs", redoc_url=None
    )

    @control.post("/sandbox/advance")
    async def advance() -> dict[str, Any]:
        """Apply the next step of `changes/`; `advanced` is false when there was none left."""
        return sandbox.advance()

    @control.post("/sandbox/faults", response_model=None)
    async def switch_on(wanted: WantedFaults) -> list[dict[str, Any]] | JSONResponse:
        """Replace the faults that are on (an empty list: none); answers with their counts."""
        try:
            return sandbox.switch_on(wanted.faults, wanted.seed)
        except RapportError as error:
            return JSONResponse({"error": str(error)}, 422)

    @control.get("/sandbox/faults")
    async def faults() -> list[dict[str, Any]]:
        """How often each fault that is on could have struck, and struck."""
        return sandbox.faults.counts()

    @control.get("/sandbox/faults/kinds")
    async def kinds() -> dict[str, dict[str, Any]]:
        """The faults that can be switched on: meaning, and parameters with their defaults."""
        return {name: {"meaning": known.meaning, "parameters": known.parameters} for name, known in FAULTS.items()}

    @control.get("/sandbox/state")
    async def state() -> dict[str, Any]:
        """The tenant's name, its step, and how often each stream was asked for."""
        return sandbox.state()

    @control.get("/sandbox/requests")
    async def requests() -> list[dict[str, Any]]:
        """The latest requests, oldest first."""
        return list(sandbox.requests)

    return control


def create_app(tenant_dir: Path | str, **options: Any) -> Application:
    """The ASGI application over a tenant folder; options are those of `Sandbox`.

    Raises RapportError where the folder cannot be served.
    """
    return Application(Sandbox(tenant_dir, **options))


def _server(application: Application) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="critical",
            access_log=False,
            lifespan="off",
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise RapportError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; give another --port") from None
    return listener


def serve(application: Application, port: int) -> None:
    """Serve on the loopback port until interrupted."""
    _server(application).run(sockets=[_listen(port)])


class Server:
    """Serves a tenant from a thread of this process on a free loopback port, as a context manager.

    `url` is the origin, `dataverse_url` and `graph_url` are the hosts of the two connections; `sandbox` is the core.
    """

    def __init__(self, tenant_dir: Path | str, *, port: int = 0, **options: Any) -> None:
        application = create_app(tenant_dir, **options)
        self.sandbox = application.sandbox
        self._server = _server(application)
        self._listener = _listen(port)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.dataverse_url = f"{self.url}/dataverse"
        self.graph_url = f"{self.url}/graph"

    def __enter__(self) -> "Server":
        self._thread.start()
        deadline = clock.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or clock.monotonic() > deadline:
                raise RapportError("the sandbox did not start")
            clock.sleep(0.005)
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._listener.close()


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A reply's body; one that breaks off raises what httpx raises on a real connection."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def __iter__(self) -> Iterator[bytes]:
        yield self._reply.body[: self._reply.reset]
        if self._reply.reset is not None or self._reply.announced is not None:
            raise _broken_off(self._reply)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The sandbox inside the process of an httpx client, synchronous or asynchronous; only `slow` waits."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        reply = self._reply(request)
        try:
            if reply.hold:
                clock.sleep(reply.hold)
            return _response(reply, request)
        finally:
            self.sandbox.done(reply)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = self._reply(request)
        try:
            if reply.hold:
                await asyncio.sleep(reply.hold)
            return _response(reply, request)
        finally:
            self.sandbox.done(reply)

    def _reply(self, request: httpx.Request) -> Reply:
        path, _, query = request.url.raw_path.decode("latin-1").partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        origin = f"{request.url.scheme}://{request.headers['host']}"
        return self.sandbox.respond(Request(request.method, path, query, headers, origin))


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    if reply.reset == 0:
        raise httpx.ReadError("connection reset by peer", request=request)
    announced = len(reply.body) if reply.announced is None else reply.announced
    return httpx.Response(reply.status, headers={**reply.headers, "content-length": str(announced)}, stream=_Body(reply))
