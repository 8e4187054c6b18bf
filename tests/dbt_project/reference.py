"""Links and KPIs a second time, rule by rule in plain Python, from the rows of a lake."""

from collections import defaultdict
from datetime import date, datetime, time, timedelta
from statistics import fmean, median
from typing import Any
from zoneinfo import ZoneInfo

from tests.dbt_project.world import AS_OF, DAY, HOLIDAYS, ZONE, World

RECORDS = ("account", "contact", "lead", "opportunity")
REASONS = ("regarding", "participant", "stakeholder", "domain")
AS_OF_DATE = (AS_OF - timedelta(seconds=1)).astimezone(ZoneInfo(ZONE)).date()
UTC = ZoneInfo("UTC")
Record = tuple[str, str]


def instant(day: date, clock: time = time(0)) -> datetime:
    """The first instant at which the zone shows that time, moved forward over a gap."""
    return datetime.combine(day, clock, ZoneInfo(ZONE)).astimezone(UTC)


def business_seconds(start: datetime, end: datetime) -> float:
    """Seconds of [start, end) within working hours."""
    total, day = 0.0, start.astimezone(ZoneInfo(ZONE)).date()
    while instant(day) <= end:
        if day.isoweekday() <= 5 and day.isoformat() not in HOLIDAYS:
            overlap = min(end, instant(day, time(17))) - max(start, instant(day, time(9)))
            total += max(0.0, overlap.total_seconds())
        day += timedelta(days=1)
    return total


