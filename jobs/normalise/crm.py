"""Dataverse tables, one typed row a record (`crm_<table>`), and what merging and missing annotations mean (N12, N13, L16, R7).

A record is its last row alone (N53), so new rows of the log replace what an earlier run has read and nothing is read twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from jobs.normalise import quarantine, replay
from jobs.normalise.addresses import canonical, guid
from jobs.normalise.frame import Frame
from jobs.normalise.payload import boolean, decoded, whole
from jobs.normalise.times import INSTANT, instant

LOOKUP = "@Microsoft.Dynamics.CRM.lookuplogicalname"
LABEL = "@OData.Community.Display.V1.FormattedValue"
MONEY = pl.Decimal(38, 10)

ANYBODY = ("systemuser", "team", "contact", "lead", "account", "opportunity")
TARGETS: dict[str, tuple[str, ...]] = {
    "regardingobjectid": ("opportunity", "lead", "contact", "account"),
    "customerid": ("contact", "account"),
    "parentcustomerid": ("contact", "account"),
    "ownerid": ("systemuser", "team"),
    "partyid": ANYBODY,
    "record1id": ANYBODY,
    "record2id": ANYBODY,
    "emailsender": ANYBODY,
    "primarycontactid": ("contact",),
    "parentcontactid": ("contact",),
    "parentaccountid": ("account",),
    "originatingleadid": ("lead",),
    "opportunityid": ("opportunity",),
    "businessunitid": ("businessunit",),
    "owningbusinessunit": ("businessunit",),
    "record1roleid": ("connectionrole",),
    "record2roleid": ("connectionrole",),
}
"""Where the id of a lookup without annotation is looked for, in this order (L16)."""


@dataclass(frozen=True)
class Table:
    """A Dataverse table: entity set, key column, and its further columns by kind.

    Lookups become `<column>` and `<column>_type`; `labels` become `<column>_label`.
    """

    entity_set: str
    key: str
    columns: dict[str, str]
    labels: tuple[str, ...] = ()

    def ids(self) -> list[str]:
        """The key, and the columns that name other records."""
        return [self.key, *(name for name, kind in self.columns.items() if kind in ("lookup", "guid"))]

    def schema(self) -> dict[str, pl.DataType]:
        """Columns and types of the crm table."""
        schema: dict[str, pl.DataType] = {self.key: pl.String()}
        for name, kind in self.columns.items():
            schema[name] = TYPES[kind]()
            if kind == "lookup":
                schema[f"{name}_type"] = pl.String()
        return schema | {f"{name}_label": pl.String() for name in self.labels}


TYPES = {
    "text": pl.String,
    "guid": pl.String,
    "lookup": pl.String,
    "int": pl.Int64,
    "bool": pl.Boolean,
    "number": pl.Float64,
    "date": pl.Date,
    "instant": lambda: INSTANT,
    "money": lambda: MONEY,
}


def _table(entity_set: str, key: str, columns: str, labels: str = "") -> Table:
    kinds = dict(part.split(":") for part in columns.split())
    return Table(
        entity_set, key, {name: kind for names, kind in kinds.items() for name in names.split(",")}, tuple(labels.split())
    )


_STATE = "statecode,statuscode:int createdon,modifiedon:instant"
_MERGE = "emailaddress1,emailaddress2,emailaddress3:text ownerid,masterid:lookup merged:bool"

TABLES: dict[str, Table] = {
    "account": _table(
        "accounts",
        "accountid",
        f"name,websiteurl,address1_country:text {_MERGE} {_STATE} primarycontactid,transactioncurrencyid,owningbusinessunit:lookup "
        "industrycode,numberofemployees:int revenue,revenue_base:money",
        "industrycode transactioncurrencyid owningbusinessunit",
    ),
    "contact": _table("contacts", "contactid", f"fullname,jobtitle:text {_MERGE} {_STATE} parentcustomerid:lookup"),
    "lead": _table(
        "leads",
        "leadid",
        f"fullname,companyname:text {_MERGE} {_STATE} leadsourcecode:int owningbusinessunit:lookup",
        "leadsourcecode owningbusinessunit",
    ),
    "opportunity": _table(
        "opportunities",
        "opportunityid",
        f"name,stepname:text {_STATE} customerid,parentaccountid,parentcontactid,originatingleadid,ownerid,owningbusinessunit,"
        "transactioncurrencyid:lookup actualclosedate,estimatedclosedate:date "
        "estimatedvalue,estimatedvalue_base,actualvalue,actualvalue_base:money",
        "transactioncurrencyid owningbusinessunit",
    ),
    "opportunityclose": _table("opportunitycloses", "activityid", f"opportunityid:lookup actualend:instant {_STATE}"),
    "systemuser": _table(
        "systemusers",
        "systemuserid",
        "fullname,internalemailaddress,personalemailaddress,domainname:text azureactivedirectoryobjectid:guid isdisabled:bool "
        "accessmode:int businessunitid:lookup createdon,modifiedon:instant",
    ),
    "businessunit": _table("businessunits", "businessunitid", "name:text"),
    "team": _table("teams", "teamid", "name:text businessunitid:lookup"),
    "teammembership": _table("teammemberships", "teammembershipid", "teamid,systemuserid:guid"),
    "connection": _table(
        "connections", "connectionid", "record1id,record2id,record1roleid,record2roleid:lookup statecode:int"
    ),
    "connectionrole": _table("connectionroles", "connectionroleid", "name:text"),
    "email": _table(
        "emails",
        "activityid",
        f"{_STATE} messageid,inreplyto,sender,subject_key:text senton,actualend:instant emailsender,regardingobjectid:lookup "
        "isemailfollowed:bool opencount,linksclickedcount,attachmentcount,attachmentopencount,replycount:int",
    ),
    "appointment": _table(
        "appointments",
        "activityid",
        f"{_STATE} scheduledstart,scheduledend,originalstartdate:instant scheduleddurationminutes:number "
        "isalldayevent,ismapiprivate,isdraft:bool globalobjectid:text instancetypecode:int regardingobjectid:lookup",
    ),
    "recurringappointmentmaster": _table("recurringappointmentmasters", "activityid", "modifiedon:instant"),
    "phonecall": _table(
        "phonecalls",
        "activityid",
        f"{_STATE} directioncode:bool actualstart,actualend,scheduledstart,scheduledend:instant actualdurationminutes:number "
        "regardingobjectid,ownerid:lookup",
    ),
    "task": _table(
        "tasks",
        "activityid",
        f"{_STATE} actualstart,actualend,scheduledstart,scheduledend:instant actualdurationminutes:number "
        "regardingobjectid,ownerid:lookup",
    ),
    "activityparty": _table(
        "activityparties", "activitypartyid", "activityid:lookup partyid:lookup participationtypemask:int addressused:text"
    ),
}  # fmt: skip
MERGING = ("account", "contact", "lead")
OPEN_BY_DEFAULT = ("account", "contact", "lead", "connection", "opportunity")
ACTIVITIES = ("email", "appointment", "phonecall", "task")
RAW = {
    "raw_stream": pl.String, "raw_round": pl.Int64, "raw_page": pl.Int32, "raw_row": pl.Int32, "raw_received_at": INSTANT,
    "raw_content": pl.UInt64, "raw_is_member": pl.Boolean, "raw_is_flagged": pl.Boolean, "raw_subject": pl.String,
    "raw_address": pl.String,
}  # fmt: skip
"""What is known of a record beside its columns: the place and the hash of its last row, whether it is still there, whether one of the
columns of the opt-out is set, the subject of an activity, and the canonical address of a party."""


@dataclass(frozen=True)
class Crm:
    """All Dataverse tables by logical name: `tables` as they stand, with the columns RAW, lookups resolved and missing states filled
    (R7), account, contact and lead with `master_id`; `records` what the next run builds upon; `unchanged` the tables that are what
    they were; `passed` the counts of `quarantine.passed` for activities."""

    tables: dict[str, pl.DataFrame]
    records: dict[str, pl.DataFrame]
    unchanged: frozenset[str]
    passed: pl.DataFrame


def read_tables(
    rows: pl.DataFrame,
    kept: Callable[[str], pl.DataFrame] | None = None,
    extra: dict[str, dict[str, str]] | None = None,
    flags: dict[str, list[str]] | None = None,
) -> Crm:
    """All tables, from the Dataverse rows of the raw log since the run that `kept` the records of each table, or from all.

    `extra`: further columns by kind (text or number), `flags`: boolean columns that opt a record out; both by logical name.
    """
    parts = rows.partition_by("stream", as_dict=True)
    tables, records, unchanged, passed = {}, {}, set(), []
    for name, table in TABLES.items():
        new = parts.get((table.entity_set,), rows.clear())
        before = kept(name) if kept is not None else _none(table, (extra or {}).get(name, {}))
        records[name] = updated(before, new, table, (extra or {}).get(name, {}), (flags or {}).get(name, []))
        if kept is not None and records[name] is before:
            unchanged.add(name)
        if name in ACTIVITIES and not new.is_empty():
            ids = before.select(
                pl.col("raw_stream").alias("stream"), pl.col(table.key).alias("record_id"), pl.col("raw_content").alias("content")
            )
            passed.append(quarantine.passed(new, ids, ["stream", "record_id"]))
        tables[name] = records[name].filter("raw_is_member")
    every = record_types(tables)
    for name in TABLES:
        untyped = _untyped(tables[name], name)
        if untyped:
            unchanged.discard(name)
        tables[name] = resolved(tables[name], name, every, untyped)
    return Crm(tables, records, frozenset(unchanged), quarantine.summed(passed))


def _untyped(table: pl.DataFrame, name: str) -> list[str]:
    """Lookups of a table that some record has without a type: where there are none, nothing is to be looked for."""
    lookups = [column for column, kind in TABLES[name].columns.items() if kind == "lookup" and column in TARGETS]
    missing = [(pl.col(f"{column}_type").is_null() & pl.col(column).is_not_null()).any().alias(column) for column in lookups]
    found = table.select(missing)
    return [column for column in lookups if found.item(0, column)]


def _none(table: Table, extra: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame(schema={**table.schema(), **{name: TYPES[kind]() for name, kind in extra.items()}, **RAW})


def updated(before: pl.DataFrame, rows: pl.DataFrame, table: Table, extra: dict[str, str], flags: list[str]) -> pl.DataFrame:
    """Every record ever seen, by key: typed columns as last seen, and RAW; of records that are gone the key and RAW alone.

    `before`: the same of the run before, returned itself when `rows`, those of the log since, change nothing. Lookups without
    annotation have a null type still.
    """
    if rows.is_empty():
        return before
    last = replay.last_known(rows, ["stream", "record_id"], merge=False, order=replay.IN_STREAM)
    fresh = typed_records(last, table, extra, flags)
    every = pl.concat([before.join(fresh, on=table.key, how="anti"), fresh.select(before.columns)])
    gone = ended_records(every, rows, table.key)
    return before if fresh.is_empty() and gone.is_empty() else without_content(every, gone, table.key)


def ended_records(every: Frame, rows: Frame, key: str) -> Frame:
    """The keys of records (with RAW) whose membership the `rows` of the log end."""
    shown = every.filter("raw_is_member").select(
        pl.col("raw_stream").alias("stream"),
        pl.col(key).alias("record_id"),
        *[pl.col(f"raw_{name}").alias(name) for name in ("round", "page", "row")],
    )
    return replay.ended(shown, rows, ["stream", "record_id"]).select(pl.col("record_id").alias(key))


def without_content(every: Frame, gone: Frame, key: str) -> Frame:
    """Records in order of their key, of those that are `gone` the key and RAW alone."""
    left = every.join(gone, on=key, how="semi").select(key, *RAW)
    left = left.with_columns(
        pl.lit(False).alias("raw_is_member"),
        pl.lit(None, pl.String).alias("raw_subject"),
        pl.lit(None, pl.String).alias("raw_address"),
    )
    return pl.concat([every.join(gone, on=key, how="anti"), left], how="diagonal").sort(key)


def typed_records(last: Frame, table: Table, extra: dict[str, str], flags: list[str]) -> Frame:
    """The last rows of records as typed columns and RAW (N13)."""
    columns = {**table.columns, **extra}
    fields: dict[str, pl.DataType] = {}
    for name, kind in columns.items():
        source = f"_{name}_value" if kind == "lookup" else name
        fields[source] = pl.String()
        if kind == "lookup":
            fields[source + LOOKUP] = pl.String()
    for name in table.labels:
        fields[_label_source(name, columns)] = pl.String()
    fields |= dict.fromkeys(["subject", *flags], pl.String())
    place = ["stream", "round", "page", "row", "received_at"]
    read = last.select(
        pl.col("record_id").alias(table.key),
        *[pl.col(name).alias(f"raw_{name}") for name in place],
        pl.col("payload").alias("raw_payload"),
        decoded(pl.col("payload"), fields).alias("raw_values"),
    ).unnest("raw_values")
    address = canonical(pl.col("addressused")) if "addressused" in columns else pl.lit(None, pl.String)
    typed = read.select(
        table.key,
        *[_money(name) for name, kind in columns.items() if kind == "money"],
        *[_typed(name, kind) for name, kind in columns.items() if kind != "money"],
        *[guid(pl.col(f"_{name}_value{LOOKUP}")).alias(f"{name}_type") for name, kind in columns.items() if kind == "lookup"],
        *[pl.col(_label_source(name, columns)).alias(f"{name}_label") for name in table.labels],
        *[f"raw_{name}" for name in place],
        quarantine.content(pl.col("raw_payload")).alias("raw_content"),
        pl.lit(True).alias("raw_is_member"),
        pl.any_horizontal(False, *[(pl.col(name) == "true").fill_null(False) for name in flags]).alias("raw_is_flagged"),
        pl.when(table.entity_set in quarantine.FAMILIES).then(pl.col("subject")).alias("raw_subject"),
        address.alias("raw_address"),
    )
    return typed.select(*table.schema(), *extra, *[pl.col(name).cast(kind) for name, kind in RAW.items()])


def _label_source(name: str, columns: dict[str, str]) -> str:
    return (f"_{name}_value" if columns[name] == "lookup" else name) + LABEL


def _typed(name: str, kind: str) -> pl.Expr:
    text = pl.col(f"_{name}_value" if kind == "lookup" else name)
    typed = {
        "text": lambda: text,
        "guid": lambda: guid(text),
        "lookup": lambda: guid(text),
        "int": lambda: whole(text),
        "bool": lambda: boolean(text),
        "number": lambda: text.cast(pl.Float64, strict=False),
        "date": lambda: text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False),
        "instant": lambda: instant(text),
    }
    return typed[kind]().alias(name)


def _money(name: str) -> pl.Expr:
    """Taken from the text of the payload: the digits of the source, not those of a double."""
    digits = pl.col("raw_payload").str.extract(rf'"{name}"\s*:\s*"?(-?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?)')
    plain = digits.cast(MONEY, strict=False)
    return pl.coalesce(plain, digits.cast(pl.Float64, strict=False).cast(MONEY, strict=False)).alias(name)


def record_types(tables: dict[str, Frame]) -> Frame:
    """Every record of the tables that lookups name: type, id."""
    names = dict.fromkeys(name for targets in TARGETS.values() for name in targets)
    return pl.concat([tables[name].select(pl.lit(name).alias("type"), pl.col(TABLES[name].key).alias("id")) for name in names])


def resolved(table: Frame, name: str, records: Frame, untyped: list[str]) -> Frame:
    """A table with the types of `untyped` lookups (L16), missing states filled (R7), and master_id where records merge (N12).

    `records`: those of `record_types`.
    """
    table = with_types(table, records, untyped)
    if name in OPEN_BY_DEFAULT:
        table = table.with_columns(pl.col("statecode").fill_null(0))
    if name == "systemuser":
        table = table.with_columns(pl.col("isdisabled").fill_null(False))
    return masters(table, TABLES[name].key) if name in MERGING else table


def with_types(frame: Frame, records: Frame, lookups: list[str]) -> Frame:
    """`frame` with the missing `<lookup>_type` filled by looking for the id (L16)."""
    for name in lookups:
        targets = TARGETS[name]
        known = records.filter(pl.col("type").is_in(targets))
        rank = pl.col("type").replace_strict(targets, range(len(targets)), return_dtype=pl.UInt8)
        found = known.sort(rank, maintain_order=True).unique("id", keep="first", maintain_order=True)
        frame = (
            frame.join(
                found.select(pl.col("id").alias(name), pl.col("type").alias("__found")),
                on=name,
                how="left",
                maintain_order="left",
            )
            .with_columns(pl.coalesce(f"{name}_type", "__found").alias(f"{name}_type"))
            .drop("__found")
        )
    return frame


def masters(table: Frame, key: str) -> Frame:
    """`table` with `master_id`: the end of the chain of merges, the own id where there is none (N12)."""
    step = pl.struct(pl.col(key).alias("id"), pl.when(pl.col("merged").fill_null(False)).then("masterid").alias("master"))
    return table.with_columns(step.map_batches(_ends, return_dtype=pl.String).alias("master_id"))


def _ends(steps: pl.Series) -> pl.Series:
    rows = steps.struct.unnest()
    step = dict(rows.drop_nulls().iter_rows())
    return rows.get_column("id").replace({start: _end(start, step) for start in step})


def _end(start: str, step: dict[str, str]) -> str:
    seen = [start]
    while (following := step.get(seen[-1])) is not None:
        if following in seen:
            return min(seen[seen.index(following) :])
        seen.append(following)
    return seen[-1]


def record_outcomes(decided: Frame) -> Frame:
    """What became of every record of a table, with `outcome`, as of messages and events: stream, user_id (null), record_id, outcome."""
    return decided.select(
        pl.col("raw_stream").alias("stream"),
        pl.lit(None, dtype=pl.String).alias("user_id"),
        pl.col("activityid").alias("record_id"),
        "outcome",
    )


def published(table: Frame) -> Frame:
    """A table as `crm_<name>` shows it: in order of its key, without what is known of its rows in the raw log."""
    return table.drop(pl.selectors.starts_with("raw_"))
