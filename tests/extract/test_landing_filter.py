"""What must not be kept never reaches disk or logs: bodies, previews, places, meeting links, subjects, keys nobody knows."""

import json
import logging
import random
from collections import Counter
from functools import partial

import orjson
import polars as pl
import pytest

from jobs.extract import keep, landing
from jobs.extract.pages import read_record
from tests.extract.world import UNA, World, account, event, mailbox, message, person, settings

MARK = "MARKER7731"
HIDDEN = {
    "body": {"contentType": "html", "content": f"<p>{MARK}</p>"},
    "bodyPreview": MARK,
    "uniqueBody": {"content": MARK},
    "subject": f"Re: {MARK} offer",
    "webLink": f"https://x.example/{MARK}",
    "somethingNew": {"deep": [MARK]},
    f"{MARK}-key": 1,
    "categories": [MARK],
}
MEETING = {
    "location": {"displayName": MARK, "address": {"street": MARK}},
    "locations": [{"displayName": MARK}],
    "onlineMeeting": {"joinUrl": f"https://meet.example/{MARK}"},
    "onlineMeetingUrl": f"https://meet.example/{MARK}",
    "organizer": {**person("una"), "note": MARK},
    "attendees": [
        {**person("bo"), "type": "required", "status": {"response": "none", "comment": MARK}, "proposedNewTime": {"start": MARK}}
    ],
    "iCalUId": {"nested": MARK},
    "start": {"dateTime": "2026-06-10T10:00:00.0", "timeZone": "UTC", "place": MARK},
}
SENT_BY = {
    "from": {"emailAddress": {"name": "Una", "address": "una@ours.example", "more": MARK}, "more": MARK},
    "toRecipients": [MARK, {"x": MARK}],
    "sender": MARK,
}
HEADERS = [{"name": "Subject", "value": MARK}, {"name": "X-Spam", "value": MARK}, {"name": "List-Id", "value": "<l.example>"}]


def tenant():
    events = [event("e1", **{**HIDDEN, **MEETING}), event("private", sensitivity="private", **HIDDEN)]
    events += [
        event("master", "2020-01-01", type="seriesMaster", **HIDDEN, location={"displayName": MARK}),
        event("o1", type="occurrence", seriesMasterId="master"),
    ]
    messages = [
        message("m1", **HIDDEN, **{k: v for k, v in SENT_BY.items() if k not in ("sender",)}, internetMessageHeaders=HEADERS),
        message(
            "s1",
            "Sent",
            **HIDDEN,
            singleValueExtendedProperties=[
                {"id": "String 0x1042", "value": "<a@b>", "note": MARK},
                {"id": "String 0x37", "value": MARK},
            ],
        ),
        f'{{"id": "cut", "body": "{MARK}',
        json.dumps(MARK),
        json.dumps({"body": MARK}),
    ]
    files = mailbox(messages, events)
    files["graph/users.jsonl"][0] |= {"aboutMe": MARK, "jobTitle": MARK}
    files["dataverse/accounts.jsonl"] = [
        account(1, description=MARK, telephone1=MARK, new_note=MARK, industrycode={"x": MARK}),
        f'{{"name": "{MARK}',
    ]
    files["dataverse/emails.jsonl"] = [
        {"activityid": "1", "description": MARK, "subject": f"Fw: {MARK}", "safedescription": MARK}
    ]
    files["dataverse/tasks.jsonl"] = [{"activityid": "2", "description": MARK, "subject": MARK}]
    return files


def everything_written(home):
    """Every file under `home` as text, Parquet files with all their values."""
    for file in home.rglob("*"):
        if file.is_file():
            text = file.read_bytes().decode("latin-1") + file.name
            if file.suffix == ".parquet":
                text += "\n".join(map(str, pl.read_parquet(file).rows()))
            yield file, text


