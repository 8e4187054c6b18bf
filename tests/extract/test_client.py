"""How the client waits, retries and gives up, against replies made up one by one."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from jobs.extract.client import Access, Budget, Client, Limiter, retry_after
from jobs.extract.connection import Connection
from jobs.extract.errors import SourceError, StreamFailed, SyncStateLost
from tests.extract.world import Clock, settings

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
LINKED = '{"value":[{"id":"a"}],"@odata.deltaLink":"http://127.0.0.1/graph/x?$deltatoken=1"}'


class Source:
    """Answers with what is left in `replies`, the last one for ever; an exception is raised."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, httpx.Response) else httpx.Response(200, content=reply)


def error(status, code="", message="", **headers):
    return httpx.Response(status, json={"error": {"code": code, "message": message}}, headers=headers)


def fetch(source, tmp_path, clock=None, *, budget=900.0, is_link=False, target="/graph/x?$deltatoken=0", seen=None, token=None):
    clock = clock or Clock(NOW)

    async def work():
        connection = Connection("http://127.0.0.1/graph", token_source=token, transport=httpx.MockTransport(source))
        async with Client(connection, settings(tmp_path), clock.timing) as client:
            access = Access("odata.maxpagesize=7", Budget(budget))
            return await client.page(target, access, is_link=is_link, ends_with_delta=True, seen=seen or {target})

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7), ("2.128", 2.128), ("300", 300), ("0", 0), ("-3", 0), ("soon", None), ("", None), (None, None), ("nan", None),
        ("Mon, 01 Jun 2026 08:00:20 GMT", 20), ("Mon, 01 Jun 2026 07:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after_integer_decimal_and_date(header, seconds):
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize("header", ["2", "2.128", "300", "Mon, 01 Jun 2026 08:00:30 GMT"])
def test_429_waits_as_told_and_a_little_more(tmp_path, header):
    clock = Clock(NOW)
    fetch(Source(error(429, **{"Retry-After": header}), LINKED), tmp_path, clock)
    told = retry_after(header, NOW)
    assert len(clock.waits) == 1 and told - 0.01 <= clock.waits[0] <= told * 1.1 + 1.1


@pytest.mark.parametrize("header", ["0", "Mon, 01 Jun 2026 07:00:00 GMT"])
def test_429_that_may_be_asked_again_at_once_is_asked_less_and_less_often(tmp_path, header):
    clock = Clock(NOW)
    fetch(Source(*[error(429, **{"Retry-After": header})] * 12, LINKED), tmp_path, clock)
    assert clock.waits[0] < 0.2 and all(wait > 5 for wait in clock.waits[8:])


def test_429_without_retry_after_backs_off_longer_each_time(tmp_path):
    clock = Clock(NOW)
    fetch(Source(*[error(429)] * 6, LINKED), tmp_path, clock)
    assert len(clock.waits) == 6 and clock.waits[5] > clock.waits[0] * 4


@pytest.mark.parametrize(("status", "code"), [(429, ""), (400, "0x80072321"), (503, "0x8005F103"), (403, "-2147015902")])
def test_throttling_is_known_by_status_or_code_and_lowers_the_limit(tmp_path, status, code):
    clock = Clock(NOW)
    refusals = [error(status, code, **{"Retry-After": "9"})] * 6
    assert fetch(source := Source(*refusals, LINKED), tmp_path, clock).records and len(source.requests) == 7
    assert min(clock.waits) >= 9


def test_a_link_without_a_way_on_is_lost_in_the_end(tmp_path):
    for body in ('{"value": []}', LINKED.replace("deltaLink", "nextLink")):
        with pytest.raises(SyncStateLost):
            fetch(source := Source(body), tmp_path, is_link=True, seen={"/graph/x?$deltatoken=0", "/graph/x?$deltatoken=1"})
        assert len(source.requests) == 5


def test_waits_end_with_the_budget_and_name_the_next_try(tmp_path):
    clock = Clock(NOW)
    with pytest.raises(StreamFailed, match=r"429.*budget") as failed:
        fetch(Source(error(429, **{"Retry-After": "20000"})), tmp_path, clock)
    assert clock.waits == [] and failed.value.wait >= timedelta(seconds=20000)
    with pytest.raises(StreamFailed, match="budget"):
        fetch(Source(error(429, **{"Retry-After": "100"})), tmp_path, clock, budget=350)
    assert len(clock.waits) == 3


@pytest.mark.parametrize(
    "reply",
    [
        error(500),
        error(503),
        error(504),
        error(509),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("slow"),
        b"<html>",
        b'{"value":[{"id":',
    ],
)
def test_passing_failures_are_retried_and_lasting_ones_bounded(tmp_path, reply):
    clock = Clock(NOW)
    body = fetch(Source(reply, LINKED), tmp_path, clock)
    assert [bytes(text) for text in body.records] == [b'{"id":"a"}'] and len(clock.waits) == 1
    with pytest.raises(StreamFailed):
        fetch(source := Source(reply), tmp_path, clock)
    assert len(source.requests) == 5


def test_unreachable_host_is_an_error_of_the_connection(tmp_path):
    with pytest.raises(SourceError, match=r"cannot reach 127\.0\.0\.1"):
        fetch(Source(httpx.ConnectError("refused")), tmp_path)


def test_401_refreshes_the_token_once(tmp_path):
    given = iter(["stale", "fresh", "never"])
    asked = []

    def token(fresh):
        asked.append(fresh)
        return next(given)

    source = Source(error(401), LINKED)
    fetch(source, tmp_path, token=token)
    assert asked == [False, True]
    assert [r.headers["Authorization"] for r in source.requests] == ["Bearer stale", "Bearer fresh"]


def test_401_for_ever_is_given_up_after_one_refresh(tmp_path):
    source = Source(error(401, "InvalidAuthenticationToken"))
    with pytest.raises(StreamFailed, match="401"):
        fetch(source, tmp_path, token=lambda fresh: "same")
    assert len(source.requests) == 2


def test_links_to_another_origin_are_never_followed(tmp_path):
    for link in (
        "https://127.0.0.1/x",
        "http://127.0.0.1:81/x",
        "http://evil.example/x",
        "http://127.0.0.1@evil.example/x",
        "//evil.example/x",
        "/x",
        "http://127.0.0.1\\@evil.example/",
    ):
        source = Source(json.dumps({"value": [], "@odata.nextLink": link}))
        with pytest.raises(StreamFailed, match="another origin"):
            fetch(source, tmp_path)
        assert {r.url.host for r in source.requests} == {"127.0.0.1"}


def test_links_are_followed_exactly_as_sent(tmp_path):
    token = "$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520x%253d%2522'%22/%3E&$deltatoken=919042%2108%2f22%2f2017"
    body = fetch(Source(json.dumps({"value": [], "@odata.nextLink": f"http://127.0.0.1/graph/x?{token}"})), tmp_path)
    assert body.next == f"/graph/x?{token}"
    source = Source(LINKED)
    fetch(source, tmp_path, target=body.next)
    sent = source.requests[0].extensions.get("target", source.requests[0].url.raw_path)
    assert sent == body.next.encode()


def test_the_same_next_link_twice_is_a_fault(tmp_path):
    looping = json.dumps({"value": [], "@odata.nextLink": "http://127.0.0.1/graph/x?$deltatoken=0"})
    with pytest.raises(StreamFailed, match="same nextLink"):
        fetch(Source(looping), tmp_path)
    assert fetch(Source(looping, LINKED), tmp_path).delta == "/graph/x?$deltatoken=1"


def test_a_tracked_page_without_links_is_no_end(tmp_path):
    with pytest.raises(StreamFailed, match="neither nextLink nor deltaLink"):
        fetch(Source('{"value":[]}'), tmp_path)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (410, ""),
        (410, "Gone"),
        (400, "BadRequest"),
        (400, "SyncStateNotFound"),
        (404, "syncstatenotfound"),
        (410, "ResyncRequired"),
        (400, "0x80044352"),
        (412, "-2147204270"),
        (500, "0x80044352"),
    ],
)
def test_lost_state_is_known_by_code_whatever_the_status(tmp_path, status, code):
    with pytest.raises(SyncStateLost):
        fetch(Source(error(status, code)), tmp_path, is_link=True)


