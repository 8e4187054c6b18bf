"""Bodies of pages: whole JSON, JSON line by line, and what must be fetched again."""

import hashlib
import random

import orjson
import pytest

from jobs.extract.pages import BadPage, Reject, parse, read_record

ORIGIN = "https://graph.example"
LINK = "https://graph.example/v1.0/x?$skiptoken=a%2Fb"


def records(body: bytes) -> list:
    return [read_record(text) for text in parse(body, ORIGIN).records]


def page(*lines: bytes, links_first: bool = False, link: str = LINK) -> bytes:
    tail = b'"@odata.nextLink":' + orjson.dumps(link)
    if links_first:
        return b'{"@odata.context":"c",\n' + tail + b',"value":[\n' + b",\n".join(lines) + b"\n]}"
    return b'{"@odata.context":"c","value":[\n' + b",\n".join(lines) + b"\n],\n" + tail + b"}"


def test_links_before_or_after_value_and_a_bom():
    for body in (page(b'{"id":1}'), page(b'{"id":1}', links_first=True), b"\xef\xbb\xbf" + page(b'{"id":1}')):
        found = parse(body, ORIGIN)
        assert (records(body), found.next, found.delta) == ([{"id": 1}], "/v1.0/x?$skiptoken=a%2Fb", None)


@pytest.mark.parametrize("links_first", [False, True])
def test_a_line_that_does_not_parse_is_one_rejected_record(links_first):
    bad = b'{"id": "cut", "subject": "off'
    body = page(b'{"id":1}', bad, b"[1, 2]", b"]", b'{"id":2}', links_first=links_first)
    assert parse(body, ORIGIN).next == "/v1.0/x?$skiptoken=a%2Fb"
    rejects = [r for r in records(body) if isinstance(r, Reject)]
    assert [r for r in records(body) if not isinstance(r, Reject)] == [{"id": 1}, [1, 2], {"id": 2}]
    assert rejects[0] == Reject("not_json", len(bad), hashlib.sha256(bad).hexdigest()) and len(rejects) == 2


def test_the_comma_after_the_last_record_is_its_own():
    assert [record.reason for record in records(page(b'{"id":1},', b'{"id":2},'))] == ["not_json", "not_json"]


def test_a_link_inside_a_broken_record_is_not_taken():
    evil = b'{"id": 1, "@odata.nextLink": "https://graph.example/evil", "x": '
    assert parse(page(evil), ORIGIN).next == "/v1.0/x?$skiptoken=a%2Fb"


@pytest.mark.parametrize("links_first", [False, True])
def test_a_page_cut_anywhere_is_fetched_again(links_first):
    whole = page(b'{"id":1}', b'{"id":2, "to": ["x", "y"]}', b'{"broken": ', links_first=links_first)
    parse(whole, ORIGIN)
    for end in random.Random(1).sample(range(len(whole) - 1), 60):
        with pytest.raises(BadPage):
            parse(whole[:end], ORIGIN)


def test_what_is_no_page_is_fetched_again():
    for body in (b"", b"<html>", b"[]", b'{"value": 3}', b'{"error": {}}', page(b'{"id":1}', link="ftp://graph.example/x")):
        with pytest.raises(BadPage):
            parse(body, ORIGIN)


def test_half_a_surrogate_pair_is_mended_not_rejected():
    found = records(page(b'{"id":"a","bodyPreview":"cut \\ud83d","n":123456789012345678901234567890}'))
    assert found[0]["bodyPreview"] == "cut \ufffd"
    orjson.dumps(found[0])
    assert isinstance(records(page(b'{"id":"a","n":NaN}'))[0], Reject)


def test_a_record_that_does_not_parse_spoils_no_other_on_its_line():
    found = records(b'{"value":[{"id":"a"},{"id":"\xff"},{"id":"b"}]}')
    assert found == [{"id": "a"}, Reject.of("not_json", b'{"id":"\xff"}'), {"id": "b"}]
