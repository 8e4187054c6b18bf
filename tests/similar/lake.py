"""A normalised lake written by hand: tables as lists of rows, every other column null, typed as the dbt sources say."""

import json
from pathlib import Path
from typing import Any

import duckdb
import yaml

from jobs.settings import PROJECT_ROOT

SOURCES = PROJECT_ROOT / "dbt_project" / "models" / "staging" / "lake" / "_lake_sources.yml"
Rows = dict[str, list[dict[str, Any]]]


def write_lake(home: Path, tables: Rows, deal_columns: dict[str, str] | None = None) -> None:
    """Write a snapshot with `tables`; the others are empty. `deal_columns`: further columns of crm_opportunity and their types."""
    root = home / "lake" / "normalised"
    root.mkdir(parents=True, exist_ok=True)
    source = yaml.safe_load(SOURCES.read_text())["sources"][0]
    files = {}
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for table in source["tables"]:
            name, columns = table["name"], {c["name"]: c["data_type"] for c in table["columns"]}
            columns |= (deal_columns or {}) if name == "crm_opportunity" else {}
            con.execute(f"CREATE TABLE {name} ({', '.join(f'{c} {t}' for c, t in columns.items())})")
            for row in tables.get(name, []):
                con.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
            con.execute(f"COPY {name} TO '{root}/{name}.parquet'")
            files[name] = [f"{name}.parquet"]
    manifest = {"snapshot_id": "by-hand", "tables": files, "tier": "enhanced", "history_start": None}
    (root / "snapshot.json").write_text(json.dumps(manifest))


def deal(deal_id: str, created: str, closed: str | None = None, state: int = 1, **columns: Any) -> dict[str, Any]:
    """A row of crm_opportunity, won unless said otherwise, open without close date."""
    return {
        "opportunityid": deal_id,
        "createdon": created,
        "statecode": state if closed else 0,
        "actualclosedate": closed,
        "ownerid": "ann",
        "ownerid_type": "systemuser",
        **columns,
    }


class World:
    """Deals, and activities between Ann (us) and Ben (them) that are regarding one of them."""

    def __init__(self) -> None:
        self.tables: Rows = {
            "crm_systemuser": [{"systemuserid": "ann", "fullname": "Ann"}],
            "crm_contact": [{"contactid": "ben", "master_id": "ben", "fullname": "Ben", "statecode": 0}],
            "person_address": [
                {"address": "ann@us.example", "domain": "us.example", "side": "us", "user_id": "ann", "rule": "user"},
                {"address": "ben@them.example", "domain": "them.example", "side": "them", "contact_id": "ben", "rule": "contact"},
            ],
            "crm_opportunity": [],
            "activity": [],
            "activity_participant": [],
            "activity_thread": [],
        }

    def deal(self, deal_id: str, created: str, closed: str | None = None, state: int = 1, **columns: Any) -> None:
        """Add a deal."""
        self.tables["crm_opportunity"].append(deal(deal_id, created, closed, state, **columns))

    def email(self, deal_id: str, at: str, by: str, thread: str) -> None:
        """Add an email by us or by them."""
        sender, reader = ("ann@us.example", "ben@them.example")[:: 1 if by == "us" else -1]
        activity_id = self._activity("email", deal_id, at, at, None, "completed", {sender: "sender", reader: "to"})
        self.tables["activity_thread"].append({"activity_id": activity_id, "thread_id": thread})

    def meeting(self, deal_id: str, start: str, end: str, minutes: float) -> None:
        """Add a meeting that Ann organised."""
        roles = {"ann@us.example": "organizer", "ben@them.example": "required"}
        self._activity("meeting", deal_id, start, end, minutes, "open", roles)

    def call(self, deal_id: str, at: str, minutes: float) -> None:
        """Add a call by Ann."""
        self._activity(
            "phone_call", deal_id, at, at, minutes, "completed", {"ann@us.example": "from", "ben@them.example": "callee"}
        )

    def task(self, deal_id: str, at: str, minutes: float) -> None:
        """Add a completed task of Ann."""
        self._activity("task", deal_id, at, at, minutes, "completed", {"ann@us.example": "owner"})

    def _activity(
        self, kind: str, deal_id: str, start: str, end: str, minutes: float | None, state: str, roles: dict[str, str]
    ) -> str:
        activity_id = f"{kind}-{len(self.tables['activity'])}"
        self.tables["activity"].append(
            {
                "activity_id": activity_id,
                "activity_type": kind,
                "source_state": state,
                "occurred_at": start,
                "ended_at": end,
                "duration_minutes": minutes,
                "regarding_type": "opportunity",
                "regarding_id": deal_id,
                "is_automated": False,
                "is_bulk": False,
                "is_all_day": False,
                "is_private": False,
                "is_followed": False,
                "source_systems": ["graph"],
                "direction": "outgoing" if kind == "phone_call" else None,
            }
        )
        for address, role in roles.items():
            self.tables["activity_participant"].append(
                {"activity_id": activity_id, "address": address, "role": role, "response": "none"}
            )
        return activity_id