@pytest.mark.parametrize("faulty", [False, True])
def test_marked_content_reaches_neither_disk_nor_logs(tmp_path, caplog, capfd, faulty):
    caplog.set_level(logging.DEBUG)
    world = World(tmp_path, tenant())
    if faulty:
        world.sandbox.faults.switch_on(
            [
                {"fault": "unknown_column", "column": "surprise", "value": MARK},
                {"fault": "partial_row"},
                {"fault": "repeated_row"},
                {"fault": "forbidden", "stream": "contacts", "privilege": MARK},
                {"fault": "not_json", "stream": "leads"},
            ]
        )
    for _ in range(2):
        world.crm()
        world.exchange()
    world.crm()
    landed = world.rows()
    assert landed.filter(op="upsert").height >= 9 and landed.filter(op="reject").height >= 4
    for file, text in everything_written(world.home):
        assert MARK not in text and MARK.lower() not in text, file
    printed = capfd.readouterr()
    assert MARK not in caplog.text + printed.out + printed.err
    assert not [record for record in caplog.records if record.levelno >= logging.INFO and UNA in record.getMessage()]


def test_reply_headers_and_properties_are_kept_by_name(tmp_path):
    world = World(tmp_path, tenant())
    world.exchange()
    mail = json.loads(world.rows(f"messages/{UNA}/Inbox").filter(record_id="m1")["payload"][0])
    assert mail["internetMessageHeaders"] == [{"name": "List-Id", "value": "<l.example>"}]
    assert mail["from"] == person("una") and mail["toRecipients"] == [None, {}]


def test_n33_n53_absent_stays_absent_and_null_stays_null():
    reduce = landing.event_filter(settings("."))
    assert reduce({"id": "a", "attendees": None}) == {"id": "a", "attendees": None}
    assert reduce({"id": "a"}) == {"id": "a"}
    assert "subject_key" in reduce({"id": "a", "subject": None}) and "subject_key" not in reduce({"id": "a"})


def test_private_meetings_keep_no_subject_even_when_subjects_are_collected():
    reduce = landing.event_filter(settings(".", collect_subjects=True))
    assert reduce({"id": "a", "subject": "Open"})["subject"] == "Open"
    assert "subject" not in reduce({"id": "a", "subject": "Secret", "sensitivity": "private"})


def test_unknown_keys_are_counted_by_name_and_odd_names_together():
    reduce = landing.message_filter(settings("."))
    for record in ({"id": "a", "newKey": 1, "a b": 1, "x" * 200: 1}, {"id": "b", "newKey": 1}):
        reduce(record)
    assert dict(reduce.unknown) == {"newKey": 2, "(other)": 2}


def test_only_needed_keys_are_selected():
    for shape in (keep.MESSAGE, keep.EVENT, keep.USER):
        chosen = set(keep.selected(shape).split(","))
        assert not chosen & {"body", "bodyPreview", "uniqueBody", "location", "onlineMeeting", "displayName", "isRead"}


def test_columns_that_settings_name_may_be_spelt_anyhow():
    flags = [f"systemuser.{name}" for name in ("get", "2 odd-ones", "2_odd_ones", "new_optout")]
    reduce = landing.table_filter(keep.TABLES["systemusers"], settings(".", privacy_opt_out_flags=flags))
    given = {"systemuserid": "a", "get": True, "2 odd-ones": 1, "2_odd_ones": 2, "new_optout": None}
    record = reduce.read(json.dumps(given).encode())
    assert isinstance(record, landing.Typed) and reduce.record_id(record) == "a"
    assert json.loads(reduce.payload(record)) == given


def test_labels_of_columns_whose_label_is_not_kept_are_dropped_unnoticed():
    reduce = landing.table_filter(keep.TABLES["accounts"], settings("."))
    label = "@OData.Community.Display.V1.FormattedValue"
    given = {"accountid": "a", "statecode": 0, f"statecode{label}": "Active", "industrycode": 1, f"industrycode{label}": "Trade"}
    record = reduce.read(json.dumps(given).encode())
    assert isinstance(record, landing.Typed) and not reduce.unknown
    assert json.loads(reduce.payload(record)) == {name: given[name] for name in given if name != f"statecode{label}"}


