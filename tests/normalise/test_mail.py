"""Emails: copies, authors, flags, threads (N14-N26)."""

import hashlib
import json
from typing import Any

import pytest

from jobs.normalise.subject import base_subject, subject_key
from tests.normalise.world import World, guid, mailbox_id, person

CLEO, DAN = "cleo@acme.example", "dan@acme.example"
UNA, BO = "una@ours.example", "bo@ours.example"


def activity_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def test_n14_drafts_junk_and_what_lies_below_do_not_count() -> None:
    world = World()
    world.folder("una", "spam-2025", parent="junkemail")
    world.folder("una", "old", parent="deleteditems")
    world.folder("una", "search", **{"@odata.type": "#microsoft.graph.mailSearchFolder"})
    for folder in ("inbox", "deleteditems", "archive", "old", "drafts", "junkemail", "spam-2025", "search"):
        world.mail("una", folder, folder, CLEO, [UNA])
    world.mail("una", "inbox", "draft", CLEO, [UNA], isDraft=True)
    kept = [name for row in world.tables().activities() for name in row["source_ids"]]
    assert sorted(name.rsplit(":")[-1] for name in kept) == ["archive", "deleteditems", "inbox", "old"]
    outcomes = world.normalised().conservation.filter(outcome="ignored:folder").get_column("row_count").sum()
    assert outcomes == 4


def test_n15_message_ids_are_compared_exactly_without_blanks_and_brackets() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA], message_id=" <one @x.example> ")
    world.mail("bo", "inbox", "m2", CLEO, [UNA], message_id="<<one@x.example>>")
    world.mail("cem", "inbox", "m3", CLEO, [UNA], message_id="one@x.example")
    world.mail("una", "archive", "m4", CLEO, [UNA], message_id="<ONE@x.example>")
    world.mail("una", "archive", "m5", CLEO, [UNA], message_id="<>", at="2026-06-10T12:00:00Z")
    sizes = [len(row["source_ids"]) for row in world.tables().activities()]
    assert sorted(sizes) == [1, 1, 3]


@pytest.mark.parametrize(("seconds", "joins"), [(120, True), (121, False)])
def test_n16_mail_without_id_joins_within_the_tolerance(seconds: int, joins: bool) -> None:
    world = World()
    world.mail("una", "sentitems", "m1", UNA, [CLEO], at="2026-06-10T10:00:00Z")
    world.crm_mail("crm", (1, UNA), (2, CLEO), senton=f"2026-06-10T10:{seconds // 60:02}:{seconds % 60:02}Z")
    assert len(world.tables().activities()) == (1 if joins else 2)


def test_n16_nearest_then_earlier_then_smallest_message_id() -> None:
    world = World()
    world.mail("una", "sentitems", "late", UNA, [CLEO], at="2026-06-10T10:01:00Z")
    world.mail("una", "sentitems", "b", UNA, [CLEO], at="2026-06-10T09:59:00Z")
    world.mail("una", "sentitems", "a", UNA, [CLEO], at="2026-06-10T09:59:00Z")
    world.crm_mail("crm", (1, UNA), (2, CLEO))
    (joined,) = [row for row in world.tables().activities() if "dataverse" in row["source_systems"]]
    assert joined["activity_id"] == activity_id("email:a@mid.example")


def test_n16_those_without_a_partner_are_one_per_second() -> None:
    world = World()
    world.crm_mail("one", (1, UNA), (2, CLEO))
    world.crm_mail("two", (1, UNA), (2, CLEO))
    world.crm_mail("three", (1, UNA), (2, CLEO), senton="2026-06-10T10:00:01Z")
    first, second = world.tables().activities()
    key = f"{UNA}|{subject_key('Hello', '')}|{CLEO}|2026-06-10T10:00:00Z"
    assert first["activity_id"] == activity_id(f"email:{key}")
    assert [len(first["source_ids"]), len(second["source_ids"])] == [2, 1]


