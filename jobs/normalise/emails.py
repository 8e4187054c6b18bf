"""Emails: which copies are one, when it was sent, who wrote it to whom, whether a machine did (N15-N24, N31, N40-N42, N47-N51)."""

import polars as pl

from jobs.normalise import mail
from jobs.normalise.activities import (
    ENGAGEMENT,
    PARTICIPANT,
    PARTY,
    Activities,
    activity_ids,
    completed_columns,
    delivered,
    party_rows,
    regarding,
    source_id,
    sources,
    strongest,
    subject_rows,
)
from jobs.normalise.frame import Frame
from jobs.normalise.times import INSTANT

MACHINE_ADDRESS = r"^(?:mailer-daemon|postmaster|no-reply|noreply|donotreply|do-not-reply)@[^@]*$"
_RANK = 1 << 60
"""More than any time in `in_range` has microseconds."""
DECIDING = pl.when(pl.col("is_senders")).then(0).when(pl.col("source") == "graph").then(1).otherwise(2)
"""Which copy of an email decides, the smallest first (N18)."""
_PERSONS = 1 << 32
"""More than there are addresses and parties."""


def emails(
    copies: mail.Copies,
    crm_emails: pl.DataFrame,
    party: pl.DataFrame,
    owners: pl.DataFrame,
    owner_address: pl.DataFrame,
    tolerance_seconds: int,
) -> tuple[Activities, pl.DataFrame, pl.Series]:
    """All emails and their participants in order of activity_id, which of them each copy is (copy, activity_id), and their ids in order.

    What joins, groups and sorts emails is many times cheaper with numbers than with texts: in the tables and the assignment
    activity_id is the place of the email among the ids.
    """
    keys = by_message_id(copies.copies)
    if keys.height < copies.copies.height:
        keys = pl.concat([keys, by_content(copies.copies, copies.mentions, tolerance_seconds)])
    distinct = keys.select("key").unique()
    distinct = distinct.with_columns(activity_ids("email", distinct.get_column("key"))).sort("activity_id")
    ids = distinct.get_column("activity_id")
    assigned = keys.join(distinct.with_row_index("email"), on="key").select("copy", pl.col("email").alias("key"))
    named = copies.copies.drop("stream", "message_id", "subject_key").with_columns(source_id().alias("source_id"))
    order = named.select("copy", "source_id").with_row_index("row").join(assigned, on="copy").sort("key", "source_id")
    held = named.select(pl.all().gather(order.get_column("row"))).with_columns(order.get_column("key"))
    copy, is_crm = held.lazy(), pl.col("source") == "dataverse"
    of_crm = copy.filter(is_crm).select(pl.col("key").alias("activity_id"), pl.col("record_id").alias("activityid"))
    sender, crm = pl.collect_all([senders(copy), of_crm.join(crm_emails.lazy(), on="activityid")])
    mentioned = copies.mentions.with_columns(email_of(copies.mentions, assigned.rename({"key": "activity_id"})).alias("key"))
    addresses = _each([mentioned.get_column("address"), sender.get_column("address"), owner_address.get_column("address")])
    parties = _each([mentioned.get_column("party_id"), sender.get_column("party_id")])
    # A person is a number, in order: the place among the addresses, or counted on from there the place among the parties.
    address = _place_in(addresses, "address")
    person = pl.coalesce(address, _place_in(parties, "party_id") + len(addresses)).alias("person")
    rows = pl.concat(
        [
            mentioned.select("key", person, "name", pl.col("kind").alias("role")),
            sender.select("key", person, "name", pl.lit("sender").alias("role")),
        ]
    ).lazy()
    received = copy.filter(~is_crm & ~pl.col("is_senders"))
    owned = (frame.lazy().select("user_id", address) for frame in (owners, owner_address))
    extra = delivered(received, rows.rename({"person": "address"}), *owned)
    extra = extra.select("key", pl.col("address").alias("person"), pl.lit("delivered").alias("role"))
    activity, participant, subject = pl.collect_all(
        [
            _email_rows(copy, sender.lazy(), crm.lazy()),
            _participants(pl.concat([rows, extra], how="diagonal"), addresses, parties),
            subject_rows(_subjects(copy)),
        ]
    )
    of_email = crm.select("activity_id", pl.col("activityid").alias("activity"))
    mine = of_email.join(party.filter(pl.col("mask").is_in([1, 2, 3, 4])), on="activity").select(PARTY.keys())
    of_mine = participant.join(mine, on="activity_id", how="semi", maintain_order="left")
    found = Activities(activity, participant, party_rows(mine, of_mine), subject)
    return found, assigned.rename({"key": "activity_id"}), ids


