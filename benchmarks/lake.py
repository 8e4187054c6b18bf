"""A normalised lake of many activities, written directly: input of the benchmark `build`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.columns import guids, hex_texts, instants, numbered
from benchmarks.lake_schema import SCHEMAS, crm_schemas

AS_OF = int(datetime(2026, 7, 6, tzinfo=UTC).timestamp())
DAY = 86_400
MONTHS = [(2024 + (6 + i) // 12, (6 + i) % 12 + 1) for i in range(25)]
"""Calendar months that hold activities: July 2024 to July 2026, the last one up to as-of."""
_TYPES = np.array(["email", "meeting", "phone_call", "task"])
_SHARES = [0.80, 0.12, 0.05, 0.03]
_RESPONSES = np.array(["accepted", "tentative", "declined", "none"])
_STRANGERS = 2_000


@dataclass
class Lake:
    """A company whose size follows `activities`: three participants an activity; the same arguments give the same lake.

    An email thread belongs to one contact of one account and mostly to the account's owner, so that accounts, contacts, leads and
    opportunities all have links; 15 % of the activities are tracked, 5 % of the emails are machine mail, 10 % are internal.
    """

    activities: int = 10_000_000
    seed: int = 7
    files: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def write(self, home: Path) -> dict[str, int]:
        """Write every table and the manifest; gives rows by table."""
        root = home / "lake" / "normalised"
        per_month = np.diff(np.linspace(0, self.activities, len(MONTHS) + 1).astype(int))
        for i, (year, month) in enumerate(MONTHS):
            begin = int(datetime(year, month, 1, tzinfo=UTC).timestamp())
            end = min(AS_OF, int(datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()))
            self._write_month(
                root,
                f"month={year}-{month:02}",
                "base",
                int(per_month[i]),
                begin,
                end,
                np.random.default_rng((self.seed, 100 + i)),
            )
        for name, frame in self._records():
            self._put(root, name, f"{name}/base.parquet", frame)
        for name, schema in {**SCHEMAS, **crm_schemas()}.items():
            if name not in self.files:
                self._put(root, name, f"{name}/base.parquet", pl.DataFrame(schema=schema))
        self._write_manifest(root, "base", None, [])
        return dict(self.rows)

    def write_day(self, home: Path, activities: int = 10_000) -> dict[str, int]:
        """Add the activities of the day after as-of and a manifest that names them as changed; `write` comes first."""
        root = home / "lake" / "normalised"
        month = f"month={MONTHS[-1][0]}-{MONTHS[-1][1]:02}"
        ids = self._write_month(root, month, "day", activities, AS_OF, AS_OF + DAY, np.random.default_rng((self.seed, 99)))
        changes = "changes/day.parquet"
        (root / "changes").mkdir(exist_ok=True)
        tables = pl.DataFrame({"table": ["activity", "activity_participant", "activity_party", "activity_thread"]})
        named = tables.join(pl.DataFrame({"column": ["activity_id"]}), how="cross").join(ids.to_frame("key"), how="cross")
        named.write_parquet(root / changes)
        self._write_manifest(root, "day", "base", [{"since": "base", "file": changes}])
        return dict(self.rows)

    @cached_property
    def _size(self) -> dict[str, int]:
        n = self.activities
        return {
            "users": max(6, n // 20_000),
            "accounts": max(8, n // 500),
            "contacts": max(24, n // 125),
            "leads": max(4, n // 2_000),
            "opportunities": max(16, n // 333),
        }

    @cached_property
    def _ids(self) -> dict[str, pl.Series]:
        rng = np.random.default_rng((self.seed, 1))
        return {name: guids(rng, count) for name, count in self._size.items()}

    @cached_property
    def _addresses(self) -> dict[str, pl.Series]:
        size = self._size
        contact = pl.int_range(size["contacts"])
        return {
            "users": numbered("user", size["users"], "@nordwerk.example"),
            "contacts": pl.select(pl.format("person{}@firm{}.example", contact, contact % size["accounts"])).to_series(),
            "leads": numbered("lead", size["leads"], "@prospect.example"),
            "strangers": numbered("stranger", _STRANGERS, "@elsewhere.example"),
        }

    def _write_month(
        self, root: Path, month: str, name: str, count: int, begin: int, end: int, rng: np.random.Generator
    ) -> pl.Series:
        facts = self._facts(count, begin, end, rng)
        activity_id = hex_texts(rng, count, 32)
        emails = pl.DataFrame({"activity_id": activity_id, "thread": facts["thread"]}).filter(pl.Series(facts["type"] == 0))
        self._put(root, "activity", f"activity/{month}/{name}.parquet", self._activity(activity_id, facts).sort("activity_id"))
        self._put(
            root,
            "activity_thread",
            f"activity_thread/{month}/{name}.parquet",
            emails.select("activity_id", thread_id=pl.col("activity_id").min().over("thread")).sort("activity_id"),
        )
        people = self._participants(activity_id, facts, rng)
        self._put(
            root,
            "activity_participant",
            f"activity_participant/{month}/{name}.parquet",
            people.select(SCHEMAS["activity_participant"].keys()).sort("activity_id", "address"),
        )
        parties = people.filter("is_tracked", pl.col("party").is_not_null()).select(
            "activity_id", "address", party_type="party_table", party_id="party"
        )
        self._put(root, "activity_party", f"activity_party/{month}/{name}.parquet", parties.sort("activity_id", "party_id"))
        return activity_id

    def _facts(self, count: int, begin: int, end: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """What each activity is, as numbers: its thread, and the people and records of that thread."""
        size = self._size
        threads = max(1, count // 4)
        contact = rng.integers(size["contacts"], size=threads)
        owner = contact % size["accounts"] % size["users"]
        user = np.where(rng.random(threads) < 0.7, owner, rng.integers(size["users"], size=threads))
        opportunity = (contact % size["accounts"]) + size["accounts"] * rng.integers(
            max(1, size["opportunities"] // size["accounts"]), size=threads
        )
        starts = begin + rng.integers(max(1, (end - begin) * 9 // 10), size=threads)
        thread = rng.integers(threads, size=count)
        kind = rng.choice(4, size=count, p=_SHARES)
        return {
            "thread": thread, "type": kind, "contact": contact[thread], "user": user[thread], "opportunity": np.minimum(opportunity[thread], size["opportunities"] - 1),
            "at": np.minimum(starts[thread] + rng.exponential(2 * DAY, size=count).astype(np.int64), end - 1), "is_ours": rng.random(count) < 0.55,
            "is_internal": (rng.random(threads) < 0.1)[thread], "draw": rng.random(count), "minutes": rng.choice([15, 30, 45, 60, 90], size=count), "machine": rng.random(count),
        }  # fmt: skip

    def _activity(self, activity_id: pl.Series, facts: dict[str, np.ndarray]) -> pl.DataFrame:
        kind, draw, at = facts["type"], facts["draw"], facts["at"]
        is_email, is_meeting = kind == 0, kind == 1
        minutes = np.where(is_email, 0, facts["minutes"])
        regards = np.where(draw < 0.12, 1, np.where(draw < 0.15, 2, 0))
        is_tracked = _is_tracked(facts)
        is_automated, is_bulk = is_email & (facts["machine"] < 0.02), is_email & (facts["machine"] > 0.97)
        is_followed = is_email & is_tracked & facts["is_ours"]
        regarding = pl.select(
            pl.when(pl.Series(regards == 1))
            .then(self._ids["opportunities"].gather(facts["opportunity"]))
            .when(pl.Series(regards == 2))
            .then(self._ids["contacts"].gather(facts["contact"]))
        ).to_series()
        counters = {
            name: pl.Series(np.where(is_followed, (draw * factor).astype(int) % 4, 0)).cast(pl.Int64)
            for name, factor in (
                ("open_count", 97),
                ("link_click_count", 53),
                ("attachment_count", 31),
                ("attachment_open_count", 29),
                ("reply_count", 23),
            )
        }
        frame = pl.DataFrame(
            {
                "activity_id": activity_id, "activity_type": pl.Series(_TYPES[kind]), "source_state": pl.Series(np.where(is_email, "completed", np.where(is_meeting, "open", "completed"))),
                "occurred_at": instants(at), "ended_at": instants(np.where(is_meeting, at + minutes * 60, at)), "duration_minutes": minutes.astype(float),
                "is_automated": is_automated, "is_bulk": is_bulk, "machine_rule": pl.Series(np.where(is_automated, "auto_submitted", "list_unsubscribe")),
                "is_all_day": np.zeros(len(kind), bool), "is_private": is_meeting & (facts["machine"] < 0.02),
                "regarding_type": pl.Series(np.where(regards == 1, "opportunity", "contact")), "regarding_id": regarding, "is_followed": is_followed, **counters,
                "direction": pl.Series(np.where(facts["is_ours"], "outgoing", "incoming")), "is_tracked": is_tracked,
                "is_email": is_email, "is_call": kind == 2,
            }
        )  # fmt: skip
        systems = pl.when("is_tracked").then(pl.lit(["dataverse", "graph"])).otherwise(pl.lit(["graph"]))
        return frame.with_columns(
            *(pl.when("is_email").then(name).alias(name) for name in counters),
            duration_minutes=pl.when(~pl.col("is_email")).then("duration_minutes"),
            machine_rule=pl.when(pl.col("is_automated") | pl.col("is_bulk")).then("machine_rule"),
            regarding_type=pl.when(pl.col("regarding_id").is_not_null()).then("regarding_type"),
            direction=pl.when("is_call").then("direction"),
            source_systems=systems,
            source_ids=pl.concat_list(pl.concat_str(pl.lit("graph:mailbox/"), "activity_id")),
            ingested_at=pl.lit(datetime.fromtimestamp(AS_OF, UTC)),
        ).select(pl.col(name).cast(dtype) for name, dtype in SCHEMAS["activity"].items())

    def _participants(self, activity_id: pl.Series, facts: dict[str, np.ndarray], rng: np.random.Generator) -> pl.DataFrame:
        """The two main people of each activity and up to three more; a task has its owner alone."""
        size, kind, is_ours = self._size, facts["type"], facts["is_ours"]
        count = len(kind)
        second = (facts["user"] + 1) % size["users"]
        other_contact = (facts["contact"] + size["accounts"]) % size["contacts"]
        draws = rng.random((count, 4))
        is_task, is_internal = kind == 3, facts["is_internal"]
        first_role = _roles(kind, is_ours)
        second_role = _roles(kind, ~is_ours)
        more = np.array(["cc", "optional", "callee", "owner"])[kind]
        response = np.where(kind == 1, _RESPONSES[(draws[:, 3] * 4).astype(int)], "")
        slots = (
            ("users", facts["user"], np.where(is_task, "owner", np.where(is_internal, _roles(kind, np.ones(count, bool)), first_role)), np.ones(count, bool)),
            ("contacts", facts["contact"], second_role, ~is_task & ~is_internal),
            ("users", second, np.where(is_internal, _roles(kind, np.zeros(count, bool)), more), ~is_task & (is_internal | (draws[:, 0] < 0.5))),
            ("contacts", other_contact, more, ~is_task & ~is_internal & (draws[:, 1] < 0.35)),
            ("strangers", rng.integers(_STRANGERS, size=count), more, ~is_task & ~is_internal & (draws[:, 2] < 0.3)),
        )  # fmt: skip
        is_tracked = _is_tracked(facts)
        parts = []
        for table, index, role, mask in slots:
            who = index[mask]
            ids = self._ids.get(table)
            parts.append(
                pl.DataFrame(
                    {
                        "activity_id": activity_id.filter(pl.Series(mask)), "address": self._addresses[table].gather(who), "party_id": pl.Series([None] * len(who), dtype=pl.String),
                        "display_name": pl.Series([None] * len(who), dtype=pl.String), "role": pl.Series(role[mask]), "response": pl.Series(np.where(role[mask] == "organizer", "accepted", response[mask])),
                        "is_tracked": is_tracked[mask], "party": ids.gather(who) if ids is not None else pl.Series([None] * len(who), dtype=pl.String),
                        "party_table": pl.Series(["systemuser" if table == "users" else "contact"]).gather(np.zeros(len(who), int)),
                    }
                )
            )  # fmt: skip
        return (
            pl.concat(parts)
            .with_columns(response=pl.when(pl.col("response") != "").then("response"))
            .unique(["activity_id", "address"], keep="first", maintain_order=True)
        )

    def _records(self) -> Iterator[tuple[str, pl.DataFrame]]:
        ids, addresses = self._ids, self._addresses
        sides = (
            ("users", "us", "user_id", "user"),
            ("contacts", "them", "contact_id", "contact"),
            ("leads", "them", "lead_id", "lead"),
            ("strangers", "them", None, "address"),
        )
        people = [
            pl.DataFrame({"address": addresses[table], **({column: ids[table]} if column else {})}).with_columns(
                side=pl.lit(side), rule=pl.lit(rule)
            )
            for table, side, column, rule in sides
        ]
        frame = pl.concat(people, how="diagonal").with_columns(domain=pl.col("address").str.split("@").list.last())
        yield "person_address", _typed(frame, SCHEMAS["person_address"])
        records = [
            pl.DataFrame({"record_id": ids[table], "address": addresses[table]}).with_columns(record_type=pl.lit(kind))
            for table, kind in (("users", "systemuser"), ("contacts", "contact"), ("leads", "lead"))
        ]
        yield "record_address", _typed(pl.concat(records).with_columns(position=0), SCHEMAS["record_address"])
        accounts = self._size["accounts"]
        yield "account_domain", pl.DataFrame({"account_id": ids["accounts"], "domain": numbered("firm", accounts, ".example")})
        yield "internal_domain", pl.DataFrame({"domain": ["nordwerk.example"]})
        schemas = crm_schemas()
        for name, rows in self._crm():
            yield name, _typed(rows, schemas[name])

    def _crm(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """The Dataverse tables that the marts read; the rest stays empty."""
        ids, size = self._ids, self._size
        rng = np.random.default_rng((self.seed, 2))
        unit = guids(rng, 3)
        users, owners = ids["users"], np.arange(size["accounts"]) % size["users"]
        early = instants(np.full(1, AS_OF - 900 * DAY)).item()
        common = {
            "statecode": pl.lit(0),
            "createdon": pl.lit(early),
            "modifiedon": pl.lit(early),
            "ownerid_type": pl.lit("systemuser"),
            "merged": pl.lit(False),
        }
        yield "crm_businessunit", pl.DataFrame({"businessunitid": unit, "name": ["North", "South", "West"]})
        yield (
            "crm_systemuser",
            pl.DataFrame(
                {
                    "systemuserid": users,
                    "fullname": numbered("User ", size["users"]),
                    "internalemailaddress": self._addresses["users"],
                    "businessunitid": unit.gather(np.arange(size["users"]) % 3),
                }
            ).with_columns(isdisabled=pl.lit(False), accessmode=0, modifiedon=pl.lit(early)),
        )
        firsts = ids["contacts"].gather(np.arange(size["accounts"]))
        yield "crm_account", pl.DataFrame(
            {
                "accountid": ids["accounts"], "master_id": ids["accounts"], "name": numbered("Firm ", size["accounts"]), "primarycontactid": firsts, "ownerid": users.gather(owners), "owningbusinessunit": unit.gather(owners % 3),
                "industrycode": rng.integers(1, 12, size["accounts"]), "revenue_base": np.round(10 ** rng.uniform(5, 9, size["accounts"])), "numberofemployees": rng.integers(5, 5000, size["accounts"]),
            }
        ).with_columns(**common, address1_country=pl.lit("Germany"))  # fmt: skip
        parent = np.arange(size["contacts"]) % size["accounts"]
        yield (
            "crm_contact",
            pl.DataFrame(
                {
                    "contactid": ids["contacts"],
                    "master_id": ids["contacts"],
                    "fullname": numbered("Person ", size["contacts"]),
                    "emailaddress1": self._addresses["contacts"],
                    "parentcustomerid": ids["accounts"].gather(parent),
                    "ownerid": users.gather(owners[parent]),
                }
            ).with_columns(**common, parentcustomerid_type=pl.lit("account")),
        )
        lead_owner = np.arange(size["leads"]) % size["users"]
        yield (
            "crm_lead",
            pl.DataFrame(
                {
                    "leadid": ids["leads"],
                    "master_id": ids["leads"],
                    "fullname": numbered("Lead ", size["leads"]),
                    "emailaddress1": self._addresses["leads"],
                    "ownerid": users.gather(lead_owner),
                }
            ).with_columns(**common, leadsourcecode=1),
        )
        yield "crm_opportunity", self._opportunities(rng, unit, owners)
        yield from self._connections(rng, owners)

    def _opportunities(self, rng: np.random.Generator, unit: pl.Series, owners: np.ndarray) -> pl.DataFrame:
        ids, size = self._ids, self._size
        count = size["opportunities"]
        number = np.arange(count)
        account = number % size["accounts"]
        contact = (account + size["accounts"] * (number % max(1, size["contacts"] // size["accounts"]))) % size["contacts"]
        state = rng.choice(3, size=count, p=[0.4, 0.3, 0.3])
        created = AS_OF - rng.integers(20, 720, count) * DAY
        closed = np.minimum(created + rng.integers(20, 200, count) * DAY, AS_OF - 2 * DAY)
        value = np.round(np.exp(rng.normal(10.5, 1, count)))
        frame = pl.DataFrame(
            {
                "opportunityid": ids["opportunities"], "name": numbered("Deal ", count), "parentaccountid": ids["accounts"].gather(account), "parentcontactid": ids["contacts"].gather(contact),
                "customerid": ids["accounts"].gather(account), "ownerid": ids["users"].gather(owners[account]), "owningbusinessunit": unit.gather(owners[account] % 3), "statecode": state,
                "createdon": instants(created), "modifiedon": instants(closed), "estimatedvalue_base": value, "actualvalue_base": np.where(state == 1, value, 0.0),
                "actualclosedate": instants(closed).dt.date(), "estimatedclosedate": instants(AS_OF + rng.integers(-40, 150, count) * DAY).dt.date(),
            }
        )  # fmt: skip
        return frame.with_columns(
            stepname=pl.lit("2-Develop"),
            customerid_type=pl.lit("account"),
            ownerid_type=pl.lit("systemuser"),
            actualclosedate=pl.when(pl.col("statecode") > 0).then("actualclosedate"),
        )

    def _connections(self, rng: np.random.Generator, owners: np.ndarray) -> Iterator[tuple[str, pl.DataFrame]]:
        """Each opportunity has one more colleague and two stakeholders, both halves of each pair."""
        ids, size = self._ids, self._size
        roles = guids(rng, 3)
        yield (
            "crm_connectionrole",
            pl.DataFrame({"connectionroleid": roles, "name": ["Sales Professional", "Decision Maker", "Influencer"]}),
        )
        account = np.arange(size["opportunities"]) % size["accounts"]
        ends = (
            ("systemuser", ids["users"].gather((owners[account] + 1) % size["users"])),
            ("contact", ids["contacts"].gather(account)),
            ("contact", ids["contacts"].gather((account + size["accounts"]) % size["contacts"])),
        )
        halves = []
        for place, (table, other) in enumerate(ends):
            role = pl.lit(roles[place])
            halves.append(
                pl.DataFrame({"record1id": ids["opportunities"], "record2id": other}).with_columns(
                    record1id_type=pl.lit("opportunity"), record2id_type=pl.lit(table), record2roleid=role
                )
            )
            halves.append(
                pl.DataFrame({"record1id": other, "record2id": ids["opportunities"]}).with_columns(
                    record1id_type=pl.lit(table), record2id_type=pl.lit("opportunity"), record1roleid=role
                )
            )
        frame = pl.concat(halves, how="diagonal")
        yield "crm_connection", frame.with_columns(connectionid=guids(rng, frame.height), statecode=0)

    def _put(self, root: Path, table: str, name: str, frame: pl.DataFrame) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(root / name, compression="zstd")
        self.files.setdefault(table, []).append(name)
        self.rows[table] = self.rows.get(table, 0) + frame.height

    def _write_manifest(self, root: Path, snapshot_id: str, previous_id: str | None, changes: list[dict[str, str]]) -> None:
        manifest: dict[str, Any] = {
            "snapshot_id": snapshot_id, "previous_id": previous_id, "tables": self.files, "row_counts": self.rows, "changes": changes,
            "conservation": {}, "tier": "enhanced", "history_start": None, "internal_domains": ["nordwerk.example"],
        }  # fmt: skip
        partial = root / "snapshot.json.partial"
        partial.write_text(json.dumps(manifest, indent=1))
        partial.replace(root / "snapshot.json")


def _is_tracked(facts: dict[str, np.ndarray]) -> np.ndarray:
    return (facts["draw"] < 0.15) | (facts["type"] >= 2)


def _roles(kind: np.ndarray, initiates: np.ndarray) -> np.ndarray:
    """The role of somebody who initiates an activity of a kind, or of the one it is meant for."""
    first, second = np.array(["sender", "organizer", "from", "owner"]), np.array(["to", "required", "callee", "owner"])
    return np.where(initiates, first[kind], second[kind])


def _typed(frame: pl.DataFrame, schema: dict[str, Any]) -> pl.DataFrame:
    """The frame with exactly the columns of `schema`; a missing one is null."""
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name) for name, dtype in schema.items()
    )
