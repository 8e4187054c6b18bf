"""Mail brought up to date: what new rows of the raw log touch is worked out again, everything else stays as it is.

Copies that share a message id, or a content key with a copy that has none, can decide one email together; such a group is always
worked out whole. A full rebuild is the same work with nothing kept and every row new.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from jobs.normalise import activities, gone, mail, mail_threads, monthly, quarantine, replay, threads
from jobs.normalise.monthly import OUTPUTS, Months, Partitions
from jobs.normalise.portions import Portions, portion
from jobs.normalise.quarantine import QUARANTINED
from jobs.normalise.replay import place
from jobs.normalise.seen import Seen
from jobs.normalise.shards import Frames, Shards
from jobs.normalise.shelf import Finished, Shelf, compacted
from jobs.normalise.side_by_side import side_by_side
from jobs.normalise.worked import FRESH, KEPT, WORKED, MailRules, People, Worked, worked_out
from jobs.privacy.opt_out import OptOut

KEY = ["user_id", "record_id"]
SLIM = {
    name: KEPT["copy"][name]
    for name in ("copy", "source", "activity_id", "month", "place", "same_id", "same_content", "signature")
}
SLIM["portion"] = pl.UInt32()
"""What tells of an old copy whether it stands and with which others it may be of one email."""
SHARD_ROWS = 80_000


@dataclass(frozen=True)
class Kept:
    """What the run before kept: its months, what belongs to copies (KEPT), the first free number of a copy, the places of all messages
    ever seen, and what it knew."""

    partitions: Partitions
    portions: Portions
    next_copy: int
    seen: Seen
    folders: pl.DataFrame
    owners: pl.DataFrame
    owner_address: pl.DataFrame
    conservation: pl.DataFrame
    quarantined: pl.DataFrame
    control: pl.DataFrame
    opt_out: OptOut


@dataclass(frozen=True)
class NewMail:
    """Rows of message and list-pass streams. `groups` gives the new rows of messages and of the list pass, whole mailboxes at a time,
    `row_count` of them in all; `older(kind, users)` reads rows that the run before knew."""

    groups: Callable[[], Iterable[tuple[pl.DataFrame, pl.DataFrame]]]
    row_count: int
    older: Callable[[str, list[str]], pl.DataFrame]


@dataclass(frozen=True)
class Updated:
    """Months that changed with their tables, all that is kept beside them, and what became of the Dataverse emails that are not behind
    an email as they were (stream, user_id, record_id, outcome)."""

    months: Months
    portions: Portions
    outcomes: pl.DataFrame
    next_copy: int
    seen: Seen
    conservation: pl.DataFrame
    quarantined: pl.DataFrame
    control: pl.DataFrame


def update(new: NewMail, kept: Kept | None, people: People, rules: MailRules, shelf: Shelf) -> Updated:
    """Work out what the new rows change; what is too much for memory waits on `shelf`."""
    first = kept.next_copy if kept else 0
    shards = Shards(1 if kept else 1 + new.row_count // SHARD_ROWS, shelf, FRESH)
    read = _read(new, kept, people, rules, shards, first)
    signed = activities.signatures(people.emails, people.party)
    signed_places = signed.with_columns(place("activityid", has_user=False))
    is_crm = pl.col("source") == "dataverse"
    is_touched, is_loose = pl.col("place").is_in(read.touched.implode()), pl.col("same_id").is_null()
    came = shards.everything() if kept is not None else {}
    looked = came["copy"].get_column("same_id").drop_nulls().unique() if came else pl.Series(dtype=pl.UInt64)
    old = _old(kept, is_crm | is_touched | is_loose | pl.col("same_id").is_in(looked.implode()))
    old_crm = old.filter(is_crm)
    same = old_crm.join(signed_places, on=["place", "signature"], how="semi")
    unchanged = signed_places.filter(pl.col("place").is_in(same.get_column("place").implode()))
    changed = people.emails.join(unchanged, on="activityid", how="anti")
    of_crm = mail.dataverse_copies(changed, people.party, rules.hash_key)
    crm = _numbered(_fresh(of_crm, signed), read.next_copy)
    free = read.next_copy + of_crm.copies.height
    if kept is not None:
        # Dataverse copies that are not what they were no longer stand, nor do those of messages that were touched.
        replaced = pl.concat([old_crm.join(same, on="copy", how="anti"), old.filter(~is_crm & is_touched)])
        fresh = {name: pl.concat([came[name], crm[name]]) for name in FRESH}
        members = _members(fresh["copy"], replaced, old, looked, kept)
        months, portions = _changed(kept, fresh, replaced, members, free, people, rules, shelf)
        free += members.height
    else:
        shards.add(crm)
        months, portions = _rebuilt(shards, people, rules, shelf)
    return Updated(
        months,
        portions,
        of_crm.outcomes,
        free,
        read.seen,
        read.conservation,
        read.quarantined,
        read.control,
    )


def _rebuilt(shards: Shards, people: People, rules: MailRules, shelf: Shelf) -> tuple[Months, Portions]:
    """Every month and portion, with nothing kept."""
    parts: monthly.Parts = {}
    portions = Portions()
    mail_threads.of_all(_bundles_worked_out(shards, people, rules, shelf, parts, portions), shelf, parts)
    return monthly.rewritten(None, OUTPUTS, parts, [], {}, shelf), portions


def _bundles_worked_out(
    shards: Shards, people: People, rules: MailRules, shelf: Shelf, parts: monthly.Parts, portions: Portions
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Add what the copies of each bundle are to `parts`, and these copies to `portions`; gives its emails (activity_id, month, is_out)
    and what ties them (email, its place among them, and node)."""

    def work(fresh: Frames) -> tuple[Worked, dict[str, Finished]]:
        worked = worked_out(fresh, people, rules)
        return worked, portion(worked.kept, shelf)

    for worked, kept in side_by_side(work, shards.bundles()):
        monthly.split(worked.tables, WORKED, shelf, parts)
        portions.tables.append(kept)
        yield worked.email, worked.tied