STREAMS = [
    (landing.message_filter, keep.MESSAGE), (landing.listed_message_filter, keep.LISTED_MESSAGE), (landing.event_filter, keep.EVENT),
    (landing.user_filter, keep.USER), (landing.folder_filter, keep.FOLDER),
    *((partial(landing.table_filter, table), None) for table in keep.TABLES.values()),
]  # fmt: skip
PLAIN = ["", 'a \u00e4\u2028\U0001f4c5\n"', "private", True, False, None, 0, -7, 2**63 - 1, 1.0, -0.0, 1e22, 0.1]
ODD = [{}, [], [1], {"a": {"b": 1}}, 2**64 - 1, 10**30]
UNEXPECTED = ["new", "subject_key", "a b", "@odata.context", "body", "name@odata.type", "subject"]
TEXTS = [r'"\ud83d"', "NaN", "1e400", "01", "[[", "1.5e3", r'"\ud83d\ude00"']


def made_up(chance, shape, odd):
    """A value of a shape, of which parts are absent and, as often as `odd` says, of another shape or unexpected."""
    if chance.random() < odd:
        return chance.choice(PLAIN + ODD)
    if shape is keep.VALUE:
        return chance.choice(PLAIN)
    if isinstance(shape, list):
        return [made_up(chance, shape[0], odd) for _ in range(chance.randint(0, 3))]
    return fields(chance, shape, odd)


def fields(chance, shape, odd):
    found = {key: made_up(chance, part, odd) for key, part in shape.items() if chance.random() < 0.8}
    if shape.keys() == {"name", "value"}:
        found["name"] = chance.choice(["List-Id", " in-reply-to ", "Subject", "X-Spam"])
    if chance.random() < odd:
        found[chance.choice(UNEXPECTED)] = chance.choice(PLAIN + ODD)
    return dict(chance.sample(list(found.items()), len(found)))


def exact(value):
    """A value as text that tells 1 from 1.0 and from true."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("odd", [0, 0.03])
@pytest.mark.parametrize("collect", [False, True])
def test_typed_records_are_landed_as_the_filter_lands_all_others(odd, collect):
    chance = random.Random(collect)
    kinds = Counter()
    for make, shape in STREAMS:
        ours, theirs = (make(settings(".", collect_subjects=collect)) for _ in range(2))
        shape = shape or dict.fromkeys(ours.kept.names, keep.VALUE)
        expected = dict.fromkeys([name for name in ours.kept.known - shape.keys() if name[0] != "@"], keep.VALUE)
        for number in range(100):
            given = fields(chance, shape, odd) | fields(chance, expected, odd) | {"@odata.etag": "W/1"}
            if chance.random() >= odd:
                given[ours.kept.key] = f"{{Id{number}}}"
            text = json.dumps(given, ensure_ascii=chance.random() < 0.5).encode()
            if chance.random() < odd:
                text = text.replace(b"null", chance.choice(TEXTS).encode(), 1)
            quick, plain = ours.read(text), read_record(text)
            kinds[isinstance(quick, landing.Typed)] += 1
            if not isinstance(plain, dict):
                assert quick == plain
                continue
            assert ours.record_id(quick) == theirs.record_id(plain)
            for name in ("receivedDateTime", "lastModifiedDateTime", "seriesMasterId", "internetMessageId"):
                texts = [
                    value if isinstance(value, str) else None for value in (quick.get(name, "none"), plain.get(name, "none"))
                ]
                assert texts[0] == texts[1]
            assert exact(orjson.loads(ours.payload(quick))) == exact(orjson.loads(orjson.dumps(theirs(plain))))
            assert ours.unknown == theirs.unknown
    assert kinds[False] == 0 if not odd else 0.1 < kinds[True] / kinds.total() < 0.9