def email_of(rows: pl.DataFrame, assigned: pl.DataFrame) -> pl.Series:
    """The email that the copy of each row is (`assigned`: copy, activity_id), at less cost than a join that copies the rows."""
    found = rows.select("copy").join(assigned, on="copy", how="left", maintain_order="left")
    return found.get_column("activity_id")


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
    machine_senders = sender.filter(machine).select("key", pl.lit(mail.RULES.index("sender_address")).alias("by_sender"))
    first = pl.min_horizontal("automated_rule", "by_sender")
    rule = pl.coalesce(first, pl.when(pl.col("is_bulk")).then(pl.col("bulk_rule")))
    return seen.join(machine_senders, on="key", how="left", maintain_order="left").select(
        "key",
        first.is_not_null().alias("is_automated"),
        "is_bulk",
        rule.cast(pl.Int32)
        .replace_strict(list(range(len(mail.RULES))), mail.RULES, return_dtype=pl.String)
        .alias("machine_rule"),
    )


def _participants(rows: pl.LazyFrame, addresses: pl.Series, parties: pl.Series) -> pl.LazyFrame:
    """PARTICIPANT of emails (key, person, name, role) in order of email, address and party."""
    # One number for email and person is grouped and sorted at a fraction of the cost of texts.
    place = (pl.col("key").cast(pl.UInt64) * _PERSONS + pl.col("person")).alias("place")
    known = rows.filter(pl.col("person").is_not_null()).select(place, "name", "role", pl.lit(None, pl.String).alias("response"))
    everyone = pl.concat([addresses.to_frame("address"), parties.to_frame("party_id")], how="diagonal")
    person = (pl.col("place") % _PERSONS).alias("person")
    found = (
        strongest(known, ["place"])
        .sort("place")
        .with_columns((pl.col("place") // _PERSONS).cast(pl.UInt32).alias("activity_id"), person)
    )
    return found.join(everyone.with_row_index("person").lazy(), on="person", maintain_order="left").select(PARTICIPANT.keys())


def _each(texts: list[pl.Series]) -> pl.Series:
    return pl.concat(texts).drop_nulls().unique().sort()


def _place_in(texts: pl.Series, column: str) -> pl.Expr:
    """Where in some texts that of a column lies, null for one that is not among them."""
    return pl.col(column).cast(pl.Enum(texts), strict=False).to_physical().cast(pl.UInt64).alias(column)


def _email_rows(copies: pl.LazyFrame, sender: pl.LazyFrame, crm: pl.LazyFrame) -> pl.LazyFrame:
    """ACTIVITY of emails from their copies (with `key`, in order of it and of source id), senders, and Dataverse records (with
    activity_id), in order."""
    engagement = crm.group_by("activity_id").agg(
        pl.col("isemailfollowed").fill_null(False).any().alias("is_followed"),
        *[pl.col(column).fill_null(0).max().alias(name) for column, name in ENGAGEMENT.items()],
    )
    # Each has one row for every email, in the same order.
    by_email = [email_times(copies), flags(copies, sender).drop("key")]
    facts = (
        pl.concat(by_email, how="horizontal")
        .rename({"key": "activity_id"})
        .join(regarding(crm), on="activity_id", how="left", maintain_order="left")
        .join(engagement, on="activity_id", how="left", maintain_order="left")
    )
    from_where = sources(copies.rename({"key": "activity_id"})).drop("activity_id")
    activity = pl.concat([facts, from_where], how="horizontal").with_columns(
        pl.lit("email").alias("activity_type"),
        pl.lit("completed").alias("source_state"),
        pl.col("occurred_at").alias("ended_at"),
        pl.col("is_followed").fill_null(False),
        *[pl.col(name).fill_null(0) for name in ENGAGEMENT.values()],
    )
    return completed_columns(activity)


def _subjects(copies: pl.LazyFrame) -> pl.LazyFrame:
    """The subject of the copy of every email that decides: activity_id, subject."""
    # Without collected subjects there is nothing to look for.
    named = copies.filter(pl.col("subject").is_not_null().any())
    return first_of_each(named, DECIDING).select(pl.col("key").alias("activity_id"), "subject")