def _changed(
    kept: Kept,
    fresh: Frames,
    replaced: pl.DataFrame,
    members: pl.DataFrame,
    free: int,
    people: People,
    rules: MailRules,
    shelf: Shelf,
) -> tuple[Months, Portions]:
    """The months and portions that have another content for the copies that came (`fresh`) and went (`replaced`).

    `members`: old copies to work out again, which get new numbers from `free` on.
    """
    fresh = {name: pl.concat([fresh[name], _loaded(kept, name, members, free)]) for name in FRESH}
    worked = worked_out(fresh, people, rules)
    lost = pl.concat([members, replaced])
    touched = lost.select("activity_id", "month").unique()
    stale = pl.concat([touched.select("activity_id"), worked.email.select("activity_id")]).unique()
    found, regrouped, gone = mail_threads.of_touched(kept.partitions, kept.portions, touched, stale, worked.email, worked.tied)
    months = pl.concat([worked.email.select("activity_id", "month"), regrouped]).unique("activity_id")
    threads_ = monthly.ordered("activity_thread", found.join(months, on="activity_id"))
    of_threads = pl.concat([stale, regrouped.select("activity_id")])
    rewritten = monthly.rewritten(
        kept.partitions,
        OUTPUTS,
        monthly.split({**worked.tables, "activity_thread": threads_}, OUTPUTS, shelf),
        lost.get_column("month").unique().to_list(),
        {name: of_threads if name == "activity_thread" else stale for name in OUTPUTS},
        shelf,
    )
    return rewritten, kept.portions.adding(worked.kept, gone, shelf)


@dataclass(frozen=True)
class _Read:
    """Messages that the new rows touch: the number after that of their last copy, their places, and what follows for the counts."""

    next_copy: int
    touched: pl.Series
    seen: Seen
    conservation: pl.DataFrame
    quarantined: pl.DataFrame
    control: pl.DataFrame


@dataclass(frozen=True)
class _Portion:
    """What one group of mailboxes adds: its copies and all that belongs to them, and parts of the other columns of `_Read`."""

    fresh: Frames
    counts: list[pl.DataFrame]
    bad: pl.DataFrame
    places: list[pl.Series]
    control: list[pl.DataFrame]


