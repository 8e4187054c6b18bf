"""Over real HTTP: tokens, breaking connections, concurrency, control, wrong folders."""

import asyncio
import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from jobs.errors import RapportError
from sandbox.commands import sandbox as command
from sandbox.server import Server, create_app
from sandbox.tenant import Tenant
from tests.sandbox.world import API, GRAPH, TRACKED, USER, account, delta, ids, mailbox, message, round_of, write


@pytest.fixture
def tenant(tmp_path: Path) -> Path:
    files = mailbox([message(name, "Inbox", bodyPreview="x" * 3000) for name in "abcd"])
    files["dataverse/accounts.jsonl"] = [account(1)]
    files["changes/001/dataverse/accounts.jsonl"] = [account(2)]
    return write(tmp_path / "tenant", files)


def test_control_over_http(tenant: Path) -> None:
    with Server(tenant) as server, httpx.Client(base_url=server.url) as http:
        rows, link = round_of(http, f"{server.dataverse_url}/api/data/v9.2/accounts", TRACKED)
        assert len(rows) == 1 and link.startswith(server.url)
        assert http.post("/sandbox/advance").json() == {"advanced": True, "step": 1, "steps": 1}
        assert len(round_of(http, link, TRACKED)[0]) == 1
        wrong = http.post("/sandbox/faults", json={"faults": [{"fault": "none"}]})
        assert wrong.status_code == 422 and "throttled" in wrong.json()["error"]
        http.post("/sandbox/faults", json={"faults": [{"fault": "throttled", "stream": "accounts"}], "seed": 3})
        assert http.get(f"{API}/accounts").status_code == 429
        assert http.get("/sandbox/faults").json()[0]["by_stream"] == {"accounts": 1}
        kinds = http.get("/sandbox/faults/kinds").json()
        assert kinds["reset"]["parameters"] == {"bytes": None} and all(kind["meaning"] for kind in kinds.values())
        assert http.get("/sandbox/state").json()["requests"] == {"accounts": 3}
        last = http.get("/sandbox/requests").json()[-1]
        assert (last["stream"], last["status"], last["path"]) == ("accounts", 429, f"{API}/accounts")


def test_a_required_token_is_checked(tenant: Path) -> None:
    with Server(tenant, token="right") as server, httpx.Client(base_url=server.url) as http:
        assert http.get(delta()).json()["error"]["code"] == "InvalidAuthenticationToken"
        assert http.get(f"{API}/WhoAmI", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert http.get(f"{API}/WhoAmI", headers={"authorization": "Bearer right"}).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [{"fault": "truncated"}, {"fault": "reset"}, {"fault": "reset", "bytes": 0}, {"fault": "truncated", "bytes": 0}],
)
def test_connections_break_off_for_real(tenant: Path, fault: dict[str, object]) -> None:
    with Server(tenant) as server, httpx.Client(base_url=server.url) as http:
        server.sandbox.switch_on([{**fault, "times": 1}])
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            http.get(delta())
        assert ids(round_of(http, delta())[0]) == list("abcd")


def test_drip_sends_piece_by_piece(tenant: Path) -> None:
    with Server(tenant) as server, httpx.Client(base_url=server.url) as http:
        server.sandbox.switch_on([{"fault": "drip", "bytes": 500, "seconds": 0.002}])
        with http.stream("GET", delta()) as reply:
            assert len(list(reply.iter_raw())) > 10
        server.sandbox.switch_on([{"fault": "zipped"}])
        assert ids(round_of(http, delta())[0]) == list("abcd")


def test_more_than_four_requests_of_a_mailbox_at_once_are_throttled(tenant: Path) -> None:
    with Server(tenant) as server, httpx.Client(base_url=server.url) as http, ThreadPoolExecutor(8) as pool:
        server.sandbox.switch_on([{"fault": "slow", "seconds": 0.3}, {"fault": "mailbox_concurrency", "limit": 4}])
        statuses = list(pool.map(lambda _: http.get(delta()).status_code, range(8)))
        assert statuses.count(200) >= 4 and statuses.count(429) >= 1
        assert server.sandbox.state()["most_in_flight"][USER] > 4
        server.sandbox.switch_on([{"fault": "mailbox_concurrency", "limit": 1}])
        assert http.get(delta()).status_code == 200
        assert server.sandbox.faults.in_flight[USER] == 0


def test_in_process_by_an_asgi_transport(tenant: Path) -> None:
    async def ask() -> tuple[int, int]:
        app = create_app(tenant)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://sandbox") as http:
            found = (await http.get(f"{GRAPH}/mailFolders")).status_code, (await http.post("/sandbox/advance")).status_code
            app.sandbox.switch_on([{"fault": "reset"}])
            with pytest.raises(httpx.ReadError):
                await http.get(delta())
            return found

    assert asyncio.run(ask()) == (200, 200)


def test_wrong_folders_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RapportError, match="is no folder"):
        Tenant(tmp_path / "file")
    with pytest.raises(RapportError, match="neither a dataverse nor a graph folder"):
        Tenant(tmp_path)
    folder = write(tmp_path / "tenant", {"dataverse/accounts.jsonl": [account(1)]})
    with pytest.raises(RapportError, match="there is no step 2"):
        Tenant(folder, step=2)
    (folder / "tenant.json").write_text("{")
    with pytest.raises(RapportError, match=r"tenant\.json cannot be read as JSON"):
        Tenant(folder)


def test_g1_tenant_json_may_be_missing(tmp_path: Path) -> None:
    folder = write(tmp_path / "bare", {"dataverse/accounts.jsonl": [account(1)]})
    (folder / "tenant.json").unlink()
    assert create_app(folder).sandbox.state()["name"] == "bare"


def test_a_file_that_cannot_be_read_fails_its_requests_alone(tmp_path: Path) -> None:
    folder = write(tmp_path, {"dataverse/accounts.jsonl": [account(1)], "dataverse/contacts.jsonl.gz": []})
    packed = folder / "dataverse" / "contacts.jsonl.gz"
    packed.write_bytes(gzip.compress(b"x" * 1000)[:20])
    with Server(folder) as server, httpx.Client(base_url=server.url) as http:
        error = http.get(f"{API}/contacts")
        assert error.status_code == 500 and str(packed) in error.json()["error"]["message"]
        assert http.get(f"{API}/accounts").status_code == 200


def test_a_port_in_use_is_one_line(tenant: Path) -> None:
    with Server(tenant) as server:
        port = server.url.rpartition(":")[2]
        result = CliRunner().invoke(command, ["--tenant", str(tenant), "--port", port])
        assert isinstance(result.exception, RapportError) and "give another --port" in str(result.exception)
