"""The normalised tables from the raw log: a pure function of its rows and a few rules."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import polars as pl

from jobs.normalise import activities, crm, folders, mail, meetings, people, quarantine, replay, threads
from jobs.normalise.activities import PARTICIPANT, PARTY, SUBJECT
from jobs.privacy.opt_out import OptOut, opted_out_activities, with_people

RECORD_ADDRESS = {"record_type": pl.String, "record_id": pl.String, "address": pl.String, "position": pl.Int32}


@dataclass(frozen=True)
class Rules:
    """Settings that decide what the tables hold."""

    hash_key: str = ""
    internal_domains: list[str] | None = None
    copy_tolerance_seconds: int = 120
    drop_deleted_mail: bool = False
    collect_subjects: bool = False
    extra_columns: dict[str, str] = field(default_factory=dict)
    opt_out: OptOut = field(default_factory=OptOut)
    opt_out_flags: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Rows of the raw log. `messages` gives those of message streams a group of mailboxes at a time, the other frames are whole."""

    dataverse: pl.DataFrame
    users: pl.DataFrame
    folders: pl.DataFrame
    listed: pl.DataFrame
    calendars: pl.DataFrame
    messages: Callable[[], Iterable[pl.DataFrame]]
    has_graph: bool


@dataclass(frozen=True)
class Normalised:
    """The tables by name, activities with their month, and what the snapshot says beside them."""

    tables: dict[str, pl.DataFrame]
    months: pl.DataFrame
    conservation: pl.DataFrame
    internal_domains: list[str]


def normalised(raw: Raw, rules: Rules) -> Normalised:
    """All tables of the normalised lake; the order of rows in `raw` changes nothing."""
    crm_tables = crm.read_tables(raw.dataverse, {"opportunity": rules.extra_columns})
    users = people.graph_users(raw.users)
    records = people.record_addresses(crm_tables, users)
    first = people.first_addresses(crm_tables, records)
    owners, owner_address = people.mailbox_owners(crm_tables, users)
    opt_out = _everyone_out(rules, crm_tables, users, records, owners)
    party = activities.parties(crm_tables["activityparty"], first)
    party = activities.with_named_senders(party, crm_tables["email"], first)

    told: list[pl.DataFrame] = []
    bad: list[pl.DataFrame] = [
        quarantine.of_rejects(rows) for rows in (raw.dataverse, raw.users, raw.folders, raw.calendars, raw.listed)
    ]
    closed = sorted(opt_out.ids)
    kept_mail, mail_outcomes = _mail(raw, rules, party, crm_tables, owners, owner_address, closed, bad, told)
    email, assigned = activities.emails(
        kept_mail, crm_tables["email"], party, owners, owner_address, rules.copy_tolerance_seconds
    )
    meeting, meeting_outcomes, calendar_last = _meetings(raw, crm_tables, party, owners, owner_address, closed, bad)
    call, call_outcomes = activities.calls_and_tasks(crm_tables["phonecall"], "phone_call", party, first)
    task, task_outcomes = activities.calls_and_tasks(crm_tables["task"], "task", party, first)

    every = [email, meeting, call, task]
    activity, participant, parties, subject, copy = (
        pl.concat([getattr(part, name) for part in every]) for name in ("activity", "participant", "party", "subject", "copy")
    )
    out = opted_out_activities(participant, parties, opt_out) if opt_out else activity.select("activity_id").clear()
    activity, participant, parties, subject = (
        frame.join(out, on="activity_id", how="anti") for frame in (activity, participant, parties, subject)
    )
    if not rules.collect_subjects:
        subject = subject.clear()
    assigned = assigned.join(out, on="activity_id", how="anti")
    links = threads.thread_links(assigned, kept_mail.copies, kept_mail.links)
    thread = threads.threads(activity.filter(pl.col("activity_type") == "email").get_column("activity_id"), links)

    gone = copy.join(out, on="activity_id").select("source", "user_id", "record_id")
    crm_outcomes = _opted_out(pl.concat([mail_outcomes[1], meeting_outcomes[1], call_outcomes, task_outcomes]), gone, "dataverse")
    for name in ("email", "appointment", "phonecall", "task"):
        stream = crm.TABLES[name].entity_set
        rows = raw.dataverse.filter(pl.col("stream") == stream)
        last = replay.last_known(rows, ["record_id"], merge=False)
        outcomes = crm_outcomes.filter(pl.col("stream") == stream)
        told.append(quarantine.conservation(rows, last, outcomes))
        bad.append(quarantine.of_records(last, outcomes, ["record_id"]))
    told.append(quarantine.conservation(raw.calendars, calendar_last, _opted_out(meeting_outcomes[0], gone, "graph")))
    told[0] = _moved(told[0], mail_outcomes[0], gone)

    domains = people.internal_domains(rules.internal_domains, crm_tables["systemuser"], users)
    person, finding = people.person_addresses(participant.select("address"), records, crm_tables, users, domains)
    tables = {
        "activity": activity.sort("activity_id"),
        "activity_participant": participant.select(PARTICIPANT.keys()).sort(
            "activity_id", "address", "party_id", nulls_last=True
        ),
        "activity_party": parties.select(PARTY.keys()).sort("activity_id", "address", "party_type", "party_id", nulls_last=True),
        "activity_thread": thread.sort("activity_id"),
        "activity_subject": subject.select(SUBJECT.keys()).sort("activity_id"),
        "person_address": person,
        "record_address": records.select(RECORD_ADDRESS.keys()).sort("record_type", "record_id", "position"),
        "account_domain": people.account_domains(crm_tables["account"], records, domains),
        "internal_domain": pl.DataFrame({"domain": domains}, schema={"domain": pl.String}),
        "finding": finding,
        "quarantine": pl.concat(bad).sort("source", "stream", "round", "page", "row"),
        **{f"crm_{name}": crm.published(name, table) for name, table in crm_tables.items()},
    }
    month = pl.col("occurred_at").dt.strftime("%Y-%m").fill_null("none").alias("month")
    return Normalised(tables, tables["activity"].select("activity_id", month), _summed(told), domains)