def _read(new: NewMail, kept: Kept | None, people: People, rules: MailRules, shards: Shards, first: int) -> _Read:
    """Read what the new rows touch, and add its copies to `shards`, numbered from `first`."""
    closed = sorted(people.opt_out.ids)
    none = mail.placed(new.older("messages", []))
    told = (
        (kept.control, kept.conservation) if kept is not None else (_control(none), pl.DataFrame(schema=quarantine.CONSERVATION))
    )
    boxes = gone.mailboxes(people.folders, *told)
    counts, bad, places, control = [], [], [], [_control(none)]
    groups = ((mail.placed(rows), None, mail.placed(listed)) for rows, listed in new.groups())
    if kept is not None:
        groups = iter([_touched_rows([(none, None, none), *groups], new, kept, people, boxes if rules.drop_deleted else None)])
        counts.append(kept.conservation)
        control.append(kept.control)

    def portion(group: tuple[pl.DataFrame, pl.DataFrame | None, pl.DataFrame]) -> _Portion:
        rows, older, listed = group
        latest = mail.latest_messages(rows)
        is_closed = pl.col("user_id").is_in(closed)
        copies = mail.graph_copies(
            latest.filter(~is_closed),
            mail.latest_listed(listed),
            people.folders,
            people.owners,
            people.owner_address,
            rules.hash_key,
        )
        if rules.drop_deleted:
            copies = mail.without(copies, gone.in_no_folder(rows, boxes))
        outcomes = pl.concat([copies.outcomes, mail.shut_outcomes(latest.filter(is_closed))])
        outcomes = _without_unheld(outcomes, rows, boxes)
        counts = [quarantine.conservation(rows.lazy(), latest.lazy(), outcomes.lazy()).collect()]
        if older is not None:
            counts.append(_before(older, kept, closed, rules.drop_deleted))
        facts = latest.select(*KEY, "source", *quarantine.PLACE[1:], "payload")
        bad = compacted(quarantine.of_records(facts, outcomes, KEY))
        places = [frame.filter(pl.col("record_id").is_not_null()).select(place()).to_series() for frame in (rows, listed)]
        fresh_rows = rows if older is None else rows.join(older, on=quarantine.PLACE[1:], how="anti")
        return _Portion(_fresh(copies, None), counts, bad, places, [_control(listed), _control(fresh_rows)])

    for part in side_by_side(portion, groups):
        shards.add(_numbered(part.fresh, first))
        first += part.fresh["copy"].height
        counts += part.counts
        bad.append(part.bad)
        places += part.places
        control += part.control
    touched = pl.concat([pl.Series("place", [], dtype=pl.UInt64), *places]).unique()
    quarantined = pl.concat([pl.DataFrame(schema=QUARANTINED), *(frame.select(QUARANTINED.keys()) for frame in bad)])
    seen = kept.seen if kept is not None else Seen()
    if kept is not None:
        quarantined = pl.concat([quarantined, kept.quarantined.filter(~place().is_in(touched.implode()))])
    return _Read(first, touched, seen.adding(touched), quarantine.summed(counts), quarantined, replay.control(pl.concat(control)))


def _control(rows: pl.DataFrame) -> pl.DataFrame:
    """Page and reject rows: what tells which listings are complete and what could not be taken in."""
    return compacted(rows.filter(pl.col("op").is_in(["page", "reject"])).drop("user_id", "folder_id"))


