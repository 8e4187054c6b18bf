"""Copies of emails in mailboxes and in Dataverse: what each says of itself (N14, N18-N20, N22, N23, N25, N37)."""

from dataclasses import dataclass
from typing import Generic

import polars as pl

from jobs.normalise import replay
from jobs.normalise.addresses import canonical, message_id
from jobs.normalise.crm import record_outcomes
from jobs.normalise.frame import Frame
from jobs.normalise.payload import PERSON, boolean, decoded
from jobs.normalise.subject import subject_key
from jobs.normalise.times import INSTANT, in_range, instant

PEOPLE = {"to": "toRecipients", "cc": "ccRecipients", "bcc": "bccRecipients", "reply_to": "replyTo"}
MESSAGE = {
    **dict.fromkeys(
        [
            "internetMessageId",
            "conversationId",
            "subject_key",
            "subject",
            "sentDateTime",
            "receivedDateTime",
            "isDraft",
            "@odata.type",
        ],
        pl.String,
    ),
    "from": PERSON,
    "sender": PERSON,
    **dict.fromkeys(PEOPLE.values(), pl.List(PERSON)),
    "internetMessageHeaders": pl.List(pl.Struct({"name": pl.String, "value": pl.String})),
}
LISTED = {"singleValueExtendedProperties": pl.List(pl.Struct({"id": pl.String, "value": pl.String}))}
THREAD_PROPERTIES = ["string 0x1042", "string 0x1039"]

RULES = ["auto_submitted", "x_autoreply", "precedence_auto_reply", "empty_return_path", "sender_address", "event_message",
         "list_id", "list_unsubscribe", "feedback_id", "precedence_bulk"]  # fmt: skip
"""What `machine_rule` may say, in the order in which signs are looked for; the first six set is_automated, the others is_bulk."""
MENTION = {"copy": pl.UInt32, "kind": pl.String, "name": pl.String, "address": pl.String, "party_id": pl.String}
LINK = {"copy": pl.UInt32, "link": pl.String}
COPY = {
    "copy": pl.UInt32, "source": pl.String, "stream": pl.String, "user_id": pl.String, "record_id": pl.String, "seen_at": INSTANT, "message_id": pl.String,
    "conversation_id": pl.String, "subject_key": pl.String, "subject": pl.String, "sent_at": INSTANT, "is_senders": pl.Boolean,
    "sender_address": pl.String, "sender_name": pl.String, "sender_party_id": pl.String, "is_rewritten": pl.Boolean,
    "author_address": pl.String, "author_name": pl.String, "automated_rule": pl.Int32, "bulk_rule": pl.Int32,
}  # fmt: skip


@dataclass(frozen=True)
class Copies(Generic[Frame]):
    """Copies that count (COPY), whom they mention (MENTION: to, cc, bcc), the ids they refer to (LINK), and what became of every
    record (stream, user_id, record_id, outcome: kept, ignored:<reason> or quarantined:<reason>)."""

    copies: Frame
    mentions: Frame
    links: Frame
    outcomes: Frame


def placed(rows: Frame) -> Frame:
    """Rows of `<kind>/<user>/<folder>` streams with user_id and folder_id."""
    parts = pl.col("stream").str.splitn("/", 3).struct
    streams = (
        rows.select("stream")
        .unique()
        .with_columns(parts.field("field_1").str.to_lowercase().alias("user_id"), parts.field("field_2").alias("folder_id"))
    )
    return rows.join(streams, on="stream", how="left", maintain_order="left")


def latest_messages(rows: Frame) -> Frame:
    """Every message of the `placed` rows as last known, with the folder_id where it was seen last (R6)."""
    return replay.last_known(rows, ["user_id", "record_id"], merge=True, restart=False)


def latest_listed(rows: Frame) -> Frame:
    """Every record of the list pass (`placed` rows) as last known: user_id, record_id, payload."""
    last = replay.last_known(rows, ["user_id", "record_id"], merge=True, restart=False)
    return last.select("user_id", "record_id", "payload")


def shut_outcomes(latest: Frame) -> Frame:
    """Outcomes of records in the mailboxes of users who opted out (N55)."""
    return latest.select("stream", "user_id", "record_id", pl.lit("ignored:opted_out").alias("outcome"))


