"""The normalised tables from the raw log: a pure function of its rows and a few rules."""

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from jobs.normalise import activities, crm, folders, mail, meetings, people, quarantine, replay
from jobs.normalise.mail_update import SORT, Kept, MailRules, NewMail, People, Updated, month_of, update
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
    """Rows of the raw log: whole frames, and mail as a function that gives the rows since the run before, or (False) all."""

    dataverse: pl.DataFrame
    users: pl.DataFrame
    folders: pl.DataFrame
    calendars: pl.DataFrame
    mail: Callable[[bool], NewMail]
    has_graph: bool


@dataclass(frozen=True)
class Normalised:
    """What the lake holds: tables that are written whole, those of activities but mail (with `month`), and the months
    of mail that changed since `kept`, the state of the run before as far as it could be used."""

    whole: dict[str, pl.DataFrame]
    others: dict[str, pl.DataFrame]
    mail: Updated
    kept: Kept | None
    people: People
    conservation: pl.DataFrame
    internal_domains: list[str]


def normalised(raw: Raw, rules: Rules, kept: Kept | None = None) -> Normalised:
    """All tables of the normalised lake; the order of rows in `raw` changes nothing, nor does what an earlier run has `kept`."""
    crm_tables = crm.read_tables(raw.dataverse, {"opportunity": rules.extra_columns})
    users = people.graph_users(raw.users)
    records = people.record_addresses(crm_tables, users)
    first = people.first_addresses(crm_tables, records)
    owners, owner_address = people.mailbox_owners(crm_tables, users)
    opt_out = _everyone_out(rules, crm_tables, users, records, owners)
    party = activities.parties(crm_tables["activityparty"], first)
    party = activities.with_named_senders(party, crm_tables["email"], first)

    known = People(folders.folder_facts(raw.folders), owners, owner_address, party, crm_tables["email"], opt_out)
    if kept is not None and (rules.drop_deleted_mail or kept.opt_out != opt_out):
        kept = None
    mail_rules = MailRules(rules.hash_key, rules.copy_tolerance_seconds, rules.drop_deleted_mail, rules.collect_subjects)
    mails = update(raw.mail(kept is not None), kept, known, mail_rules)
    last_events = replay.last_known(raw.calendars, ["stream", "record_id"], merge=True, restart=False)
    meeting, event_outcomes, meeting_outcomes = _meetings(raw.calendars, last_events, crm_tables, known)
    call, call_outcomes = activities.calls_and_tasks(crm_tables["phonecall"], "phone_call", party, first)
    task, task_outcomes = activities.calls_and_tasks(crm_tables["task"], "task", party, first)
    others, gone = _without_opted_out([meeting, call, task], opt_out)
    gone = pl.concat([gone, mails.gone]) if mails.gone is not None else gone

    crm_outcomes = pl.concat([mails.crm_outcomes, meeting_outcomes, call_outcomes, task_outcomes])
    crm_told, crm_bad = _dataverse_accounts(raw.dataverse, _opted_out(crm_outcomes, gone))
    told = [
        mails.conservation,
        _moved(gone.filter(pl.col("stream").str.starts_with("messages/"))),
        crm_told,
        quarantine.conservation(raw.calendars, last_events, _opted_out(event_outcomes, gone)),
    ]
    bad = [
        mails.quarantined.drop("user_id"),
        quarantine.of_records(last_events, event_outcomes, ["stream", "record_id"]),
        crm_bad,
        *[quarantine.of_rejects(rows) for rows in (raw.dataverse, raw.users, raw.folders, raw.calendars, mails.control)],
    ]
    domains = people.internal_domains(rules.internal_domains, crm_tables["systemuser"], users)
    addresses = pl.concat([others["activity_participant"].select("address"), _mail_addresses(mails, kept)])
    person, finding = people.person_addresses(addresses, records, crm_tables, users, domains)
    conservation = pl.concat(told).group_by("stream", "outcome").agg(pl.col("row_count").sum())
    whole = {
        "person_address": person,
        "record_address": records.select(RECORD_ADDRESS.keys()).sort("record_type", "record_id", "position"),
        "account_domain": people.account_domains(crm_tables["account"], records, domains),
        "internal_domain": pl.DataFrame({"domain": domains}, schema={"domain": pl.String}),
        "finding": finding,
        "quarantine": pl.concat(bad).sort("source", "stream", "round", "page", "row"),
        **{f"crm_{name}": crm.published(name, table) for name, table in crm_tables.items()},
    }
    if not rules.collect_subjects:
        others["activity_subject"] = others["activity_subject"].clear()
    return Normalised(
        whole, others, mails, kept, known, conservation.filter(pl.col("row_count") != 0).sort("stream", "outcome"), domains
    )


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