def test_n17_content_key_takes_to_and_cc_sorted_and_never_bcc() -> None:
    world = World()
    world.mail(
        "una",
        "sentitems",
        "m1",
        UNA,
        [DAN],
        ccRecipients=[person(CLEO)],
        bccRecipients=[person("x@y.example")],
        subject="Re: HELLO ",
    )
    world.crm_mail("crm", (1, UNA), (2, CLEO), (3, DAN))
    world.crm_mail("bcc", (1, UNA), (2, CLEO), (3, DAN), (2, "z@y.example"))
    assert sorted(len(row["source_ids"]) for row in world.tables().activities()) == [1, 2]


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Re: AW[2]: fwd (3): Offer  now ", "offer now"),
        ("WG: Re: [list] Antw: Offer (fwd) (Fwd)", "offer"),
        ("[fwd: Re: [fwd: Offer]]", "offer"),
        ("[list]", "[list]"),
        ("=?utf-8?q?Re=3A_Angeb=C3=B6t?=", "angeböt"),
        ("Für =?utf-8?q?M=C3=BCller?= =?utf-8?q?_%26?= Söhne", "für müller %26 söhne"),
        ("Tr: Enc: Odp: YNT: Rif: Sv: Vs: Res: Fw: x", "x"),
        ("Reply: x", "reply: x"),
        (None, ""),
    ],
)
def test_n17_base_subject(subject: str | None, base: str) -> None:
    assert base_subject(subject) == base


def test_n17_subject_key_is_keyed() -> None:
    assert subject_key("Re: Offer", "k") == subject_key("offer", "k") != subject_key("offer", "other")


def test_n18_the_senders_copy_decides_the_time() -> None:
    world = World()
    world.folder("una", "sent-2025", parent="sentitems")
    world.mail("bo", "inbox", "m1", UNA, [CLEO, BO], message_id="<x@y>", at="2026-06-10T09:58:00Z")
    world.mail("una", "archive", "m2", UNA, [CLEO, BO], message_id="<x@y>", at="2026-06-10T10:00:07Z")
    world.mail("una", "sent-2025", "m3", UNA, [CLEO, BO], message_id="<x@y>", at="2026-06-10T10:00:05Z")
    world.crm_mail("crm", (1, UNA), (2, CLEO), messageid="<x@y>", senton="2026-06-10T09:00:00Z")
    assert world.tables().one()["occurred_at"].isoformat() == "2026-06-10T10:00:05+00:00"


def test_n19_from_before_sender_before_owner_and_a_delegate_is_nobody() -> None:
    world = World()
    world.mail("bo", "sentitems", "m1", UNA, [CLEO], **{"sender": person(BO)})
    assert world.tables().roles() == {UNA: "sender", CLEO: "to"}
    world = World()
    world.mail("bo", "sentitems", "m1", None, [CLEO])
    assert world.tables().sender() == BO
    world = World()
    world.mail("bo", "inbox", "m1", None, [BO], **{"sender": person(CLEO)})
    assert world.tables().sender() == CLEO
    world = World()
    world.mail("bo", "inbox", "m1", None, [BO])
    assert world.tables().sender() is None


def test_n19_dataverse_sender_by_party_lookup_or_text() -> None:
    world = World()
    cleo = world.contact("cleo", CLEO)
    world.crm_mail(
        "party", (1, DAN), (2, UNA), emailsender=("contact", cleo), sender="x@y.example", senton="2026-06-10T10:00:00Z"
    )
    world.crm_mail("lookup", (2, UNA), emailsender=("contact", cleo), sender="x@y.example", senton="2026-06-10T11:00:00Z")
    world.crm_mail("text", (2, UNA), sender="X@y.example", senton="2026-06-10T12:00:00Z")
    tables = world.tables()
    found = [next(w for w, r in tables.roles(row["activity_id"]).items() if r == "sender") for row in tables.activities()]
    assert found == [DAN, CLEO, "x@y.example"]