def read_messages(latest: Frame, folders: Frame) -> Frame:
    """Messages with the columns of MESSAGE, the time they were sent, and their outcome (N14, R5)."""
    everything = (
        latest.join(folders, on=["user_id", "folder_id"], how="left", maintain_order="left")
        .with_columns(decoded(pl.col("payload"), MESSAGE))
        .unnest("payload")
        .with_columns(
            pl.col("sentDateTime").pipe(instant).alias("sent"), pl.col("receivedDateTime").pipe(instant).alias("received")
        )
        .with_columns(pl.coalesce("sent", "received").alias("sent_at"))
    )
    outcome = (
        pl.when((boolean(pl.col("isDraft")) == True).fill_null(False)).then(pl.lit("ignored:draft"))  # noqa: E712
        .when(pl.col("counts").fill_null(True).not_()).then(pl.lit("ignored:folder"))
        .when(pl.col("sent_at").is_null()).then(pl.lit("quarantined:no_time"))
        .when(in_range(pl.col("sent_at")).not_()).then(pl.lit("quarantined:year_out_of_range"))
        .otherwise(pl.lit("kept"))
    )  # fmt: skip
    return everything.with_columns(outcome.alias("outcome"))


def graph_copies(
    latest: pl.DataFrame,
    listed: pl.DataFrame,
    folders: pl.DataFrame,
    owners: pl.DataFrame,
    owner_address: pl.DataFrame,
    hash_key: str,
) -> Copies:
    """Copies in mailboxes. `listed`: latest rows of the list pass (user_id, record_id, payload); owners: user_id, address."""
    everything = read_messages(latest, folders)
    held = everything.filter(pl.col("outcome") == "kept").with_row_index("copy").lazy()
    # What several rules start from is worked out once.
    mentioned, headers, named, told = pl.collect_all(
        [mentions(held), headers_of(held), named_senders(held), listed_values(held, listed.lazy())]
    )
    sent = sent_by(named.lazy(), owners.lazy(), owner_address.lazy()).collect()
    people = with_signs(with_authors(sent.lazy(), mentioned.lazy(), headers.lazy()), headers.lazy())
    # Both lie in the order of `copy`; a join would move every column of every row.
    copies = pl.concat([_facts(held, hash_key), people.drop("copy")], how="horizontal")
    is_reference = pl.col("name").is_in(["in-reply-to", "references"])
    texts = [headers.lazy().filter(is_reference).select("copy", "value"), told.lazy()]
    recipients = mentioned.lazy().filter(pl.col("kind") != "reply_to")
    found = pl.collect_all(
        [
            copies.select(pl.col(name).cast(kind) for name, kind in COPY.items()),
            recipients.select(pl.col(name).cast(kind) for name, kind in MENTION.items()),
            reference_ids(pl.concat(texts)),
        ]
    )
    return Copies(*found, everything.select("stream", "user_id", "record_id", "outcome"))


def _facts(counted: pl.LazyFrame, hash_key: str) -> pl.LazyFrame:
    """What is known of copies by themselves."""
    return counted.select(
        "copy",
        pl.lit("graph").alias("source"),
        "stream",
        "user_id",
        "record_id",
        pl.col("received_at").alias("seen_at"),
        message_id(pl.col("internetMessageId")).alias("message_id"),
        pl.when(pl.col("conversationId").str.strip_chars() != "").then(pl.col("conversationId")).alias("conversation_id"),
        pl.col("subject_key").fill_null(subject_key(None, hash_key)),
        "subject",
        "sent_at",
    )


def mentions(counted: pl.LazyFrame) -> pl.LazyFrame:
    """Recipients and Reply-To addresses, those of a kind in the order of the copy: copy, kind, name, address, party_id (null)."""
    person = pl.col("person").struct.field("emailAddress").struct
    parts = [
        counted.select("copy", pl.col(column).alias("person"))
        .filter(pl.col("person").list.len() > 0)
        .explode("person")
        .select("copy", pl.lit(kind).alias("kind"), person.field("name"), person.field("address"))
        for kind, column in PEOPLE.items()
    ]
    spelt = pl.concat(parts).with_columns(canonical(pl.col("address")), pl.lit(None, dtype=pl.String).alias("party_id"))
    return spelt.filter(pl.col("address").is_not_null())


def headers_of(counted: pl.LazyFrame) -> pl.LazyFrame:
    """Message headers with a readable name and value: copy, name (lower case), value."""
    header = pl.col("header").struct
    listed = counted.select("copy", pl.col("internetMessageHeaders").alias("header")).filter(pl.col("header").list.len() > 0)
    return (
        listed.explode("header")
        .select(
            "copy",
            header.field("name").str.strip_chars().str.to_lowercase().alias("name"),
            header.field("value").str.strip_chars().alias("value"),
        )
        .drop_nulls()
    )