def _touched_rows(
    groups: list[tuple[pl.DataFrame, None, pl.DataFrame]], new: NewMail, kept: Kept, people: People, boxes: gone.Mailboxes | None
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Message rows of all that is touched, those of them that were known before, and its rows of the list pass.

    Touched is what a new row names, unreadable messages that a new listing may leave out, and whole mailboxes whose owner or folders
    are not what they were, or of which (with `boxes`) other messages may be in no folder.
    """
    rows, listed = (pl.concat([group[part] for group in groups]) for part in (0, 2))
    moved = sorted({*changed_users(kept, people), *(gone.relisted(rows, boxes).get_column("user_id") if boxes else [])})
    unreadable = kept.quarantined.filter(pl.col("user_id").is_in(rows.get_column("user_id").unique().implode()))
    named = pl.concat([frame.select(KEY) for frame in (rows, listed, unreadable)]).drop_nulls().unique()
    known = named.filter(kept.seen.has(named.select(place()).to_series()))
    users = sorted({*known.get_column("user_id").to_list(), *moved})
    if not users:
        return rows, rows.clear(), listed
    is_moved = pl.col("user_id").is_in(moved)
    is_named = place().is_in(named.select(place().implode()).to_series())

    def older(kind: str) -> pl.DataFrame:
        every = mail.placed(new.older(kind, users))
        return every.filter(is_moved | is_named)

    before, listed_before = older("messages"), older("messageHeaders")
    return pl.concat([before, rows]), before, pl.concat([listed_before, listed])


def changed_users(kept: Kept, people: People) -> list[str]:
    """Users whose addresses, or the facts of whose folders, differ from those of the run before."""
    pairs = ((kept.owners, people.owners), (kept.owner_address, people.owner_address), (kept.folders, people.folders))
    different = []
    for before, now in pairs:
        before, now = (
            frame.filter(~pl.col("counts") | pl.col("is_sent") | ~pl.col("is_there")) if "counts" in frame.columns else frame
            for frame in (before, now)
        )
        different += [before.join(now, on=now.columns, how="anti"), now.join(before, on=now.columns, how="anti")]
    return sorted(set(pl.concat([frame.select("user_id") for frame in different]).get_column("user_id").to_list()))


def _before(older: pl.DataFrame, kept: Kept, closed: list[str], drop_deleted: bool) -> pl.DataFrame:
    """The counts that the touched rows had in the run before, to be taken off."""
    latest = mail.latest_messages(older)
    is_closed = pl.col("user_id").is_in(closed)
    read = mail.read_messages(latest.filter(~is_closed), kept.folders).select("stream", *KEY, "outcome")
    boxes = gone.mailboxes(kept.folders, kept.control, kept.conservation)
    if drop_deleted:
        read = mail.without_outcomes(read, gone.in_no_folder(older, boxes))
    outcomes = _without_unheld(pl.concat([read, mail.shut_outcomes(latest.filter(is_closed))]), older, boxes)
    counted = quarantine.conservation(older.lazy(), latest.lazy(), outcomes.lazy()).collect()
    return counted.with_columns(-pl.col("row_count"))


def _without_unheld(outcomes: pl.DataFrame, rows: pl.DataFrame, boxes: gone.Mailboxes[pl.DataFrame]) -> pl.DataFrame:
    """`gone.without_unheld`, which asks nothing of the rows when all messages are readable, as nearly always."""
    is_bad = outcomes.get_column("outcome").str.starts_with("quarantined:")
    return gone.without_unheld(outcomes, rows, boxes) if is_bad.any() else outcomes


def _fresh(copies: mail.Copies, signed: pl.DataFrame | None) -> Frames:
    """Copies, mentions and nodes as they are kept (FRESH), numbered from 0; `signed`: signatures of Dataverse emails."""
    marked = copies.copies.with_columns(
        place(),
        pl.when(pl.col("message_id").is_not_null()).then(pl.col("message_id").hash(1)).alias("same_id"),
        pl.concat_str(pl.col("sender_address").fill_null(""), "subject_key", separator=" ").hash(4).alias("same_content"),
        pl.lit(None, dtype=pl.UInt64).alias("signature"),
    )
    if signed is not None:
        marked = marked.drop("signature").join(signed, left_on="record_id", right_on="activityid", how="left")
    nodes = threads.nodes(copies.copies, copies.links)
    tables = (("copy", marked), ("mention", copies.mentions), ("node", nodes))
    return {name: frame.select(FRESH[name].keys()) for name, frame in tables}


def _numbered(fresh: Frames, first: int) -> Frames:
    """`fresh` with copies numbered from `first`."""
    number = (pl.col("copy") + first).cast(pl.UInt32)
    return {name: frame.with_columns(number) for name, frame in fresh.items()}


def _old(kept: Kept | None, which: pl.Expr) -> pl.DataFrame:
    """Copies of the run before (SLIM) that a condition on these columns holds for."""
    return kept.portions.rows("copy", [*SLIM], which) if kept is not None else pl.DataFrame(schema=SLIM)


def _members(fresh: pl.DataFrame, replaced: pl.DataFrame, old: pl.DataFrame, looked: pl.Series, kept: Kept) -> pl.DataFrame:
    """Old copies that may be of one email with a copy that came or went, directly or by way of others.

    `old`: all old copies without message id, and all whose same_id is among `looked`.
    """
    of_loose = [frame.filter(pl.col("same_id").is_null()).select("same_content") for frame in (fresh, old)]
    contents_of_loose = pl.concat(of_loose).to_series().unique()
    found = old.filter(pl.col("same_id").is_in(looked.implode())).join(replaced, on="copy", how="anti")
    more = pl.concat([frame.select("same_id", "same_content") for frame in (fresh, replaced, found)])
    asked = [looked, more.get_column("same_content").clear()]
    while True:
        ids, contents = more.get_column("same_id").drop_nulls(), more.get_column("same_content")
        wanted = [ids, contents.filter(contents.is_in(contents_of_loose.implode()))]
        wanted = [keys.filter(~keys.is_in(known.implode())).unique() for keys, known in zip(wanted, asked, strict=True)]
        if all(keys.is_empty() for keys in wanted):
            return found
        is_of = pl.col("same_id").is_in(wanted[0].implode()) | pl.col("same_content").is_in(wanted[1].implode())
        more = _old(kept, is_of.fill_null(False))
        more = more.join(pl.concat([replaced, found]), on="copy", how="anti")
        found = pl.concat([found, more])
        asked = [pl.concat(pair) for pair in zip(asked, wanted, strict=True)]


def _loaded(kept: Kept, name: str, members: pl.DataFrame, free: int) -> pl.DataFrame:
    """Rows of the member copies in a kept table, without what is worked out anew, and numbered from `free`."""
    copies = members.get_column("copy")
    rows = kept.portions.rows(name, [*FRESH[name]], pl.col("copy").is_in(copies.implode()), members.get_column("portion"))
    numbers = copies.sort().to_frame().with_row_index("new", offset=free)
    numbered = rows.join(numbers, on="copy", maintain_order="left").with_columns(pl.col("new").alias("copy")).drop("new")
    return numbered.sort("copy", maintain_order=True)
