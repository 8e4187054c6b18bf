"""Random worlds of the intermediate layer, full of edge times, for the marts of people, health, alerts and summary."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import duckdb

AS_OF = datetime(2026, 7, 6, tzinfo=UTC)
ZONE = "Europe/Berlin"
DAY = timedelta(days=1)
EDGES = (0, 1, 6, 7, 13, 14, 15, 28, 30, 58, 60, 61, 89, 90, 91, 104, 119, 120, 150, 168, 180, 182, 258, 270, 500, 3000)
TYPES = {
    "t": "varchar", "i": "bigint", "f": "double", "ts": "timestamp with time zone", "d": "date", "b": "boolean",
}  # fmt: skip
TABLES = {
    "intermediate.int_record": "record_type t record_id t created_at ts is_active b is_open b estimated_close_date d "
    "estimated_value f contact_id t",
    "intermediate.int_activity": "activity_id t activity_type t status t occurred_at ts ended_at ts initiated_by t "
    "is_automated b is_bulk b is_private b team_took_part_count i customer_took_part_count i",
    "intermediate.int_activity_person": "activity_id t side t person_type t person_id t is_on b took_part b is_sender b "
    "is_organizer b is_from b is_to_cc b is_recipient b",
    "intermediate.int_record_activity": "record_type t record_id t activity_id t activity_type t occurred_at ts ended_at ts "
    "initiated_by t is_private b customer_on_count i customer_took_part_count i",
    "intermediate.int_stakeholder": "record_type t record_id t party_type t party_id t role t",
    "intermediate.int_record_kpi": "record_type t record_id t emails_sent i emails_received i meetings_sent i "
    "meetings_received i sent_received_ratio_by_us f sent_received_ratio_by_them f response_time_by_us_hours f "
    "response_time_by_them_hours f responses_awaited_from_us i last_interaction_at ts last_interaction_type t "
    "last_interaction_by t next_interaction_at ts next_interaction_type t customer_people_90d i",
    "intermediate.int_person_name": "person_type t person_id t display_name t",
    "staging.stg_dataverse__systemuser": "systemuserid t isdisabled b",
    "main.kpi_opportunity": "opportunity_id t last_interaction_at ts",
}
USERS = [("user", f"u{n}") for n in range(5)]
OURS = [*USERS, ("address", "desk@us.example")]
THEIRS = [*(("contact", f"c{n}") for n in range(60)), ("lead", "l0"), ("account", "a0"), ("address", "x@y.example")]
Row = dict[str, Any]
World = dict[str, list[Row]]


def world(seed: int) -> World:
    """The rows of every table of `TABLES`."""
    random = Random(seed)
    activities = [_activity(random, f"{n:03}") for n in range(400)]
    records = [*_records(random)]
    kpis = [_kpi(random, record) for record in records]
    return {
        "intermediate.int_record": records,
        "intermediate.int_activity": [
            {
                **activity,
                "team_took_part_count": sum(p["side"] == "us" and p["took_part"] for p in people),
                "customer_took_part_count": sum(p["side"] == "them" and p["took_part"] for p in people),
            }
            for activity, people in activities
        ],
        "intermediate.int_activity_person": [p for _, people in activities for p in people],
        "intermediate.int_record_activity": [
            {
                **activity,
                "record_type": record["record_type"],
                "record_id": record["record_id"],
                "customer_on_count": sum(p["side"] == "them" and p["is_on"] for p in people),
                "customer_took_part_count": sum(p["side"] == "them" and p["took_part"] for p in people),
            }
            for record in records
            for activity, people in _linked(random, activities)
        ],
        "intermediate.int_stakeholder": _stakeholders(random, records),
        "intermediate.int_record_kpi": kpis,
        "intermediate.int_person_name": [
            {"person_type": t, "person_id": i, "display_name": f"{t} {i}"}
            for t, i in OURS + THEIRS
            if t != "address" and i != "c0"
        ],
        "staging.stg_dataverse__systemuser": [{"systemuserid": i, "isdisabled": i == "u4"} for _, i in USERS],
        "main.kpi_opportunity": [{**k, "opportunity_id": k["record_id"]} for k in kpis if k["record_type"] == "opportunity"],
    }


def write(rows: World, path: str) -> None:
    """A warehouse with those tables."""
    with duckdb.connect(path) as con:
        con.execute("set timezone = 'UTC'")
        for table, columns in TABLES.items():
            names, types = columns.split()[::2], columns.split()[1::2]
            con.execute(f"create schema if not exists {table.split('.')[0]}")
            con.execute(f"create table {table} ({', '.join(f'{n} {TYPES[t]}' for n, t in zip(names, types, strict=True))})")
            values = [[row.get(name) for name in names] for row in rows[table]]
            con.executemany(f"insert into {table} values ({', '.join('?' * len(names))})", values)


def _past(random: Random) -> datetime:
    instant = AS_OF - random.choice(EDGES) * DAY + timedelta(seconds=random.choice((0, 0, -1, 1, random.randint(-40000, 40000))))
    return min(instant, AS_OF - timedelta(seconds=1))


def _activity(random: Random, activity_id: str) -> tuple[Row, list[Row]]:
    kind = random.choice(("email", "email", "email", "meeting", "phone_call", "task"))
    started = _past(random)
    ended = started + timedelta(seconds=random.choice((1, 1800, 7200))) if kind == "meeting" else started
    status = "completed" if ended <= AS_OF and random.random() < 0.95 else "cancelled"
    side = "us" if kind == "task" else random.choice(("us", "us", "them", None if kind == "meeting" else "them"))
    ours, theirs = (
        random.sample(OURS, random.randint(1, 5)),
        random.sample(random.choice((THEIRS, THEIRS[:9])), random.randint(0, 7)),
    )
    people = [_person(random, activity_id, kind, "us", p, side == "us" and p == ours[0]) for p in ours]
    if kind != "task":
        people += [_person(random, activity_id, kind, "them", p, side == "them" and p == theirs[0]) for p in theirs]
    if side == "them" and not theirs:
        side = None
    activity = {
        "activity_id": activity_id, "activity_type": kind, "status": status, "occurred_at": started, "ended_at": ended,
        "initiated_by": side, "is_automated": kind == "email" and random.random() < 0.05, "is_bulk": False,
        "is_private": kind == "meeting" and random.random() < 0.15,
    }  # fmt: skip
    return activity, people


def _person(random: Random, activity_id: str, kind: str, side: str, person: tuple[str, str], starts: bool) -> Row:
    role = random.choice(("to", "cc", "bcc", "delivered" if side == "us" else "to"))
    is_on = kind != "email" or starts or role != "bcc"
    is_from = kind == "phone_call" and (starts or random.random() < 0.2)
    return {
        "activity_id": activity_id, "side": side, "person_type": person[0], "person_id": person[1], "is_on": is_on,
        "took_part": is_on and (kind != "meeting" or starts or random.random() < 0.7),
        "is_sender": kind == "email" and starts, "is_organizer": kind == "meeting" and starts, "is_from": is_from,
        "is_to_cc": kind == "email" and not starts and role in ("to", "cc"),
        "is_recipient": kind == "email" and not starts and role != "bcc",
    }  # fmt: skip


def _linked(random: Random, activities: list[tuple[Row, list[Row]]]) -> list[tuple[Row, list[Row]]]:
    quiet = AS_OF - random.choice((0, 0, 7, 14, 28, 30, 59, 60, 90)) * DAY
    found = [(a, p) for a, p in activities if a["status"] == "completed" and not a["is_automated"] and a["occurred_at"] <= quiet]
    return random.sample(found, min(len(found), random.choice((0, 1, 2, 3, 5, 9, 20))))


def _records(random: Random) -> list[Row]:
    found = []
    for kind, count in (("account", 12), ("contact", 60), ("lead", 40), ("opportunity", 120)):
        for n in range(count):
            is_active = random.random() < 0.8
            late = date(2026, 7, 6) + random.choice((-31, -30, -1, 0, 1, 29, 30, 31)) * DAY
            found.append({
                "record_type": kind, "record_id": f"{kind[0]}{n}", "created_at": random.choice((None, _past(random), _past(random))),
                "is_active": is_active, "is_open": is_active if kind in ("lead", "opportunity") else None,
                "estimated_close_date": random.choice((None, late)) if kind == "opportunity" else None,
                "estimated_value": random.choice((None, 10.0, 20.0)) if kind == "opportunity" else None,
                "contact_id": random.choice((None, "c0", "c1")) if kind == "opportunity" else None,
            })  # fmt: skip
    return found


def _stakeholders(random: Random, records: list[Row]) -> list[Row]:
    roles = (None, "Champion", "Decision Maker", "economic buyer")
    chosen = {
        (r["record_id"], *random.choice(THEIRS[:6] + THEIRS[-3:-1]), random.choice(roles))
        for r in records
        if r["record_type"] == "opportunity"
        for _ in range(random.randint(0, 3))
    }
    return [{"record_type": "opportunity", "record_id": r, "party_type": t, "party_id": i, "role": o} for r, t, i, o in chosen]


def _kpi(random: Random, record: Row) -> Row:
    sent, received = random.choice((0, 1, 4, 101)), random.choice((0, 1, 4, 100))
    hours = (None, 0.0, 0.04, 0.05, 1.95, 2.04, 2.05, 26.5)
    last, upcoming = random.choice((None, _past(random))), random.choice((None, None, AS_OF, AS_OF + DAY, AS_OF + 2 * DAY))
    kind = random.choice(("email", "meeting", "phone_call", "task"))
    return {
        "record_type": record["record_type"], "record_id": record["record_id"], "emails_sent": sent, "emails_received": received,
        "meetings_sent": random.randint(0, 3), "meetings_received": random.randint(0, 3),
        "sent_received_ratio_by_us": sent / received if received else None,
        "sent_received_ratio_by_them": received / sent if sent else None,
        "response_time_by_us_hours": random.choice(hours), "response_time_by_them_hours": random.choice(hours),
        "responses_awaited_from_us": random.randint(0, 2), "last_interaction_at": last,
        "last_interaction_type": kind if last else None,
        "last_interaction_by": random.choice(("us", "them", None)) if last else None,
        "next_interaction_at": upcoming, "next_interaction_type": "phone_call" if upcoming else None,
        "customer_people_90d": random.randint(0, 2),
    }  # fmt: skip