def named_senders(counted: pl.LazyFrame) -> pl.LazyFrame:
    """Whom copies name as their author and as the one who sent them: copy, user_id, is_sent, is_event_message, from, by, from_name,
    by_name."""
    person = {name: pl.col(role).struct.field("emailAddress").struct for name, role in (("from", "from"), ("by", "sender"))}
    return counted.select(
        "copy", "user_id", pl.col("is_sent").fill_null(False),
        pl.col("@odata.type").str.starts_with("#microsoft.graph.eventMessage").fill_null(False).alias("is_event_message"),
        *[canonical(field.field("address")).alias(name) for name, field in person.items()],
        *[field.field("name").alias(f"{name}_name") for name, field in person.items()],
    )  # fmt: skip


def sent_by(people: pl.LazyFrame, owners: pl.LazyFrame, owner_address: pl.LazyFrame) -> pl.LazyFrame:
    """Who sent each copy (N19), and whether it is the sender's (N18), in order: copy, is_senders, sender_address, sender_name,
    is_event_message. `people`: that of `named_senders`."""
    # Nearly all mail is sent by the one who wrote it.
    others = people.filter(pl.col("by").ne_missing(pl.col("from")))
    named = pl.concat(
        [
            people.select("copy", "user_id", pl.col("from").alias("address")),
            others.select("copy", "user_id", pl.col("by").alias("address")),
        ]
    )
    is_own = named.join(owners, on=["user_id", "address"], how="semi").select("copy", pl.lit(True).alias("is_own")).unique()
    nobody = people.filter("is_sent", pl.col("from").is_null(), pl.col("by").is_null())
    owner = nobody.join(owner_address, on="user_id").select("copy", pl.col("address").alias("owner"))
    known = pl.concat([is_own, owner], how="diagonal").group_by("copy").agg(pl.all().max())
    return people.join(known, on="copy", how="left", maintain_order="left").select(
        "copy",
        (pl.col("is_sent") | pl.col("is_own").fill_null(False)).alias("is_senders"),
        pl.coalesce("from", "by", "owner").alias("sender_address"),
        pl.when(pl.col("from").is_not_null()).then("from_name").when(pl.col("by").is_not_null()).then("by_name").alias("sender_name"),
        "is_event_message",
    )  # fmt: skip


def with_authors(people: pl.LazyFrame, mentioned: pl.LazyFrame, headers: pl.LazyFrame) -> pl.LazyFrame:
    """The senders of copies (`people`) with whether a list rewrote a copy's From, and the author then (N20)."""
    lists = _list_addresses(headers)
    has_list = headers.filter(pl.col("name").is_in(["list-id", "list-post"])).select("copy", pl.lit(True).alias("has_list"))
    origin = people.select("copy", "sender_address")
    of_sender = {"left_on": ["copy", "address"], "right_on": ["copy", "sender_address"], "how": "semi"}
    is_list = lists.join(origin, **of_sender).select("copy", pl.lit(True).alias("is_list"))
    replies = mentioned.filter(pl.col("kind") == "reply_to").join(origin, on="copy", maintain_order="left")
    elsewhere = replies.filter(pl.col("address") != pl.col("sender_address"))
    # Whom a copy names matters for those alone that ask for replies elsewhere.
    named = mentioned.filter(pl.col("kind").is_in(["to", "cc"])).join(elsewhere.select("copy", "sender_address"), on="copy")
    among = named.filter(pl.col("address") == pl.col("sender_address")).select("copy", pl.lit(True).alias("is_among"))
    author = (
        elsewhere.join(lists, on=["copy", "address"], how="anti", maintain_order="left")
        .unique("copy", keep="first", maintain_order=True)
        .select("copy", pl.col("address").alias("reply_address"), pl.col("name").alias("reply_name"))
    )
    # Few copies have any of these, so that they are put together before they are looked up.
    known = pl.concat([has_list, is_list, among, author], how="diagonal").group_by("copy").agg(pl.all().max())
    yes = lambda name: pl.col(name).fill_null(False)  # noqa: E731
    via = pl.col("sender_name").str.contains(r" via \S.*$").fill_null(False)
    is_of_list = (yes("has_list") & (via | yes("is_list"))) | yes("is_among")
    has_reply = pl.col("reply_address").is_not_null()
    found = people.join(known, on="copy", how="left", maintain_order="left").with_columns(
        (pl.col("sender_address").is_not_null() & is_of_list).alias("is_rewritten"),
        pl.coalesce("reply_address", "sender_address").alias("author_address"),
        pl.when(has_reply).then("reply_name").otherwise("sender_name").alias("author_name"),
        pl.lit(None, dtype=pl.String).alias("sender_party_id"),
    )
    # Of other copies the sender is the author.
    authors = [pl.when("is_rewritten").then(name).alias(name) for name in ("author_address", "author_name")]
    return found.with_columns(authors)