def _meetings(
    rows: pl.DataFrame, last: pl.DataFrame, crm_tables: dict[str, pl.DataFrame], known: People
) -> tuple[activities.Activities, pl.DataFrame, pl.DataFrame]:
    """Meetings, and the outcomes of events and of appointments."""
    events = meetings.latest_events(rows, last)
    is_closed = pl.col("user_id").is_in(sorted(known.opt_out.ids))
    graph = meetings.graph_copies(events.filter(~is_closed))
    of_crm = meetings.dataverse_copies(crm_tables["appointment"], known.party)
    copies = meetings.together([graph, of_crm])
    found = meetings.meetings(copies, crm_tables["appointment"], known.party, known.owners, known.owner_address)
    return found, pl.concat([graph.outcomes, mail.shut_outcomes(events.filter(is_closed))]), of_crm.outcomes


def _without_opted_out(parts: list[activities.Activities], opt_out: OptOut) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """The tables of activities but mail, each with `month`, and the copies of those that are left out (N55)."""
    names = {
        "activity": "activity", "activity_participant": "participant", "activity_party": "party", "activity_subject": "subject"
    }  # fmt: skip
    tables = {name: pl.concat([getattr(part, field) for part in parts]) for name, field in names.items()}
    month = tables["activity"].select("activity_id", month_of(pl.col("occurred_at")))
    copy = pl.concat([part.copy for part in parts])
    out = copy.select("activity_id").clear()
    if opt_out:
        out = opted_out_activities(tables["activity_participant"], tables["activity_party"], opt_out)
    kept = {name: frame.join(out, on="activity_id", how="anti").join(month, on="activity_id") for name, frame in tables.items()}
    sorted_ = {name: frame.sort(SORT[name], nulls_last=True) for name, frame in kept.items()}
    return sorted_, copy.join(out, on="activity_id").select("source", pl.lit("").alias("stream"), "user_id", "record_id")


def _opted_out(outcomes: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """`outcomes` with kept records of dropped activities as ignored."""
    lost = gone.select("user_id", "record_id", pl.lit(True).alias("is_gone")).unique()
    joined = outcomes.join(lost, on=["user_id", "record_id"], how="left", nulls_equal=True)
    is_lost = pl.col("is_gone").fill_null(False) & (pl.col("outcome") == "kept")
    outcome = pl.when(is_lost).then(pl.lit("ignored:opted_out")).otherwise("outcome").alias("outcome")
    return joined.with_columns(outcome).drop("is_gone")


def _dataverse_accounts(rows: pl.DataFrame, outcomes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Conservation and quarantine of the activity tables of Dataverse."""
    told, bad = [], []
    for name in ("email", "appointment", "phonecall", "task"):
        of_table = rows.filter(pl.col("stream") == crm.TABLES[name].entity_set)
        decided = outcomes.filter(pl.col("stream") == crm.TABLES[name].entity_set)
        last = replay.last_known(of_table, ["record_id"], merge=False)
        told.append(quarantine.conservation(of_table, last, decided))
        bad.append(quarantine.of_records(last, decided, ["record_id"]))
    return pl.concat(told), pl.concat(bad)


def _moved(gone: pl.DataFrame) -> pl.DataFrame:
    """What opted-out emails move from kept to ignored: stream, outcome, row_count."""
    counts = gone.group_by("stream").agg(pl.len().cast(pl.Int64).alias("row_count"))
    return pl.concat(
        [
            counts.select("stream", pl.lit("kept").alias("outcome"), -pl.col("row_count")),
            counts.select("stream", pl.lit("ignored:opted_out").alias("outcome"), "row_count"),
        ]
    )


def _mail_addresses(mails: Updated, kept: Kept | None) -> pl.DataFrame:
    parts = [tables["activity_participant"].select("address") for tables in mails.months.values()]
    if kept is not None:
        old = kept.scan("activity_participant", ["address"])
        parts.append(old.filter(~pl.col("month").is_in(list(mails.months))).select("address"))
    return pl.concat([pl.DataFrame(schema={"address": pl.String}), *parts]).unique()