def _everyone_out(
    rules: Rules, crm_tables: dict[str, pl.DataFrame], users: pl.DataFrame, records: pl.DataFrame, owners: pl.DataFrame
) -> OptOut:
    flagged = set(rules.opt_out.ids)
    for name, columns in rules.opt_out_flags.items():
        logical = next((logical for logical, table in crm.TABLES.items() if name in (logical, table.entity_set)), None)
        if logical is not None:
            flagged |= crm.flagged_ids(crm_tables[logical], logical, columns)
    opt_out = OptOut(frozenset(flagged), rules.opt_out.addresses, rules.opt_out.domains)
    merged = pl.concat(
        [crm_tables[name].select(pl.col(crm.TABLES[name].key).alias("record_id"), "master_id") for name in crm.MERGING]
    )
    linked = people.linked_users(crm_tables["systemuser"], users, people.graph_addresses(users))
    return with_people(opt_out, records, merged, owners, linked)


def _mail(
    raw: Raw,
    rules: Rules,
    party: pl.DataFrame,
    crm_tables: dict[str, pl.DataFrame],
    owners: pl.DataFrame,
    owner_address: pl.DataFrame,
    closed: list[str],
    bad: list[pl.DataFrame],
    told: list[pl.DataFrame],
) -> tuple[mail.Copies, tuple[pl.DataFrame, pl.DataFrame]]:
    """Mail of all mailboxes and of Dataverse; adds to `bad` (quarantine) and, first of all, to `told` (conservation)."""
    known = folders.folder_facts(raw.folders)
    listed = mail.latest_listed(raw.listed)
    parts, counted = [], []
    for rows in raw.messages():
        latest = mail.latest_messages(rows)
        copies = mail.graph_copies(
            latest.filter(~pl.col("user_id").is_in(closed)), listed, known, owners, owner_address, rules.hash_key
        )
        if rules.drop_deleted_mail:
            copies = mail.without(copies, replay.in_no_folder(mail.placed(rows)))
        shut = latest.filter(pl.col("user_id").is_in(closed))
        outcomes = pl.concat([copies.outcomes, mail.shut_outcomes(shut)])
        counted.append(quarantine.conservation(rows, latest, outcomes))
        bad.append(quarantine.of_rejects(rows))
        bad.append(quarantine.of_records(latest, outcomes, ["user_id", "record_id"]))
        parts.append(mail.Copies(copies.copies, copies.mentions, copies.links, outcomes))
    of_crm = mail.dataverse_copies(crm_tables["email"], party, rules.hash_key)
    told.append(pl.concat(counted) if counted else pl.DataFrame(schema=quarantine.CONSERVATION))
    everything = mail.together([*parts, of_crm])
    graph = pl.concat([part.outcomes for part in parts]) if parts else of_crm.outcomes.clear()
    return everything, (graph, of_crm.outcomes)