def _list_addresses(headers: pl.LazyFrame) -> pl.LazyFrame:
    """Addresses in List-Post headers: copy, address."""
    posts = headers.filter(pl.col("name") == "list-post")
    texts = posts.select(
        "copy",
        pl.when(pl.col("value").str.contains("<", literal=True))
        .then(pl.col("value").str.extract_all(r"<[^<>]*>"))
        .otherwise(pl.concat_list("value"))
        .alias("text"),
    ).explode("text")
    bare = pl.col("text").str.strip_chars("<> ").str.replace(r"\?.*$", "")
    spelt = texts.select("copy", canonical(bare).alias("address"))
    return spelt.filter(pl.col("address").is_not_null()).unique()


def with_signs(people: pl.LazyFrame, headers: pl.LazyFrame) -> pl.LazyFrame:
    """`people` with the first automatic and the first bulk sign of a copy as places in RULES (N22, N23)."""
    name, value = pl.col("name"), pl.col("value").str.to_lowercase()
    submitted = value.str.split(";").list.first().str.strip_chars()
    sign = (
        pl.when((name == "auto-submitted") & ~submitted.is_in(["", "no"])).then(0)
        .when(name.is_in(["x-autoreply", "x-autorespond"])).then(1)
        .when((name == "precedence") & (value == "auto_reply")).then(2)
        .when((name == "return-path") & value.is_in(["", "<>"])).then(3)
        .when(name == "list-id").then(6)
        .when(name == "list-unsubscribe").then(7)
        .when(name == "feedback-id").then(8)
        .when((name == "precedence") & value.is_in(["bulk", "list", "junk"])).then(9)
    )  # fmt: skip
    signs = headers.select("copy", sign.cast(pl.Int32).alias("sign")).drop_nulls()
    firsts = signs.group_by("copy").agg(
        pl.col("sign").filter(pl.col("sign") < 6).min().alias("automated_rule"),
        pl.col("sign").filter(pl.col("sign") >= 6).min().alias("bulk_rule"),
    )
    event = pl.when(pl.col("is_event_message")).then(RULES.index("event_message"))
    return people.join(firsts, on="copy", how="left", maintain_order="left").with_columns(
        pl.min_horizontal(pl.col("automated_rule"), event).cast(pl.Int32).alias("automated_rule")
    )


def reference_ids(texts: Frame) -> Frame:
    """The message ids in texts (copy, value): those in angle brackets, else the parts between blanks and commas that hold an @ (N25).

    Returns copy, link.
    """
    found = texts.select("copy", pl.col("value").alias("link")).with_columns(
        pl.col("link").str.extract_all("<[^<>]*>").alias("links")
    )
    is_bracketed = pl.col("links").list.len() > 0
    loose = found.filter(~is_bracketed & pl.col("link").str.contains("@", literal=True)).select(
        "copy", pl.col("link").str.replace_all(r"[\s,]+", " ").str.strip_chars().str.split(" ")
    )
    parts = [
        found.filter(is_bracketed).select("copy", pl.col("links").alias("link")).explode("link"),
        loose.explode("link").filter(pl.col("link").str.contains("@", literal=True)),
    ]
    return pl.concat(parts).select("copy", message_id(pl.col("link")).alias("link")).drop_nulls().cast(LINK)


def listed_values(counted: pl.LazyFrame, listed: pl.LazyFrame) -> pl.LazyFrame:
    """What the list pass says of references: copy, value."""
    known = listed.select("user_id", "record_id", decoded(pl.col("payload"), LISTED)).unnest("payload")
    known = known.join(counted.select("user_id", "record_id", "copy"), on=["user_id", "record_id"])
    held = known.select("copy", pl.col("singleValueExtendedProperties").alias("property"))
    properties = held.filter(pl.col("property").list.len() > 0).explode("property")
    name, value = (pl.col("property").struct.field(field) for field in ("id", "value"))
    named = properties.filter(name.str.to_lowercase().is_in(THREAD_PROPERTIES) & value.is_not_null())
    return named.select("copy", value.alias("value"))