def test_the_code_of_an_error_is_read_behind_a_byte_order_mark(tmp_path):
    body = b"\xef\xbb\xbf" + json.dumps({"error": {"code": "0x80044352", "message": ""}}).encode()
    with pytest.raises(SyncStateLost):
        fetch(Source(httpx.Response(400, content=body)), tmp_path, is_link=True)


def test_lost_state_of_a_first_request_is_a_failure(tmp_path):
    with pytest.raises(StreamFailed, match="410"):
        fetch(Source(error(410, "SyncStateNotFound")), tmp_path, is_link=False)


def test_403_and_404_are_not_retried(tmp_path):
    for status in (403, 404, 400):
        with pytest.raises(StreamFailed, match=f"HTTP {status} Nope") as failed:
            fetch(source := Source(error(status, "Nope", "secret words")), tmp_path)
        assert len(source.requests) == 1 and "secret" not in str(failed.value) and failed.value.wait == timedelta(days=1)


def test_body_shorter_than_announced_is_fetched_again(tmp_path):
    short = httpx.Response(200, headers={"Content-Length": "9999"}, stream=httpx.ByteStream(LINKED.encode()))
    assert [bytes(text) for text in fetch(Source(short, LINKED), tmp_path).records] == [b'{"id":"a"}']


def test_prefer_is_sent_with_every_request(tmp_path):
    fetch(source := Source(LINKED), tmp_path)
    assert source.requests[0].headers["Prefer"] == "odata.maxpagesize=7"


def test_limit_grows_by_one_a_round_and_halves_when_throttled():
    clock = Clock(NOW)
    limiter = Limiter(32, clock.timing)
    assert limiter.limit == 8
    for _ in range(8):
        limiter.succeeded()
    assert 8.9 < limiter.limit < 9.1
    limiter.throttled()
    limiter.throttled()
    assert 4.4 < limiter.limit < 4.6
    clock.pass_by(seconds=2)
    for _ in range(9):
        clock.pass_by(seconds=2)
        limiter.throttled()
    assert limiter.limit == 1


def test_limiter_never_lets_more_in_and_loses_no_turn():
    clock = Clock(NOW)
    most = 0

    async def work():
        nonlocal most
        limiter = Limiter(3, clock.timing)
        active = 0

        async def one(n):
            nonlocal active, most
            async with limiter:
                active += 1
                most = max(most, active)
                await asyncio.sleep(0)
                active -= 1

        tasks = [asyncio.create_task(one(n)) for n in range(30)]
        await asyncio.sleep(0)
        for task in tasks[5:15]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(1), limiter:
            return limiter._active

    assert asyncio.run(work()) == 1 and most == 3
