"""Columns and types of the normalised tables, as the generator of the lake writes them."""

from typing import Any

import polars as pl

from jobs.extract.keep import TABLES

INSTANT = pl.Datetime("us", "UTC")
_FLAGS = ("is_automated", "is_bulk")
_COUNTERS = ("open_count", "link_click_count", "attachment_count", "attachment_open_count", "reply_count")


def _texts(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.String)


SCHEMAS: dict[str, dict[str, Any]] = {
    "activity": {
        **_texts("activity_id", "activity_type", "source_state"), "occurred_at": INSTANT, "ended_at": INSTANT, "duration_minutes": pl.Float64,
        **dict.fromkeys(_FLAGS, pl.Boolean), "machine_rule": pl.String, "is_all_day": pl.Boolean, "is_private": pl.Boolean, **_texts("regarding_type", "regarding_id"),
        "is_followed": pl.Boolean, **dict.fromkeys(_COUNTERS, pl.Int64), "direction": pl.String, "source_systems": pl.List(pl.String), "source_ids": pl.List(pl.String), "ingested_at": INSTANT,
    },
    "activity_participant": _texts("activity_id", "address", "party_id", "display_name", "role", "response"),
    "activity_party": _texts("activity_id", "address", "party_type", "party_id"),
    "activity_thread": _texts("activity_id", "thread_id"),
    "activity_subject": _texts("activity_id", "subject"),
    "person_address": _texts("address", "domain", "side", "user_id", "contact_id", "lead_id", "account_id", "rule"),
    "record_address": {**_texts("record_type", "record_id", "address"), "position": pl.Int32},
    "account_domain": _texts("account_id", "domain"),
    "internal_domain": _texts("domain"),
    "finding": {**_texts("kind", "address", "chosen_id"), "candidate_count": pl.Int64},
    "quarantine": {
        **_texts("source", "stream", "record_id", "reason", "run_id"), "round": pl.Int64, "page": pl.Int32, "row": pl.Int32, "length": pl.Int64, **_texts("sha256", "payload"),
    },
}  # fmt: skip
"""Every table but those of Dataverse."""

_WHOLE = frozenset(
    (
        "statecode", "statuscode", "industrycode", "leadsourcecode", "accessmode", "participationtypemask", "instancetypecode", "numberofemployees", "opencount",
        "linksclickedcount", "attachmentcount", "attachmentopencount", "replycount", "actualdurationminutes", "scheduleddurationminutes",
    )
)  # fmt: skip
_MONEY = frozenset(("revenue", "revenue_base", "estimatedvalue", "estimatedvalue_base", "actualvalue", "actualvalue_base"))
_INSTANTS = frozenset(
    ("createdon", "modifiedon", "senton", "actualstart", "actualend", "scheduledstart", "scheduledend", "originalstartdate")
)
_BOOLEANS = frozenset(("merged", "isdisabled", "isemailfollowed", "isalldayevent", "ismapiprivate", "isdraft", "directioncode"))
_DATES = frozenset(("estimatedclosedate", "actualclosedate"))


def crm_schemas() -> dict[str, dict[str, Any]]:
    """The `crm_*` tables: the columns that are landed, lookups as id and logical name, labels apart."""
    schemas: dict[str, dict[str, Any]] = {}
    for table in TABLES.values():
        schema: dict[str, Any] = {}
        for column in table.columns:
            name = column.removeprefix("_").removesuffix("_value")
            schema[name] = _type(name)
            if name != column:
                schema[f"{name}_type"] = pl.String
            if column in table.labels:
                schema[f"{name}_label"] = pl.String
        if table.logical_name in ("account", "contact", "lead"):
            schema["master_id"] = pl.String
        schemas[f"crm_{table.logical_name}"] = schema
    return schemas


def _type(name: str) -> Any:
    for names, dtype in (
        (_WHOLE, pl.Int64),
        (_MONEY, pl.Decimal(38, 10)),
        (_INSTANTS, INSTANT),
        (_BOOLEANS, pl.Boolean),
        (_DATES, pl.Date),
    ):
        if name in names:
            return dtype
    return pl.String
