"""Emails: copies in mailboxes and in Dataverse, which of them are one email, who wrote it to whom, machine mail (N14-N24, N37, N41)."""

import hashlib
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
MACHINE_ADDRESS = r"^(?:mailer-daemon|postmaster|no-reply|noreply|donotreply|do-not-reply)@[^@]*$"

MENTION = {"copy": pl.UInt32, "kind": pl.String, "name": pl.String, "address": pl.String, "party_id": pl.String}
LINK = {"copy": pl.UInt32, "link": pl.String}
COPY = {
    "copy": pl.UInt32, "source": pl.String, "stream": pl.String, "user_id": pl.String, "record_id": pl.String, "seen_at": INSTANT, "message_id": pl.String,
    "conversation_id": pl.String, "subject_key": pl.String, "subject": pl.String, "sent_at": INSTANT, "is_senders": pl.Boolean,
    "sender_address": pl.String, "sender_name": pl.String, "sender_party_id": pl.String, "is_rewritten": pl.Boolean,
    "author_address": pl.String, "author_name": pl.String, "automated_rule": pl.Int32, "bulk_rule": pl.Int32,
}  # fmt: skip

_RANK = 1 << 60
"""More than any time in `in_range` has microseconds."""
DECIDING = pl.when(pl.col("is_senders")).then(0).when(pl.col("source") == "graph").then(1).otherwise(2)
"""Which copy of an email decides, the smallest first (N18)."""


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


def by_message_id(copies: Frame) -> Frame:
    """Which copies with a message id are one email (N15): copy, key (the text that activity_id is made of, N42)."""
    return copies.filter(pl.col("message_id").is_not_null()).select("copy", pl.col("message_id").alias("key"))


