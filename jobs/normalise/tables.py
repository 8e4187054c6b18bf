"""The normalised tables from the raw log: a pure function of its rows and a few rules."""

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from jobs.normalise import calendars, crm, folders, mail_update, monthly, other_update, people, quarantine, replay
from jobs.normalise.calendars import Calendars, NewEvents
from jobs.normalise.identity import Identity, identified
from jobs.normalise.mail_update import NewMail
from jobs.normalise.monthly import Partitions
from jobs.normalise.shelf import Shelf
from jobs.normalise.worked import MailRules, People
from jobs.privacy.opt_out import OptOut, with_people

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
    """Rows of the raw log as functions that give those since the run before, or (False) all; of users and folders they give all, or
    (True) none when there is none since."""

    dataverse: Callable[[bool], pl.DataFrame]
    users: Callable[[bool], pl.DataFrame]
    folders: Callable[[bool], pl.DataFrame]
    calendars: Callable[[bool], NewEvents]
    mail: Callable[[bool], NewMail]
    has_graph: bool


@dataclass(frozen=True)
class KeptRecords:
    """What the run before kept of Dataverse: `records(table)` (`crm.Crm`), counts of `quarantine.passed`, what was in quarantine."""

    records: Callable[[str], pl.DataFrame]
    passed: pl.DataFrame
    quarantined: pl.DataFrame


@dataclass(frozen=True)
class Kept:
    """What the run before kept: the state of each family, that of Dataverse unless its rows are not what they were, the Graph users
    (`people.graph_users`), and the page and reject rows that still tell something; `streams` says what the raw files hold that it
    read."""

    crm: KeptRecords | None
    calendars: calendars.Kept
    mail: mail_update.Kept
    others: other_update.Kept
    users: pl.DataFrame
    control: pl.DataFrame
    streams: pl.DataFrame


@dataclass(frozen=True)
class Normalised:
    """What the lake holds: tables that are written whole (`unchanged`: names of those that are what they were), the months of
    activities that changed, and what is kept for the next run. `mail_kept`, `others_kept`: what of the run before stands."""

    whole: dict[str, pl.DataFrame]
    unchanged: frozenset[str]
    mail: mail_update.Updated
    mail_kept: Partitions | None
    others: other_update.Updated
    others_kept: Partitions | None
    crm: crm.Crm
    crm_passed: pl.DataFrame
    crm_quarantined: pl.DataFrame
    calendars: Calendars
    users: pl.DataFrame
    control: pl.DataFrame
    people: People
    conservation: pl.DataFrame
    internal_domains: list[str]


def normalised(raw: Raw, rules: Rules, kept: Kept | None = None, shelf: Shelf | None = None) -> Normalised:
    """All tables of the normalised lake; the order of rows in `raw` changes nothing, nor does what an earlier run has `kept`.

    What is too much for memory waits on `shelf`, the months of the result too.
    """
    shelf = shelf or Shelf()
    records_before = kept.crm if kept else None
    dataverse = raw.dataverse(records_before is not None)
    read_before = records_before.records if records_before else None
    read = crm.read_tables(dataverse, read_before, {"opportunity": rules.extra_columns}, _flags(rules))
    crm_tables = read.tables
    crm_rows = {name: table.lazy() for name, table in crm_tables.items()}
    user_rows, folder_rows = raw.users(kept is not None), raw.folders(kept is not None)
    users = kept.users if kept is not None and user_rows.is_empty() else people.graph_users(user_rows)
    folder_facts = kept.mail.folders if kept is not None and folder_rows.is_empty() else folders.folder_facts(folder_rows)
    known = identified(crm_rows, users)
    opt_out = _everyone_out(rules, crm_tables, known)
    owners = (known.owners, known.owner_address)
    of_mail = People(folder_facts, *owners, known.party, crm_tables["email"], opt_out)

    # Activities that somebody's opting out took away, or brought back, are in no row that is new.
    before = kept if kept is not None and kept.mail.opt_out == opt_out else None
    mail_before = before.mail if before is not None else None
    mail_rules = MailRules(rules.hash_key, rules.copy_tolerance_seconds, rules.drop_deleted_mail, rules.collect_subjects)
    mails = mail_update.update(raw.mail(mail_before is not None), mail_before, of_mail, mail_rules, shelf)
    new_events = raw.calendars(before is not None)
    events = calendars.update(new_events, before.calendars if before else None, sorted(opt_out.ids))
    moved = mail_update.changed_users(before.mail, of_mail) if before else []
    facts = other_update.Facts(crm_tables, known.first)
    others_before = before.others if before else None
    others = other_update.update(events, facts, of_mail, others_before, moved, rules.collect_subjects, shelf)

    outcomes = pl.concat([mails.outcomes, others.outcomes]).filter(pl.col("outcome") != "kept")
    crm_passed = quarantine.summed([read.passed, *([records_before.passed] if records_before else [])])
    bad = _unreadable_records(dataverse, outcomes, records_before)
    control = [dataverse, new_events.rows, user_rows, folder_rows]
    if kept is not None:
        control.append(kept.control if records_before else kept.control.filter(pl.col("source") != "dataverse"))
    control_rows = replay.control(pl.concat([frame.filter(pl.col("op").is_in(["page", "reject"])) for frame in control]))
    quarantined = [
        *[frame.drop("user_id") for frame in (mails.quarantined, events.quarantined, bad)],
        *[quarantine.of_rejects(rows) for rows in (control_rows, mails.control)],
    ]
    mail_kept = mail_before.partitions if mail_before else None
    others_kept = others_before.partitions if others_before else None
    domains = people.internal_domains(rules.internal_domains, known.domains)
    addresses = [monthly.addresses(part, update.months) for part, update in ((mail_kept, mails), (others_kept, others))]
    person, finding = _persons(pl.concat(addresses), known, crm_rows, domains)
    records = known.records
    whole = {
        "person_address": person,
        "record_address": records.select(RECORD_ADDRESS.keys()).sort("record_type", "record_id", "position"),
        "account_domain": people.account_domains(crm_rows["account"], records.lazy(), domains).collect(),
        "internal_domain": pl.DataFrame({"domain": domains}, schema={"domain": pl.String}),
        "finding": finding,
        "quarantine": pl.concat(quarantined).sort("source", "stream", "round", "page", "row"),
        **{f"crm_{name}": crm.published(table) for name, table in crm_tables.items()},
    }
    return Normalised(
        whole,
        frozenset(f"crm_{name}" for name in read.unchanged),
        mails,
        mail_kept,
        others,
        others_kept,
        read,
        crm_passed,
        bad,
        events,
        users,
        control_rows,
        of_mail,
        quarantine.summed(
            [
                mails.conservation.filter(pl.col("outcome") != "kept"),
                monthly.counted(mails.portions.each("copy", ["stream", "is_out"])),
                monthly.held(others_kept, others.months),
                events.passed,
                _left_out(events.index),
                crm_passed,
                quarantine.counted(_gone(read), pl.lit("removed")),
                quarantine.counted(outcomes, pl.col("outcome")),
            ]
        ),
        domains,
    )