def dataverse_copies(emails: Frame, parties: Frame, hash_key: str) -> Copies[Frame]:
    """Copies in Dataverse: completed emails but those pending or sending (N37). `parties`: those of `activities.parties`."""
    counts = (pl.col("statecode") == 1).fill_null(False) & ~pl.col("statuscode").is_in([6, 7]).fill_null(False)
    everything = emails.with_columns(
        pl.coalesce("senton", "actualend", "createdon").alias("sent_at"), pl.col("raw_subject").alias("subject")
    )
    outcome = (
        pl.when(counts.not_()).then(pl.lit("ignored:state"))
        .when(pl.col("sent_at").is_null()).then(pl.lit("quarantined:no_time"))
        .when(in_range(pl.col("sent_at")).not_()).then(pl.lit("quarantined:year_out_of_range"))
        .otherwise(pl.lit("kept"))
    )  # fmt: skip
    everything = everything.with_columns(outcome.alias("outcome"))
    counted = everything.filter(pl.col("outcome") == "kept").sort("activityid").with_row_index("copy")
    own = parties.join(counted.select(pl.col("activityid").alias("activity"), "copy"), on="activity")
    senders = leading_party(own, 1)
    counted = counted.join(
        senders.select("copy", pl.col("address").alias("party_address"), pl.col("name").alias("party_name"), "party_id", pl.lit(True).alias("has_party")),
        on="copy", how="left", maintain_order="left",
    )  # fmt: skip
    counted = counted.with_columns(canonical(pl.col("sender")).alias("text_address"))
    has_party = pl.col("has_party").fill_null(False)
    copies = counted.select(
        "copy",
        pl.lit("dataverse").alias("source"),
        pl.col("raw_stream").alias("stream"),
        pl.lit(None, dtype=pl.String).alias("user_id"),
        pl.col("activityid").alias("record_id"),
        pl.col("raw_received_at").alias("seen_at"),
        message_id(pl.col("messageid")).alias("message_id"),
        pl.lit(None, dtype=pl.String).alias("conversation_id"),
        pl.col("subject_key").fill_null(subject_key(None, hash_key)),
        "subject",
        "sent_at",
        pl.lit(False).alias("is_senders"),
        pl.when(has_party).then("party_address").otherwise("text_address").alias("sender_address"),
        pl.when(has_party).then("party_name").alias("sender_name"),
        pl.when(has_party & pl.col("party_address").is_null()).then("party_id").alias("sender_party_id"),
        pl.lit(False).alias("is_rewritten"),
        *[pl.lit(None, dtype=COPY[name]).alias(name) for name in ("author_address", "author_name", "automated_rule", "bulk_rule")],
    )  # fmt: skip
    mentions = own.filter(pl.col("mask").is_in([2, 3, 4])).select(
        "copy",
        pl.col("mask").replace_strict([2, 3, 4], ["to", "cc", "bcc"], return_dtype=pl.String).alias("kind"),
        "name",
        "address",
        pl.when(pl.col("address").is_null()).then("party_id").alias("party_id"),
    )
    return Copies(
        copies.select(COPY.keys()).cast(COPY),
        mentions.select(MENTION.keys()).cast(MENTION),
        reference_ids(counted.select("copy", pl.col("inreplyto").alias("value")).drop_nulls()).unique(),
        record_outcomes(everything),
    )


def leading_party(own: Frame, mask: int) -> Frame:
    """Of the parties with a mask one for each copy, those with an address before others, then the smallest id (N19, N29).

    `own`: those of `activities.parties`, with copy.
    """
    ranked = own.filter(pl.col("mask") == mask).sort("copy", pl.col("address").is_null(), "activitypartyid")
    return ranked.unique("copy", keep="first", maintain_order=True)


def without(parts: Copies[Frame], dropped: Frame) -> Copies[Frame]:
    """`parts` less the copies in `dropped` (user_id, record_id), which were deleted at the source (N54)."""
    copies = parts.copies.join(dropped, on=["user_id", "record_id"], how="anti", maintain_order="left")
    copies = copies.rename({"copy": "old"}).with_row_index("copy")
    mentions, links = (
        rows.rename({"copy": "old"}).join(copies.select("old", "copy"), on="old").select(schema.keys())
        for rows, schema in ((parts.mentions, MENTION), (parts.links, LINK))
    )
    return Copies(copies.select(COPY.keys()), mentions, links, without_outcomes(parts.outcomes, dropped))


def without_outcomes(outcomes: Frame, dropped: Frame) -> Frame:
    """`outcomes` of messages as `without` leaves them."""
    marked = outcomes.join(dropped.with_columns(pl.lit(True).alias("is_dropped")), on=["user_id", "record_id"], how="left")
    is_dropped = pl.col("is_dropped").fill_null(False) & (pl.col("outcome") == "kept")
    outcome = pl.when(is_dropped).then(pl.lit("ignored:deleted")).otherwise("outcome").alias("outcome")
    return marked.with_columns(outcome).drop("is_dropped")