class Reference:
    """Every answer for one world at `AS_OF`."""

    def __init__(self, rows: World) -> None:
        self.rows = rows
        self.master = {(t, r[f"{t}id"]): r["master_id"] for t in ("account", "contact", "lead") for r in rows[f"crm_{t}"]}
        self.users = {u["systemuserid"] for u in rows["crm_systemuser"]}
        self.members: dict[str, set[str]] = defaultdict(set)
        for m in rows["crm_teammembership"]:
            self.members[m["teamid"]].add(m["systemuserid"])
        self.addresses: dict[str, set[Record]] = defaultdict(set)
        for a in rows["record_address"]:
            self.addresses[a["address"]].add((a["record_type"], a["record_id"]))
        self.known = {p["address"]: p for p in rows["person_address"]}
        self.parties: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for p in rows["activity_party"]:
            self.parties[p["activity_id"], p["address"] or p["party_id"]].append((p["party_type"], p["party_id"]))
        self.raw_people: dict[str, list[dict]] = defaultdict(list)
        for p in rows["activity_participant"]:
            self.raw_people[p["activity_id"]].append(p)
        self.activities = {a["activity_id"]: self._activity(a) for a in rows["activity"]}
        self._records()
        self.links = self._links()

    def _of(self, kind: str, id_: str | None) -> Record:
        return kind, self.master.get((kind, id_), id_)

    # people

    def _person(self, activity: dict, row: dict) -> dict:
        key = row["address"] or row["party_id"]
        parties = self.parties[activity["activity_id"], key]
        known = self.known.get(row["address"], {})
        ours = known.get("side") == "us" or any(t in ("systemuser", "team", "queue") for t, _ in parties)
        named = {
            t: sorted(self._of(t, i)[1] for x, i in parties if x == t and (t, i) in self.master)
            for t in ("contact", "lead", "account")
        }
        if ours:
            users = sorted(i for t, i in parties if t == "systemuser" and i in self.users)
            user = users[0] if users else known.get("user_id")
            person = ("user", user) if user else ("address", key)
        else:
            person = next(((t, named[t][0]) for t in named if named[t]), None)
            if person is None:
                person = next(((t, known[f"{t}_id"]) for t in named if known.get(f"{t}_id")), ("address", key))
        matches = {self._of(t, i) for t, i in parties if t in named} | {
            m for m in self.addresses.get(row["address"], ()) if row["address"]
        }
        return {"side": "us" if ours else "them", "person": person, "role": row["role"], "response": row["response"],
                "matches": matches, "domain": known.get("domain"), "team": [i for t, i in parties if t == "team"]}  # fmt: skip

    def _activity(self, a: dict) -> dict:
        kind = a["activity_type"]
        people = [self._person(a, row) for row in self.raw_people[a["activity_id"]]]
        if kind == "task":
            people = [
                {**p, "person": ("user" if u in self.users else "address", u)}
                for p in people
                for u in (sorted(self.members[p["team"][0]]) if p["team"] else [None])
                if u
            ] + [p for p in people if not p["team"]]
        if kind == "phone_call" and not any(p["side"] == "us" and p["role"] != "owner" for p in people):
            for p in people:
                if p["role"] == "owner":
                    p["role"] = "callee" if a["direction"] == "incoming" else "from"
        for p in people:
            role, side = p["role"], p["side"]
            p["on"] = {
                "email": role in ("sender", "to", "cc") or (role == "delivered" and side == "us"),
                "meeting": role != "bcc",
                "phone_call": role in ("from", "callee"),
                "task": role == "owner",
            }[kind]
            p["took"] = p["on"] and (kind != "meeting" or role == "organizer" or p["response"] != "declined")
        leader = next((p["side"] for p in people if p["role"] in ("sender", "organizer")), None)
        if kind == "meeting" and leader is None and a["source_systems"] == ["dataverse"]:
            leader = "us"
        by = {"email": leader, "meeting": leader, "phone_call": "them" if a["direction"] == "incoming" else "us", "task": "us"}[
            kind
        ]
        return {**a, "people": people, "by": by, "status": self._status(a), "machine": a["is_automated"] or a["is_bulk"],
                "regarding": self._of(a["regarding_type"], a["regarding_id"]) if a["regarding_id"] else None}  # fmt: skip

    def _status(self, a: dict) -> str:
        kind, at, state = a["activity_type"], a["occurred_at"], a["source_state"]
        if state == "cancelled":
            return "cancelled"
        if at is None:
            return "open"
        if at < AS_OF and (kind == "email" or (a["ended_at"] <= AS_OF if kind == "meeting" else state == "completed")):
            return "completed"
        return "scheduled" if kind != "email" and state == "open" and at >= AS_OF else "open"

    # records

    def _records(self) -> None:
        rows = self.rows
        self.records: dict[Record, dict] = {}
        for kind in RECORDS:
            for r in rows[f"crm_{kind}"]:
                if r.get("master_id", r[f"{kind}id"]) == r[f"{kind}id"] and (r["createdon"] is None or r["createdon"] < AS_OF):
                    self.records[kind, r[f"{kind}id"]] = r
        self.team: dict[Record, set[str]] = defaultdict(set)
        self.people_of: dict[Record, dict[Record, str]] = defaultdict(dict)
        stakeholders: dict[Record, set[Record]] = defaultdict(set)
        for c in rows["crm_connection"]:
            ends = [(c["record1id_type"], c["record1id"]), (c["record2id_type"], c["record2id"])]
            for (kind, id_), (other, other_id) in (ends, ends[::-1]):
                if c["statecode"] == 0 and kind in ("lead", "opportunity"):
                    if other in ("systemuser", "team"):
                        self.team[self._of(kind, id_)] |= self.members[other_id] if other == "team" else {other_id}
                    else:
                        stakeholders[self._of(kind, id_)].add(self._of(other, other_id))
        for record, r in self.records.items():
            kind, id_ = record
            if kind in ("lead", "opportunity"):
                self.team[record] |= self.members[r["ownerid"]] if r["ownerid_type"] == "team" else {r["ownerid"]}
            people = {s: "stakeholder" for s in stakeholders[record]}
            if kind == "opportunity":
                people |= {p: "participant" for p in self._customers(r) if p[0] == "contact"}
            else:
                people[record] = "participant"
            if kind == "account":
                people |= {self._of("contact", r["primarycontactid"]): "participant"} if r["primarycontactid"] else {}
                people |= {
                    self._of("contact", c["contactid"]): "participant"
                    for c in rows["crm_contact"]
                    if c["parentcustomerid_type"] == "account" and self._of("account", c["parentcustomerid"]) == record
                }
            self.people_of[record] = people

    def _customers(self, deal: dict) -> set[Record]:
        named = [
            ("contact", deal["parentcontactid"]),
            ("account", deal["parentaccountid"]),
            (deal["customerid_type"], deal["customerid"]),
        ]
        return {self._of(t, i) for t, i in named if t and i}

    def _closed(self, deal: dict) -> date | None:
        """The close date; None while open at as-of or unknown."""
        ends = [c["actualend"] for c in self.rows["crm_opportunityclose"] if c["opportunityid"] == deal["opportunityid"]]
        day = deal.get("actualclosedate") or (max(ends).astimezone(ZoneInfo(ZONE)).date() if ends else None)
        return day if deal["statecode"] and day and day <= AS_OF_DATE else None

    # links

    def _links(self) -> dict[tuple[str, str, str], tuple[str, bool]]:
        links = {}
        domains = {(d["account_id"], d["domain"]) for d in self.rows["account_domain"]}
        for a in self.activities.values():
            ours = [p for p in a["people"] if p["side"] == "us" and p["on"]]
            theirs = [p for p in a["people"] if p["side"] == "them" and p["on"]]
            matched = {m for p in theirs for m in p["matches"]}
            users = {p["person"][1] for p in ours if p["person"][0] == "user"}
            for record, r in self.records.items():
                reasons = {self.people_of[record][m] for m in matched if m in self.people_of[record]}
                allowed = bool(users & self.team[record]) if record[0] in ("lead", "opportunity") else bool(ours)
                if record[0] == "opportunity":
                    allowed = allowed and self._in_window(a, r)
                if record[0] == "account" and any((record[1], p["domain"]) in domains for p in theirs):
                    reasons.add("domain")
                reasons = reasons if allowed else set()
                if a["regarding"] == record:
                    reasons.add("regarding")
                if reasons:
                    links[(a["activity_id"], *record)] = (min(reasons, key=REASONS.index), not a["machine"])
        return links

    def _in_window(self, a: dict, deal: dict) -> bool:
        if a["occurred_at"] is None or (a["regarding"] and a["regarding"] not in self._customers(deal)):
            return False
        closed = self._closed(deal)
        if closed and a["occurred_at"] >= instant(closed + timedelta(days=15)):
            return False
        return deal["createdon"] is None or a["occurred_at"] >= deal["createdon"] - 14 * DAY

    # KPIs

    def counted(self, record: Record) -> list[dict]:
        """The counted, completed activities of a record."""
        return [a for a in self._linked(record) if a["status"] == "completed" and not a["machine"]]

    def _linked(self, record: Record) -> list[dict]:
        if not hasattr(self, "_by_record"):
            self._by_record: dict[Record, list[dict]] = defaultdict(list)
            for id_, *key in self.links:
                self._by_record[tuple(key)].append(self.activities[id_])
        return self._by_record[record]

    def measures(self, record: Record, days: int | None = None) -> dict[str, Any]:
        """The MEASURES of a record over its life or the last `days`."""
        start = AS_OF - days * DAY if days else None
        inside = [a for a in self.counted(record) if start is None or a["occurred_at"] >= start]
        m: dict[str, Any] = dict(self._counts(inside))
        m["interactions_by_us"] = m["emails_sent"] + m["meetings_sent"] + m["calls_made"]
        m["interactions_by_them"] = m["emails_received"] + m["meetings_received"] + m["calls_received"]
        for n, side in enumerate(("team", "customer")):
            minutes = sum(round(self._minutes(a)[n], 12) for a in inside)
            m[f"time_spent_by_{side}_minutes"] = minutes
            m[f"time_spent_by_{side}_hours"] = int(minutes * 100 / 60 + 0.5 + 1e-9) / 100
        m["sent_received_ratio_by_them"] = m["emails_received"] / m["emails_sent"] if m["emails_sent"] else None
        m["sent_received_ratio_by_us"] = m["emails_sent"] / m["emails_received"] if m["emails_received"] else None
        m |= self._responses(record, start)
        followed = [a for a in inside if a["activity_type"] == "email" and a["by"] == "us" and a["is_followed"]]
        attached = [a for a in followed if a["attachment_count"]]
        m["emails_followed"] = len(followed)
        for name, of, column in (("email_open_rate", followed, "open_count"), ("attachment_view_rate", attached, "attachment_open_count"),
                                 ("link_click_rate", followed, "link_click_count"), ("email_reply_rate", followed, "reply_count")):  # fmt: skip
            m[name] = sum(a[column] >= 1 for a in of) / len(of) if of else None
        m["emails_excluded"] = sum(
            a["machine"] and a["status"] == "completed" and (start is None or a["occurred_at"] >= start)
            for a in self._linked(record)
        )
        return m

    @staticmethod
    def _counts(activities: list[dict]) -> dict[str, int]:
        kinds = {"emails_sent": ("email", "us"), "emails_received": ("email", "them"), "meetings_sent": ("meeting", "us"),
                 "meetings_received": ("meeting", "them"), "calls_made": ("phone_call", "us"), "calls_received": ("phone_call", "them")}  # fmt: skip
        return {name: sum((a["activity_type"], a["by"]) == kind for a in activities) for name, kind in kinds.items()}

    @staticmethod
    def _people(a: dict, side: str, state: str = "on") -> set:
        return {p["person"] for p in a["people"] if p["side"] == side and p[state]}

    def _minutes(self, a: dict) -> tuple[float, float]:
        kind, length = a["activity_type"], a["duration_minutes"]
        us, them = self._people(a, "us"), self._people(a, "them")
        if kind == "email":
            return {"us": (5, 2.5 if them else 0), "them": (2.5 if us else 0, 5), None: (0, 0)}[a["by"]]
        if kind == "meeting":
            if a["is_all_day"] or length >= 1440:
                return 0, 0
            return length * len(self._people(a, "us", "took")), length if self._people(a, "them", "took") else 0
        return length if us else 0, length if them and kind == "phone_call" else 0

    def _responses(self, record: Record, start: datetime | None) -> dict[str, Any]:
        threads = {t["activity_id"]: t["thread_id"] for t in self.rows["activity_thread"]}
        by_thread: dict[str, list] = defaultdict(list)
        for a in self.counted(record):
            if a["activity_type"] == "email" and a["by"] and self._people(a, "them" if a["by"] == "us" else "us"):
                by_thread[threads[a["activity_id"]]].append((a["occurred_at"], a["by"] == "them"))
        asked: dict[bool, list] = {True: [], False: []}
        for emails in by_thread.values():
            blocks: list[tuple[datetime, bool]] = []
            for at, them in sorted(emails):
                if not blocks or blocks[-1][1] != them:
                    blocks.append((at, them))
            for n, (at, them) in enumerate(blocks):
                if start is None or at >= start:
                    asked[them].append((at, blocks[n + 1][0] if n + 1 < len(blocks) else None))
        answer: dict[str, Any] = {}
        for side, blocks in (("us", asked[True]), ("them", asked[False])):
            answered = [(a, b) for a, b in blocks if b and b - a <= 30 * DAY]
            late = [a for a, b in blocks if not (b and b - a <= 30 * DAY)]
            times = [(b - a).total_seconds() / 3600 for a, b in answered]
            business = [business_seconds(a, b) / 3600 for a, b in answered]
            overdue = sum(AS_OF - a > 7 * DAY for a in late)
            prefix = f"response_time_by_{side}"
            answer[f"{prefix}_hours"] = fmean(times) if times else None
            answer[f"{prefix}_median_hours"] = median(times) if times else None
            answer[f"{prefix}_business_mean_hours"] = fmean(business) if times else None
            answer[f"{prefix}_business_median_hours"] = median(business) if times else None
            answer[f"response_rate_by_{side}"] = len(times) / (len(times) + overdue) if times or overdue else None
            answer[f"responses_awaited_from_{side}"] = len(late) - overdue
        return answer

    def interactions(self, record: Record) -> dict[str, Any]:
        """First, last and next interaction and the people of 90 days."""
        done = self.counted(record)
        planned = [a for a in self._linked(record) if a["status"] == "scheduled"]
        kinds, sides = ("meeting", "phone_call", "email", "task"), ("them", "us", None)

        def tie(a: dict) -> tuple:
            return kinds.index(a["activity_type"]), sides.index(a["by"]), a["activity_id"]

        last = min((a for a in done if a["occurred_at"] == max(d["occurred_at"] for d in done)), key=tie, default=None)
        upcoming = min(planned, key=lambda a: (a["occurred_at"], *tie(a)), default=None)
        answer = {"first_interaction_at": min((a["occurred_at"] for a in done), default=None)}
        for name, a in (("last", last), ("next", upcoming)):
            for column, key in (("at", "occurred_at"), ("type", "activity_type"), ("by", "by"), ("activity_id", "activity_id")):
                answer[f"{name}_interaction_{column}"] = a[key] if a else None
        recent = [a for a in done if a["occurred_at"] >= AS_OF - 90 * DAY]
        for name, side in (("team", "us"), ("customer", "them")):
            answer[f"{name}_people_90d"] = len(set().union(*(self._people(a, side, "took") for a in recent)))
        return answer

    def daily(self) -> dict[tuple[str, str, date], tuple[int, ...]]:
        """The six counts by record and reporting day, where one is above 0."""
        answer = {}
        for record in self.records:
            days: dict[date, list[dict]] = defaultdict(list)
            for a in self.counted(record):
                days[a["occurred_at"].astimezone(ZoneInfo(ZONE)).date()].append(a)
            for day, activities in days.items():
                counts = tuple(self._counts(activities).values())
                if any(counts):
                    answer[(*record, day)] = counts
        return answer