def _flags(rules: Rules) -> dict[str, list[str]]:
    """The columns that opt a record out, by logical name of the table."""
    return {
        logical: columns
        for name, columns in rules.opt_out_flags.items()
        for logical, table in crm.TABLES.items()
        if name in (logical, table.entity_set)
    }


def _persons(
    addresses: pl.DataFrame, known: Identity, tables: dict[str, pl.LazyFrame], domains: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Side and person of every address, and the findings on those that several records claim (`people`)."""
    ranked = people.ranked(known.records.lazy(), tables).collect().lazy()
    team = people.team(known.users.lazy(), known.graph.lazy())
    person = people.person_addresses(addresses.lazy(), ranked, team, domains).collect()
    return person, people.findings(ranked, person.lazy()).collect()


def _everyone_out(rules: Rules, crm_tables: dict[str, pl.DataFrame], known: Identity) -> OptOut:
    flagged = set(rules.opt_out.ids)
    for name in _flags(rules):
        flagged |= set(crm_tables[name].filter("raw_is_flagged").get_column(crm.TABLES[name].key).to_list())
    opt_out = OptOut(frozenset(flagged), rules.opt_out.addresses, rules.opt_out.domains)
    merged = pl.concat(
        [crm_tables[name].select(pl.col(crm.TABLES[name].key).alias("record_id"), "master_id") for name in crm.MERGING]
    )
    return with_people(opt_out, known.records, merged, known.owners, known.linked)


def _unreadable_records(rows: pl.DataFrame, outcomes: pl.DataFrame, kept: KeptRecords | None) -> pl.DataFrame:
    """Quarantine rows of Dataverse activities. `outcomes`: those of all that are behind no activity."""
    key = ["stream", "record_id"]
    entity_sets = [crm.TABLES[name].entity_set for name in crm.ACTIVITIES]
    last = replay.last_known(rows.filter(pl.col("stream").is_in(entity_sets)), key, merge=False, order=replay.IN_STREAM)
    last = last.with_columns(pl.lit(None, dtype=pl.String).alias("user_id"))
    found = quarantine.of_records(last, outcomes, key)
    if kept is None:
        return found
    still = outcomes.filter(pl.col("outcome").str.starts_with("quarantined:"))
    older = kept.quarantined.join(last, on=key, how="anti").join(still, on=key, how="semi")
    return pl.concat([found, older])


def _left_out(index: pl.DataFrame) -> pl.DataFrame:
    """Counts of the events that are behind no activity, by what became of them."""
    outcome = pl.col("outcome").fill_null("removed")
    return quarantine.counted(index.filter(outcome != "kept"), outcome)


def _gone(read: crm.Crm) -> pl.DataFrame:
    """The stream of every Dataverse activity that was removed."""
    stream = pl.col("raw_stream").alias("stream")
    return pl.concat([read.records[name].filter(~pl.col("raw_is_member")).select(stream) for name in crm.ACTIVITIES])