def _meetings(
    raw: Raw,
    crm_tables: dict[str, pl.DataFrame],
    party: pl.DataFrame,
    owners: pl.DataFrame,
    owner_address: pl.DataFrame,
    closed: list[str],
    bad: list[pl.DataFrame],
) -> tuple[activities.Activities, tuple[pl.DataFrame, pl.DataFrame], pl.DataFrame]:
    last = replay.last_known(raw.calendars, ["stream", "record_id"], merge=True, restart=False)
    events = meetings.latest_events(raw.calendars, last)
    is_shut = pl.col("user_id").is_in(closed)
    graph = meetings.graph_copies(events.filter(~is_shut))
    outcomes = pl.concat([graph.outcomes, mail.shut_outcomes(events.filter(is_shut))])
    bad.append(quarantine.of_records(last, outcomes, ["stream", "record_id"]))
    of_crm = meetings.dataverse_copies(crm_tables["appointment"], party)
    copies = meetings.together([graph, of_crm])
    found = meetings.meetings(copies, crm_tables["appointment"], party, owners, owner_address)
    return found, (outcomes, of_crm.outcomes), last


def _opted_out(outcomes: pl.DataFrame, gone: pl.DataFrame, source: str) -> pl.DataFrame:
    """`outcomes` with kept records of dropped activities as ignored."""
    lost = gone.filter(pl.col("source") == source).select("user_id", "record_id", pl.lit(True).alias("is_gone")).unique()
    joined = outcomes.join(lost, on=["user_id", "record_id"], how="left", nulls_equal=True)
    is_lost = pl.col("is_gone").fill_null(False) & (pl.col("outcome") == "kept")
    return joined.with_columns(pl.when(is_lost).then(pl.lit("ignored:opted_out")).otherwise("outcome").alias("outcome")).drop(
        "is_gone"
    )


def _moved(told: pl.DataFrame, outcomes: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """Conservation of mail with the copies of opted-out emails taken from kept to ignored."""
    lost = outcomes.filter(pl.col("outcome") == "kept").join(
        gone.filter(pl.col("source") == "graph").select("user_id", "record_id").unique(), on=["user_id", "record_id"], how="semi"
    )
    counts = lost.group_by("stream").agg(pl.len().cast(pl.Int64).alias("row_count"))
    return pl.concat(
        [
            told,
            counts.select("stream", pl.lit("kept").alias("outcome"), -pl.col("row_count")),
            counts.select("stream", pl.lit("ignored:opted_out").alias("outcome"), "row_count"),
        ]
    )


def _summed(told: list[pl.DataFrame]) -> pl.DataFrame:
    total = pl.concat(told).group_by("stream", "outcome").agg(pl.col("row_count").sum())
    return total.filter(pl.col("row_count") != 0).sort("stream", "outcome")