LIST_POST = ("List-Post", "<mailto:list@lists.example?subject=x>")
REWRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "list address": ({"sender": "list@lists.example", "headers": [LIST_POST]}, CLEO),
    "via": ({"sender": "bounce@lists.example", "name": "Cleo via Users", "headers": [("List-Id", "<x>")]}, CLEO),
    "via nothing": ({"sender": "bounce@lists.example", "name": "Cleo via ", "headers": [("List-Id", "<x>")]}, "bounce@lists.example"),
    "via without list": ({"sender": "bounce@lists.example", "name": "Cleo via Users"}, "bounce@lists.example"),
    "other from": ({"sender": DAN, "headers": [LIST_POST]}, DAN),
    "own recipient": ({"sender": "group@lists.example", "to": ["group@lists.example"]}, CLEO),
    "no other reply": ({"sender": "list@lists.example", "headers": [LIST_POST], "reply": ["list@lists.example"]}, "list@lists.example"),
    "reply is the list": (
        {"sender": "bounce@lists.example", "name": "C via U", "headers": [LIST_POST], "reply": ["list@lists.example", CLEO]}, CLEO),
}  # fmt: skip


@pytest.mark.parametrize("case", REWRITTEN)
def test_n20_author_behind_a_list(case: str) -> None:
    given, author = REWRITTEN[case]
    world = World()
    world.mail("una", "inbox", "m1", None, given.get("to", ["list@lists.example"]), headers=given.get("headers"),
               replyTo=[person(a) for a in given.get("reply", [CLEO])], **{"from": person(given["sender"], given.get("name"))})  # fmt: skip
    assert world.tables().sender() == author


def test_n20_a_copy_that_is_not_rewritten_counts_and_else_the_first() -> None:
    world = World()
    world.mail("una", "inbox", "m1", "list@lists.example", ["list@lists.example"], message_id="<x@y>", headers=[LIST_POST],
               replyTo=[person(DAN)], at="2026-06-10T09:59:59Z")  # fmt: skip
    world.mail("bo", "inbox", "m2", CLEO, ["list@lists.example"], message_id="<x@y>")
    assert world.tables().sender() == CLEO
    world = World()
    world.mail("una", "inbox", "m1", DAN, [UNA, BO], message_id="<x@y>", at="2026-06-10T10:00:01Z")
    world.mail("bo", "inbox", "m2", CLEO, [UNA, BO], message_id="<x@y>")
    assert world.tables().sender() == CLEO
    assert DAN not in world.tables().roles()


def test_n21_times_are_cut_to_seconds_and_received_stands_in() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA], at="2026-06-10T10:00:00.9990000Z")
    world.mail("una", "inbox", "m2", CLEO, [UNA], at=None, receivedDateTime="2026-06-10T11:00:00+01:00", sentDateTime="garbage")
    world.crm_mail("crm", (1, UNA), (2, CLEO), senton=None, actualend="2026-06-12", createdon="2026-06-11T00:00:00Z")
    times = [row["occurred_at"].isoformat()[:19] for row in world.tables().activities()]
    assert times == ["2026-06-10T10:00:00", "2026-06-10T10:00:00", "2026-06-12T00:00:00"]


def test_n22_automated_by_any_copy_bulk_by_every_copy() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA, BO], message_id="<a@y>", headers=[("Auto-Submitted", "auto-replied")])
    world.mail("bo", "inbox", "m2", CLEO, [UNA, BO], message_id="<a@y>", headers=[("List-Id", "x")])
    world.mail("una", "inbox", "m3", CLEO, [UNA, BO], message_id="<b@y>", headers=[("List-Id", "x")], at="2026-06-10T11:00:00Z")
    world.mail(
        "bo", "inbox", "m4", CLEO, [UNA, BO], message_id="<b@y>", headers=[("Precedence", "Junk")], at="2026-06-10T11:00:00Z"
    )
    world.crm_mail("crm", (1, CLEO), (2, UNA), messageid="<b@y>")
    world.crm_mail("robot", (1, "NoReply@acme.example"), (2, UNA), senton="2026-06-10T12:00:00Z")
    flags = [(row["is_automated"], row["is_bulk"], row["machine_rule"]) for row in world.tables().activities()]
    assert flags == [(True, False, "auto_submitted"), (False, True, "list_id"), (True, False, "sender_address")]