def by_content(copies: Frame, mentions: Frame, tolerance_seconds: int) -> Frame:
    """Which email each copy without a message id is (N16, N17), of those with one or of its own: copy, key as of `by_message_id`."""
    with_id = copies.filter(pl.col("message_id").is_not_null())
    without = copies.filter(pl.col("message_id").is_null())
    hints = without.select("sender_address", "subject_key").unique()
    likely = with_id.join(hints, on=["sender_address", "subject_key"], how="semi", nulls_equal=True)
    times = email_times(
        with_id.join(likely.select("message_id").unique(), on="message_id", how="semi").with_columns(
            pl.col("message_id").alias("key")
        )
    )
    content = content_keys(pl.concat([likely, without]), mentions)
    candidates = (
        likely.select("copy", "message_id")
        .join(content, on="copy")
        .select("content_key", pl.col("message_id").alias("key"))
        .unique()
    )
    candidates = candidates.join(times, on="key")
    loose = without.select("copy", "sent_at").join(content, on="copy")
    distance = (pl.col("occurred_at") - pl.col("sent_at")).dt.total_seconds().abs()
    joined = (
        loose.join(candidates, on="content_key")
        .with_columns(distance.alias("distance"))
        .filter(pl.col("distance") <= tolerance_seconds)
        .sort("copy", "distance", "occurred_at", "key")
        .unique("copy", keep="first", maintain_order=True)
        .select("copy", "key")
    )
    alone = loose.join(joined, on="copy", how="anti").select(
        "copy", (pl.col("content_key") + "|" + pl.col("sent_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).alias("key")
    )
    return pl.concat([joined, alone])


def content_keys(copies: Frame, mentions: Frame) -> Frame:
    """Sender, subject and recipients of a copy as one text (N17): copy, content_key."""
    named = (
        mentions.filter(pl.col("kind").is_in(["to", "cc"]) & pl.col("address").is_not_null()).select("copy", "address").unique()
    )
    recipients = named.sort("copy", "address").group_by("copy").agg(pl.col("address").str.join(",").alias("recipients"))
    joined = copies.select("copy", "sender_address", "subject_key").join(recipients, on="copy", how="left")
    return joined.select(
        "copy",
        pl.concat_str(pl.col("sender_address", "subject_key", "recipients").fill_null(""), separator="|").alias("content_key"),
    )


def email_times(copies: Frame) -> Frame:
    """When each email was sent (N21): key, occurred_at."""
    first = copies.select("key", ranked_at(DECIDING)).group_by("key", maintain_order=True).agg(pl.col("ranked_at").min())
    return first.select("key", (pl.col("ranked_at") % _RANK).cast(INSTANT).alias("occurred_at"))


def ranked_at(rank: pl.Expr) -> pl.Expr:
    """Rank and time as one number, whose minimum costs a fraction of a minimum among the best of each group: ranked_at."""
    return (rank.cast(pl.Int64) * _RANK + pl.col("sent_at").to_physical()).alias("ranked_at")


def first_of_each(copies: Frame, rank: pl.Expr) -> Frame:
    """The copy of every `key` with the smallest rank, of these the earliest, and of these the first."""
    ranked = copies.with_columns(ranked_at(rank))
    best = ranked.filter(pl.col("ranked_at") == pl.col("ranked_at").min().over("key"))
    return best.unique("key", keep="first", maintain_order=True)


def activity_id(kind: str, key: pl.Expr) -> pl.Expr:
    """Stable ids of activities from their keys (N42)."""
    return key.map_batches(lambda keys: activity_ids(kind, keys), return_dtype=pl.String).alias("activity_id")


def activity_ids(kind: str, keys: pl.Series) -> pl.Series:
    """`activity_id` of a column at hand."""
    return pl.Series(
        "activity_id", [hashlib.sha256(f"{kind}:{key}".encode()).hexdigest()[:32] for key in keys.to_list()], dtype=pl.String
    )


def senders(copies: Frame) -> Frame:
    """The one sender of every email that has one (N19, N20), by the smallest name that a copy gives it: key, address, party_id, name.

    `copies`: in order of source id, which decides between copies of the same rank and time.
    """
    named = copies.filter(pl.col("sender_address").is_not_null() | pl.col("sender_party_id").is_not_null())
    rank = (
        pl.when(pl.col("is_senders")).then(0)
        .when((pl.col("source") == "graph") & ~pl.col("is_rewritten")).then(1)
        .when(pl.col("source") == "graph").then(2)
        .otherwise(3)
    )  # fmt: skip
    is_list = pl.col("rank") == 2
    sender = first_of_each(named.with_columns(rank.alias("rank")), pl.col("rank")).select(
        "key",
        pl.when(is_list).then("author_address").otherwise("sender_address").alias("address"),
        pl.col("sender_party_id").alias("party_id"),
        pl.when(is_list).then("author_name").otherwise("sender_name").alias("name"),
    )
    sender = sender.with_columns(pl.when(pl.col("name").str.strip_chars() != "").then("name").alias("name"))
    spelled = pl.col("sender_name").str.strip_chars().alias("spelled")
    others = named.filter(~pl.col("key").is_unique()).select("key", "sender_address", spelled).join(sender, on="key")
    is_smaller = (pl.col("spelled") != "") & (pl.col("name").is_null() | (pl.col("spelled") < pl.col("name")))
    others = others.filter((pl.col("sender_address") == pl.col("address")) & is_smaller)
    sender = sender.join(others.group_by("key").agg(pl.col("spelled").min()), on="key", how="left")
    return sender.with_columns(pl.coalesce("spelled", "name").alias("name")).drop("spelled")


def flags(copies: Frame, sender: Frame) -> Frame:
    """Machine mail (N22, N23): key, is_automated, is_bulk, machine_rule."""
    is_graph = pl.col("source") == "graph"
    is_bulk = (pl.col("bulk_rule").is_not_null() | ~is_graph).alias("is_bulk")
    signs = copies.select("key", "automated_rule", "bulk_rule", is_bulk, is_graph.alias("is_graph"))
    seen = signs.group_by("key", maintain_order=True).agg(
        pl.col("automated_rule", "bulk_rule").min(), pl.col("is_bulk").all(), pl.col("is_graph").any()
    )
    seen = seen.with_columns(pl.col("is_bulk") & pl.col("is_graph"))
    machine = pl.col("address").str.contains(MACHINE_ADDRESS).fill_null(False)
    machine_senders = sender.filter(machine).select("key", pl.lit(RULES.index("sender_address")).alias("by_sender"))
    first = pl.min_horizontal("automated_rule", "by_sender")
    rule = pl.coalesce(first, pl.when(pl.col("is_bulk")).then(pl.col("bulk_rule")))
    return seen.join(machine_senders, on="key", how="left", maintain_order="left").select(
        "key",
        first.is_not_null().alias("is_automated"),
        "is_bulk",
        rule.cast(pl.Int32).replace_strict(list(range(len(RULES))), RULES, return_dtype=pl.String).alias("machine_rule"),
    )


def delivered(received: Frame, rows: Frame, owners: Frame, owner_address: Frame) -> Frame:
    """Owners of mailboxes with a copy that no row names yet (N31, N41): key, user_id, address.

    `received`: key, user_id; `rows`: key, address of the participants.
    """
    named = rows.select("key", "address").join(owners, on="address").select("key", "user_id")
    return (
        received.select("key", "user_id")
        .unique()
        .join(named, on=["key", "user_id"], how="anti")
        .join(owner_address, on="user_id")
        .select("key", "user_id", "address")
    )
