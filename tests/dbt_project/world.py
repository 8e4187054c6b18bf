"""Random normalised lakes full of edge cases, for the models from the lake to the KPIs."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import polars as pl
import yaml

from jobs.normalise.snapshot import REACH

PROJECT = Path(__file__).parents[2] / "dbt_project"
AS_OF = datetime(2026, 4, 1, 22, 0, tzinfo=UTC)
ZONE = "Europe/Berlin"
DAY = timedelta(days=1)
HOLIDAYS = ["2026-01-01", "2026-03-27"]
USERS = [f"u{n}" for n in range(6)]
TEAMS = {"t0": ["u0", "u1"], "t1": ["u4"], "t2": []}
EXTERNAL = [f"p{n}@d{n % 6}.example" for n in range(26)]
INTERNAL = [*(f"{u}@us.example" for u in USERS), "desk@us.example", "u0@home.example"]
ROLES = {
    "email": ["to", "to", "cc", "bcc", "delivered"],
    "meeting": ["required", "required", "optional", "delivered"],
    "phone_call": ["from", "callee", "callee"],
}
KEYS = {"record_address": ["record_type", "record_id", "address"], "account_domain": ["account_id", "domain"],
        "person_address": ["address"]} | {name: ["activity_id"] for name in ("activity", "activity_participant", "activity_party", "activity_thread")}  # fmt: skip
Row = dict[str, Any]
World = dict[str, list[Row]]


def world(seed: int, activities: int = 700) -> World:
    """The rows of every table of the lake that models read."""
    random = Random(seed)
    rows: World = {"crm_systemuser": [{"systemuserid": u, "fullname": u.upper(), "isdisabled": u == "u5"} for u in USERS]}
    rows["crm_team"] = [{"teamid": t, "name": t} for t in TEAMS]
    rows["crm_teammembership"] = [
        {"teammembershipid": f"{t}{u}", "teamid": t, "systemuserid": u} for t, members in TEAMS.items() for u in members
    ]
    rows |= _records(random)
    rows |= _addresses(random, rows)
    rows["crm_connectionrole"] = [{"connectionroleid": "r0", "name": " Champion "}, {"connectionroleid": "r1", "name": " "}]
    rows["crm_connection"] = [_connection(random, n, rows) for n in range(60)]
    rows |= {"activity": [], "activity_participant": [], "activity_party": [], "activity_thread": []}
    for n in range(activities):
        add_activity(random, rows, f"x{n:04}")
    return rows


def _when(random: Random) -> datetime:
    return AS_OF - timedelta(seconds=random.randrange(500 * 86400))


def _records(random: Random) -> World:
    owners = [*((u, "systemuser") for u in USERS), *((t, "team") for t in TEAMS), ("gone", "systemuser")]

    def record(kind: str, n: int, **more: Any) -> Row:
        owner, owner_type = random.choice(owners)
        created = random.choice([_when(random), _when(random), AS_OF, AS_OF - timedelta(seconds=1), None])
        key = f"{kind}{n}"
        return {f"{kind}id": key, "createdon": created, "statecode": random.choice([0, 0, 1]), "ownerid": owner,
                "ownerid_type": owner_type, **more}  # fmt: skip

    accounts = [record("account", n, name=f"A{n}", master_id=f"account{n}") for n in range(7)]
    accounts[6].update(merged=True, masterid="account1", master_id="account1")
    contacts = [record("contact", n, fullname=f"C{n}", master_id=f"contact{n}") for n in range(18)]
    contacts[17].update(merged=True, masterid="contact0", master_id="contact0")
    for contact in contacts:
        kind, id_ = random.choice(
            [("account", f"account{random.randrange(7)}"), ("account", "account0"), ("contact", "contact1"), (None, None)]
        )
        contact.update(parentcustomerid=id_, parentcustomerid_type=kind)
    for account in accounts:
        contact = random.choice([None, "contact17", f"contact{random.randrange(18)}"])
        account.update(primarycontactid=contact, primarycontactid_type="contact")
    leads = [record("lead", n, fullname=f"L{n}", master_id=f"lead{n}") for n in range(6)]
    deals, closes = [], []
    for n in range(40):
        deal = record("opportunity", n, name=f"O{n}", estimatedvalue=n)
        deal["statecode"] = random.choice([0, 1, 2])
        if random.random() < 0.7:
            deal["actualclosedate"] = AS_OF.date() - timedelta(days=random.choice([-1, 0, 1, 5, 60, 200]))
        for _ in range(random.choice([0, 0, 1, 2])):
            closes.append({"activityid": f"k{len(closes)}", "opportunityid": deal["opportunityid"], "actualend": _when(random)})
        kind, id_ = random.choice(
            [("account", "account0"), ("contact", f"contact{random.randrange(18)}"), (None, "lost"), (None, None)]
        )
        deal.update(customerid=id_, customerid_type=kind)
        deal["parentcontactid"] = random.choice([None, "contact17", f"contact{random.randrange(18)}"])
        deal["parentaccountid"] = random.choice([None, "account6", f"account{random.randrange(7)}"])
        deals.append(deal)
    return {
        "crm_account": accounts,
        "crm_contact": contacts,
        "crm_lead": leads,
        "crm_opportunity": deals,
        "crm_opportunityclose": closes,
    }


def _addresses(random: Random, rows: World) -> World:
    owned: list[tuple[str, str, str]] = []
    for kind in ("contact", "lead", "account"):
        for record in rows[f"crm_{kind}"]:
            for _ in range(random.choice([0, 1, 1, 2])):
                owned.append((kind, record["master_id"], random.choice([*EXTERNAL[:12] * 3, *EXTERNAL, "u0@home.example"])))
    owned = sorted(set(owned))
    people = []
    for address in EXTERNAL + INTERNAL:
        person: Row = {"address": address, "domain": address.partition("@")[2], "side": "us" if address in INTERNAL else "them"}
        if address in INTERNAL:
            user = address.partition("@")[0]
            person["user_id"] = user if user in USERS else None
        else:
            first = next((o for kind in ("contact", "lead", "account") for o in owned if o[0] == kind and o[2] == address), None)
            if first:
                person[f"{first[0]}_id"] = first[1]
        people.append(person)
    domains = {(f"account{random.randrange(6)}", f"d{random.randrange(6)}.example") for _ in range(7)}
    return {
        "person_address": people,
        "record_address": [{"record_type": t, "record_id": i, "address": a, "position": 1} for t, i, a in owned],
        "account_domain": [{"account_id": a, "domain": d} for a, d in sorted(domains)],
    }


def _connection(random: Random, n: int, rows: World) -> Row:
    record = random.choice([("opportunity", f"opportunity{random.randrange(40)}"), ("lead", f"lead{random.randrange(6)}")])
    other = random.choice([
        ("contact", f"contact{random.randrange(18)}"), ("contact", "contact17"), ("account", f"account{random.randrange(7)}"),
        ("lead", f"lead{random.randrange(6)}"), ("systemuser", random.choice(USERS)), ("team", random.choice(list(TEAMS))),
    ])  # fmt: skip
    first, second = random.choice([(record, other), (other, record)])
    return {
        "connectionid": f"n{n}", "record1id": first[1], "record1id_type": first[0], "record2id": second[1], "record2id_type": second[0],
        "record1roleid": random.choice(["r0", "r1", None]), "record2roleid": random.choice(["r0", "r1", None]),
        "statecode": random.choice([0, 0, 0, 1]),
    }  # fmt: skip


def _edge(random: Random, rows: World) -> datetime | None:
    deal = random.choice(rows["crm_opportunity"])
    choices = [
        _when(random),
        _when(random),
        _when(random),
        AS_OF - 30 * DAY,
        AS_OF - 90 * DAY,
        AS_OF - 7 * DAY,
        AS_OF,
        AS_OF + DAY,
    ]
    if deal.get("createdon"):
        choices.append(deal["createdon"] - 14 * DAY)
    if deal.get("actualclosedate"):
        closed: date = deal["actualclosedate"] + timedelta(days=15)
        choices.append(datetime(closed.year, closed.month, closed.day, 22 if 4 <= closed.month <= 10 else 23, tzinfo=UTC) - DAY)
    chosen = random.choice(choices) + timedelta(seconds=random.choice([0, 0, -1, 1]))
    return None if random.random() < 0.02 else chosen


def add_activity(random: Random, rows: World, activity_id: str, people: list[str] | None = None) -> None:
    """One more random activity among `people` (addresses), by default among everybody."""
    kind = random.choice(["email", "email", "email", "email", "meeting", "phone_call", "task"])
    start = _edge(random, rows)
    among, thread = people, activity_id
    if kind == "email" and people is None and start and random.random() < 0.85:
        thread, start, among = _thread(random)
    minutes = random.choice([0.0, 10.0, 30.0, 50 / 3, 1439.0, 1440.0])
    end = start + timedelta(minutes=minutes) if start and kind == "meeting" else start
    regarding = random.choice([
        (None, None), (None, None), (None, None), (None, "lost"), ("contact", f"contact{random.randrange(18)}"), ("account", "account6"),
        ("account", f"account{random.randrange(7)}"), ("lead", f"lead{random.randrange(6)}"), ("opportunity", f"opportunity{random.randrange(41)}"),
    ])  # fmt: skip
    if people is not None:
        regarding = (None, None)
    systems = random.choice([["dataverse"], ["graph"], ["dataverse", "graph"]])
    followed = kind == "email" and random.random() < 0.5
    rows["activity"].append({
        "activity_id": activity_id, "activity_type": kind, "occurred_at": start, "ended_at": end,
        "source_state": "completed" if kind == "email" else random.choice(["completed", "completed", "open", "cancelled"]),
        "duration_minutes": None if kind == "email" else minutes, "is_automated": kind == "email" and random.random() < 0.06,
        "is_bulk": kind == "email" and random.random() < 0.06, "is_all_day": kind == "meeting" and random.random() < 0.1,
        "is_private": kind == "meeting" and random.random() < 0.1, "regarding_type": regarding[0], "regarding_id": regarding[1],
        "is_followed": followed, "direction": random.choice(["outgoing", "incoming"]) if kind == "phone_call" else None,
        "source_systems": systems,
        **{c: random.randrange(3) if kind == "email" else None
           for c in ("open_count", "link_click_count", "attachment_count", "attachment_open_count", "reply_count")},
    })  # fmt: skip
    if kind == "email":
        rows["activity_thread"].append({"activity_id": activity_id, "thread_id": thread})
    _add_participants(random, rows, activity_id, kind, systems, among)


def _thread(random: Random) -> tuple[str, datetime, list[str]]:
    """A thread, a time in it, and the people who write it."""
    name = f"thread{random.randrange(60)}"
    habit = Random(name)
    later = random.choice([0.0, 1 / 24, 1 / 3, 2.0, 7.0, 30.0, 45.0, random.random() * 9])
    at = _when(habit) + later * DAY + timedelta(seconds=random.choice([0, 0, 1, 3600]))
    return name, at.replace(microsecond=0), habit.sample(EXTERNAL[:12], 2) + habit.sample(INTERNAL, 2)


def _add_participants(
    random: Random, rows: World, activity_id: str, kind: str, systems: list[str], people: list[str] | None
) -> None:
    def participant(role: str, address: str | None, party: tuple[str, str] | None = None) -> None:
        response = random.choice(["accepted", "declined", "none", "tentative"]) if kind == "meeting" else None
        rows["activity_participant"].append({"activity_id": activity_id, "address": address, "role": role, "response": response,
                                             "party_id": party[1] if party and address is None else None})  # fmt: skip
        if party:
            rows["activity_party"].append(
                {"activity_id": activity_id, "address": address, "party_type": party[0], "party_id": party[1]}
            )

    if kind in ("task", "phone_call") and random.random() < 0.9:
        owner = random.choice([*USERS, *TEAMS])
        team = owner in TEAMS
        participant("owner", None if team else f"{owner}@us.example", ("team" if team else "systemuser", owner))
    if kind == "task":
        return
    taken = {f"{p['address']}" for p in rows["activity_participant"][-1:] if p["activity_id"] == activity_id}
    pool = [a for a in (people or [*EXTERNAL[:20], *INTERNAL, *INTERNAL, *EXTERNAL]) if a not in taken]
    chosen = list(dict.fromkeys(random.choices(pool, k=random.choice([1, 2, 2, 3, 5]))))
    chance = 0.4 if people is None else 0.0
    leading = {"email": "sender", "meeting": "organizer"}.get(kind) if random.random() < 0.93 else None
    for n, address in enumerate(chosen):
        party = _party(random, address) if "dataverse" in systems and random.random() < chance else None
        participant(leading if leading and n == 0 else random.choice(ROLES[kind]), address, party)
    if "dataverse" in systems and people is None and random.random() < 0.2:
        participant(
            random.choice(ROLES[kind][:3]),
            None,
            random.choice([("contact", f"contact{random.randrange(20)}"), ("queue", "q"), ("systemuser", "gone")]),
        )


def _party(random: Random, address: str) -> tuple[str, str]:
    return random.choice([
        ("contact", f"contact{random.randrange(20)}"), ("contact", "contact17"), ("lead", f"lead{random.randrange(6)}"),
        ("account", f"account{random.randrange(7)}"), ("systemuser", random.choice(USERS)), ("queue", "q"), ("team", "t0"),
    ])  # fmt: skip


def next_day(random: Random, rows: World, other: World, tables: int) -> World:
    """The world a day later: of some tables a few rows (of an activity: all its rows) went, became as in `other`, or came from there."""
    later = dict(rows)
    for table in random.sample(sorted(rows), tables):
        mine, theirs = (_by_key(table, world) for world in (rows, other))
        for key in random.sample(sorted(mine.keys() | theirs.keys()), random.choice([1, 2])):
            mine[key] = [] if random.random() < 0.3 else theirs.get(key, [])
        later[table] = [row for key in sorted(mine) for row in mine[key]]
    return later


def _by_key(table: str, rows: World) -> dict[str, list[Row]]:
    """Rows by the key of their table, those of activities by activity."""
    groups: dict[str, list[Row]] = {}
    for row in rows[table]:
        groups.setdefault("|".join(str(row[name]) for name in KEYS.get(table, list(row)[:1])), []).append(row)
    return groups


def changes(before: World, after: World) -> Row:
    """What the lake says of the rows that came, went or changed, as columns of its file of changes."""
    told = set()
    for table, columns in REACH.items():
        old, new = ([_comparable(row) for row in world.get(table, [])] for world in (before, after))
        for row in [dict(r) for r in set(old) ^ set(new)]:
            told |= {(table, column, row[column]) for column in columns if row.get(column)}
    return dict(zip(("table", "column", "key"), map(list, zip(*sorted(told), strict=True)), strict=True))


def _comparable(row: Row) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, tuple(value) if isinstance(value, list) else value) for name, value in row.items()))


def write(rows: World, lake: Path, snapshot_id: str = "s", steps: list[tuple[str, Row]] | None = None) -> Path:
    """Write the tables as one snapshot of a normalised lake; returns its manifest.

    `steps`: what changed since earlier snapshots, newest first: their ids, and the `changes` on the way to the next.
    """
    folder = lake / "normalised"
    sources = yaml.safe_load((PROJECT / "models" / "staging" / "lake" / "_lake_sources.yml").read_text())["sources"]
    tables = {}
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        for table in sources[0]["tables"]:
            name, columns = table["name"], {c["name"]: c["data_type"] for c in table["columns"]}
            file = folder / name / "part.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            con.execute(f"create or replace temp table t ({', '.join(f'{c} {t}' for c, t in columns.items())})")
            values = [[row.get(c) for c in columns] for row in rows.get(name, [])]
            if values:
                con.executemany(f"insert into t values ({', '.join('?' * len(columns))})", values)
            con.execute(f"copy t to '{file}' (format parquet)")
            tables[name] = [f"{name}/part.parquet"]
    manifest = folder / "snapshot.json"
    told = []
    for since, step in steps or []:
        pl.DataFrame(step, schema=dict.fromkeys(("table", "column", "key"), pl.String)).write_parquet(folder / f"{since}.parquet")
        told.append({"since": since, "file": f"{since}.parquet"})
    manifest.write_text(json.dumps({"snapshot_id": snapshot_id, "tables": tables, "changes": told}))
    return manifest