@pytest.mark.parametrize(
    ("header", "sender", "kind", "rule"),
    [
        (("auto-submitted", " Auto-Generated; x"), CLEO, None, "auto_submitted"),
        (("Auto-Submitted", "no; x"), CLEO, None, None),
        (("Auto-Submitted", "; x"), CLEO, None, None),
        ((" X-AutoRespond ", ""), CLEO, None, "x_autoreply"),
        (("X-Auto-Response-Suppress", "All"), CLEO, None, None),
        (("Precedence", " AUTO_REPLY "), CLEO, None, "precedence_auto_reply"),
        (("Return-Path", " <> "), CLEO, None, "empty_return_path"),
        (("Return-Path", "<x@y>"), CLEO, None, None),
        (None, "Mailer-Daemon@acme.example", None, "sender_address"),
        (None, "no-reply+x@acme.example", None, None),
        (None, CLEO, "#microsoft.graph.eventMessageRequest", "event_message"),
        (None, CLEO, "#microsoft.graph.message", None),
        (("Feedback-ID", "1"), CLEO, None, "feedback_id"),
        (("List-Unsubscribe", ""), CLEO, None, "list_unsubscribe"),
        (("List-Post", "<mailto:x@y.example>"), CLEO, None, None),
    ],
)
def test_n23_machine_mail(header: tuple[str, str] | None, sender: str, kind: str | None, rule: str | None) -> None:
    world = World()
    world.mail("una", "inbox", "m1", sender, [UNA], headers=[header] if header else None, **{"@odata.type": kind})
    row = world.tables().one()
    assert row["machine_rule"] == rule
    assert (row["is_automated"] or row["is_bulk"]) == (rule is not None)


def test_n24_engagement_is_the_maximum_over_dataverse_rows() -> None:
    world = World()
    world.crm_mail("a", (1, UNA), (2, CLEO), messageid="<x@y>", isemailfollowed=False, opencount=3, replycount=None)
    world.crm_mail("b", (1, UNA), (2, CLEO), messageid="<x@y>", isemailfollowed=True, opencount=1, linksclickedcount=2)
    world.crm_mail("draft", (1, UNA), (2, CLEO), messageid="<x@y>", statecode=0, opencount=9)
    row = world.tables().one()
    counts = [
        row[name] for name in ("open_count", "link_click_count", "attachment_count", "attachment_open_count", "reply_count")
    ]
    assert (row["is_followed"], counts) == (True, [3, 2, 0, 0, 0])


def test_n25_references_link_whatever_chain_and_conversations_within_a_mailbox() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA], headers=[("REFERENCES", "<unseen@x> <seen@x>")])
    world.mail("una", "inbox", "m2", CLEO, [UNA], headers=[("In-Reply-To", "unseen@x, other")])
    world.mail("una", "inbox", "m3", CLEO, [UNA], conversationId="c1")
    world.mail("una", "sentitems", "m4", UNA, [CLEO], conversationId="c1")
    world.mail("bo", "inbox", "m5", CLEO, [BO], conversationId="c1")
    world.mail("bo", "junkemail", "m6", CLEO, [BO], headers=[("In-Reply-To", "<m5@mid.example>, <m1@mid.example>")])
    world.mail("bo", "inbox", "m7", CLEO, [BO], subject="Re: Hello")
    assert world.tables().threads() == [1, 1, 2, 2]


def test_n25_extended_properties_and_dataverse_in_reply_to_link() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    world.mail("una", "sentitems", "m2", UNA, [CLEO])
    properties = [{"id": "String 0x1042", "value": "<m1@mid.example>"}, {"id": "String 0x1035", "value": "<m4@mid.example>"}]
    world.put(
        "graph", f"messageHeaders/{mailbox_id('una')}/sentitems", "m2", {"id": "m2", "singleValueExtendedProperties": properties}
    )
    world.crm_mail("crm", (1, CLEO), (2, UNA), messageid="<m3@mid.example>", inreplyto=" <m2@mid.example> ")
    world.mail("una", "inbox", "m4", CLEO, [UNA])
    assert world.tables().threads() == [1, 3]


def test_n26_thread_id_is_the_smallest_activity_id_and_cycles_do_no_harm() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA], headers=[("In-Reply-To", "<m2@mid.example>")])
    world.mail("una", "inbox", "m2", CLEO, [UNA], headers=[("In-Reply-To", "<m1@mid.example>")])
    world.mail("una", "inbox", "m3", CLEO, [UNA])
    rows = dict(world.tables()["activity_thread"].iter_rows())
    pair = sorted(activity_id(f"email:m{n}@mid.example") for n in (1, 2))
    alone = activity_id("email:m3@mid.example")
    assert rows == {pair[0]: pair[0], pair[1]: pair[0], alone: alone}


def test_n37_which_dataverse_emails_are_copies() -> None:
    world = World()
    for number, (state, status) in enumerate(
        [(1, 2), (1, 3), (1, 4), (1, 99), (1, None), (1, 6), (1, 7), (0, 1), (2, 5), (None, 3)]
    ):
        world.crm_mail(
            f"mail{number}", (1, UNA), (2, CLEO), statecode=state, statuscode=status, senton=f"2026-06-10T1{number}:00:00Z"
        )
    assert [row["occurred_at"].hour for row in world.tables().activities()] == [10, 11, 12, 13, 14]


def test_n41_delivered_only_when_no_address_of_the_owner_has_a_row() -> None:
    world = World()
    world.graph_user("una", proxyAddresses=["SMTP:una@ours.example", "smtp:u.alias@ours.example"])
    world.graph_user("bo", mail=None, proxyAddresses=[])
    world.mail("una", "inbox", "m1", CLEO, ["x@y.example"], message_id="<x@y>", bccRecipients=[person("u.alias@ours.example")])
    world.mail("bo", "inbox", "m2", CLEO, ["x@y.example"], message_id="<x@y>")
    world.mail("cem", "sentitems", "m3", CLEO, ["x@y.example"], message_id="<x@y>")
    assert world.tables().roles() == {CLEO: "sender", "x@y.example": "to", "u.alias@ours.example": "bcc", BO: "delivered"}


def test_n51_subjects_are_kept_only_when_collected() -> None:
    world = World()
    world.mail("bo", "inbox", "m1", UNA, [BO], message_id="<x@y>", **{"from": person(UNA)})
    world.rows[-1]["payload"] = json.dumps(json.loads(world.rows[-1]["payload"]) | {"subject": "RE: received"})
    world.mail("una", "sentitems", "m2", UNA, [BO], message_id="<x@y>")
    world.rows[-1]["payload"] = json.dumps(json.loads(world.rows[-1]["payload"]) | {"subject": "As sent"})
    world.event("una", "e1", UNA, [CLEO], subject="Secret", sensitivity="private")
    world.event("una", "e2", UNA, [CLEO], subject="Review")
    assert world.tables()["activity_subject"].is_empty()
    subjects = world.tables(collect_subjects=True)["activity_subject"].get_column("subject").to_list()
    assert sorted(subjects) == ["As sent", "Review"]


def test_r6_rows_of_an_id_merge_over_folders_and_the_last_folder_decides() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    world.later()
    world.put("graph", f"messages/{mailbox_id('una')}/archive", "m1", {"id": "m1", "parentFolderId": "archive"})
    world.remove(f"messages/{mailbox_id('una')}/inbox", "m1")
    assert world.tables().roles() == {CLEO: "sender", UNA: "to"}
    world.put("graph", f"messages/{mailbox_id('una')}/junkemail", "m1", {"id": "m1"})
    assert world.tables().activities() == []
    world.put("graph", f"messages/{mailbox_id('una')}/inbox", "m1", {"id": "m1", "sentDateTime": None, "receivedDateTime": None})
    assert world.tables().reasons() == ["no_time"]
    assert guid("una") != mailbox_id("una")
