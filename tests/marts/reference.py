"""The marts of people, health, alerts and summary a second time, rule by rule in plain Python.

Each function takes the rows of a world and returns {key: values}, keys and values in the order of the mart's columns.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.marts.world import AS_OF, DAY, ZONE, Row, World

F = 7
Answer = dict[tuple, tuple]
AS_OF_DATE = (AS_OF - timedelta(microseconds=1)).astimezone(ZoneInfo(ZONE)).date()


class Reference:
    """The answers for one world."""

    def __init__(self, world: World) -> None:
        rows = {name.split(".")[1]: found for name, found in world.items()}
        self.rows = rows
        self.records = {(r["record_type"], r["record_id"]): r for r in rows["int_record"]}
        self.kpis = {(r["record_type"], r["record_id"]): r for r in rows["int_record_kpi"]}
        self.names = {(r["person_type"], r["person_id"]): r["display_name"] for r in rows["int_person_name"]}
        self.people = _grouped(rows["int_activity_person"], "activity_id")
        self.activities = _grouped(rows["int_record_activity"], "record_type", "record_id")
        self.stakeholders = _grouped(rows["int_stakeholder"], "record_id")

    def most_contacted(self, mart: str) -> Answer:
        answer: Answer = {}
        for record, activities in self.activities.items():
            if record[0] == "contact":
                continue
            totals: dict[tuple, list] = defaultdict(lambda: [0, 0, 0, []])
            for activity in activities:
                place = {"email": 0, "meeting": 1, "phone_call": 2}.get(activity["activity_type"])
                if place is None or activity["initiated_by"] != "us" or activity["is_private"]:
                    continue
                for person in self._listed(mart, activity, place):
                    total = totals[person["person_type"], person["person_id"]]
                    total[place] += 1
                    total[3].append(activity["occurred_at"])
            order = sorted(totals.items(), key=lambda t: (-sum(t[1][:3]), -max(t[1][3]).timestamp(), t[0][1].encode(), t[0][0]))
            for rank, ((kind, person), total) in enumerate(order[:3], 1):
                name = self.names.get((kind, person), person)
                answer[(*record, rank)] = (kind, person, name, *total[:3], sum(total[:3]), max(total[3]))
        return answer

    def _listed(self, mart: str, activity: Row, place: int) -> list[Row]:
        people = self.people.get((activity["activity_id"],), [])
        if mart == "most_contacted":
            return [p for p in people if p["side"] == "them" and (p["is_to_cc"] if place == 0 else p["took_part"])]
        if not any(p["side"] == "them" and p["is_on"] for p in people):
            return []
        return [p for p in people if p["side"] == "us" and p[("is_sender", "is_organizer", "is_from")[place]]]

    def who_knows_whom(self) -> Answer:
        enabled = {u["systemuserid"] for u in self.rows["stg_dataverse__systemuser"] if not u["isdisabled"]}
        pairs: dict[tuple, list[tuple[str, float, datetime]]] = defaultdict(list)
        for activity in self.rows["int_activity"]:
            people = self.people.get((activity["activity_id"],), [])
            machine = activity["is_automated"] or activity["is_bulk"]
            if activity["status"] != "completed" or machine or activity["is_private"] or activity["activity_type"] == "task":
                continue
            count = {s: sum(p["side"] == s and p["took_part"] for p in people) for s in ("us", "them")}
            addressed = {"us": count["them"], "them": count["us"], None: max(count.values())}[activity["initiated_by"]]
            for user in (p for p in people if p["side"] == "us" and p["person_id"] in enabled):
                for contact in (p for p in people if p["side"] == "them" and p["person_type"] == "contact"):
                    tie = _tie(activity["activity_type"], contact, user)
                    if tie:
                        weight = tie[1] / max(1, addressed / 4) * 0.5 ** (_age(activity["occurred_at"]) / 90)
                        pairs[contact["person_id"], user["person_id"]].append((tie[0], weight, activity["occurred_at"]))
        contacts = defaultdict(list)
        for (contact, user), ties in pairs.items():
            kinds = [kind for kind, _, _ in ties]
            one_way = set(kinds) == {"colleague"}
            strength = 100 * (1 - math.exp(-sum(w for _, w, _ in ties) / 8))
            counts = [kinds.count(k) for k in ("contact", "colleague", "meeting", "call")]
            last = max(at for _, _, at in ties)
            if round(sum(w for _, w, _ in ties), 9) > 0:
                contacts[contact].append((min(strength, 20.0) if one_way else strength, last, user, counts, one_way))
        answer: Answer = {}
        for contact, colleagues in contacts.items():
            colleagues.sort(key=lambda c: (-round(c[0], 9), -c[1].timestamp(), c[2]))
            for rank, (strength, last, user, counts, one_way) in enumerate(colleagues[:5], 1):
                band = "strong" if round(strength, 9) >= 60 else "medium" if round(strength, 9) >= 25 else "weak"
                answer[contact, user] = (rank, strength, band, *counts, one_way, last)
        return answer

    def relationship_health(self) -> Answer:
        answer: Answer = {}
        for key, record in self.records.items():
            if key[0] == "account" or (key[0] != "contact" and not record["is_open"]):
                continue
            activities = self.activities.get(key, [])
            now = _score(activities, AS_OF)
            before = _score(activities, AS_OF - 2 * F * DAY) if now else None
            state = "no_closed_activities" if not activities else "not_enough_info"
            trend = "not_enough_info"
            if now:
                state = "good" if now[0] >= 60 else "fair" if now[0] >= 40 else "poor"
            if now and before:
                change = now[0] - before[0]
                trend = "improving" if change >= 5 else "declining" if change <= -5 else "steady"
            last = max((a["occurred_at"] for a in activities), default=None)
            score, *terms = now or (None, None, None, None)
            answer[key] = (
                score, state if now else None, state, trend, before[0] if before else None, *terms, len(activities), last, F,
            )  # fmt: skip
        return answer

    def stakeholder_coverage(self) -> Answer:
        roles = defaultdict(set)
        for (kind, opportunity), record in self.records.items():
            if kind != "opportunity":
                continue
            found = self.stakeholders.get((opportunity,), [])
            for s in found:
                roles[opportunity, s["role"] or "Stakeholder"].add((s["party_type"], s["party_id"]))
            primary = ("contact", record["contact_id"])
            if record["contact_id"] and primary not in {(s["party_type"], s["party_id"]) for s in found}:
                roles[opportunity, "Primary Contact"].add(primary)
        answer: Answer = {}
        for key, people in roles.items():
            engaged = [at for at in (self._engaged(key[0], person) for person in people) if at]
            answer[key] = (len(people), sum(_age(at) <= 90 for at in engaged), max(engaged, default=None))
        return answer

    def _engaged(self, opportunity: str, person: tuple) -> datetime | None:
        def engages(p: Row, kind: str) -> bool:
            known = p["side"] == "them" and (p["person_type"], p["person_id"]) == person
            return known and kind != "task" and (p["is_sender"] if kind == "email" else p["took_part"])

        return max(
            (
                a["occurred_at"]
                for a in self.activities.get(("opportunity", opportunity), [])
                if any(engages(p, a["activity_type"]) for p in self.people.get((a["activity_id"],), []))
            ),
            default=None,
        )

    def relationship_alert(self) -> Answer:
        health = self.relationship_health()
        answer: Answer = {}
        for key, record in self.records.items():
            for alert, high, since, evidence in self._alerts(key, record, health.get(key)):
                text = json.dumps(evidence, separators=(",", ":"), default=_instant)
                answer[(*key, alert)] = ("high" if high else "medium", since, text)
        return answer

    def _alerts(self, key: tuple, record: Row, health: tuple | None) -> Iterable[tuple[str, bool, datetime, dict[str, Any]]]:
        acts = [a for a in self.activities.get(key, []) if a["activity_type"] != "task"]
        signals = [a["occurred_at"] for a in acts if _is_signal(a)]
        signal = max(signals, default=None)
        last = max((a["occurred_at"] for a in acts), default=None)
        planned = self.kpis[key]["next_interaction_at"]
        watched = record["is_open"] if key[0] in ("lead", "opportunity") else record["is_active"]
        deal = key[0] == "opportunity" and record["is_open"]
        created = record["created_at"]
        close = (record["estimated_close_date"] - AS_OF_DATE).days if record["estimated_close_date"] else None
        soon = close is not None and close <= 30
        if watched and signal and 30 <= _age(signal) <= 180:
            recent = sum(at >= signal - 90 * DAY for at in signals)
            evidence = {"last_customer_signal_at": signal, "days_since": int(_age(signal)), "signals_90d_before": recent}
            if recent >= 3:
                yield "going_dark", _age(signal) >= 60, signal, {**evidence, "threshold_days": 30}
        mails = sorted(a["occurred_at"] for a in acts if _is_mail_to_customer(a) and (not signal or a["occurred_at"] > signal))
        if watched and len(mails) >= 2 and _age(mails[0]) >= 14 and _age(mails[-1]) <= 60:
            evidence = {"first_unanswered_at": mails[0], "last_unanswered_at": mails[-1], "unanswered_emails": len(mails)}
            yield "ghosted", len(mails) >= 4, mails[0], {**evidence, "last_customer_signal_at": signal, "threshold_days": 14}
        recent_acts = [a["occurred_at"] for a in acts if _age(a["occurred_at"]) <= 90]
        if deal and self.kpis[key]["customer_people_90d"] == 1 and len(recent_acts) >= 3:
            evidence = {"customer_people_90d": 1, "interactions_90d": len(recent_acts), "days_to_close": close}
            yield "single_threaded", soon, min(recent_acts), evidence
        start = last or created
        if deal and not planned and start and _age(start) >= 7:
            evidence = {"last_interaction_at": last, "days_since": int(_age(start)), "days_to_close": close, "threshold_days": 7}
            yield "no_next_step", soon, start, evidence
        if watched and last and not planned and 2 * F < _age(last) <= 180:
            evidence = {"last_interaction_at": last, "days_since": int(_age(last)), "expected_interval_days": F}
            yield "overdue_contact", _age(last) > 4 * F, last + F * DAY, evidence
        stakeholders = self.stakeholders.get((key[1],), [])
        if deal and stakeholders and created and _age(created) >= 14:
            deciding = {
                (s["party_type"], s["party_id"])
                for s in stakeholders
                if s["role"] and s["role"].lower() in ("decision maker", "economic buyer")
            }
            engaged = max((at for at in (self._engaged(key[1], p) for p in deciding) if at), default=None)
            if engaged is None or _age(engaged) > 90:
                evidence = {"decision_makers": len(deciding), "last_engaged_at": engaged}
                yield "no_decision_maker", not deciding, engaged or created, evidence
        if deal and close is not None and close < 0:
            day = record["estimated_close_date"]
            midnight = datetime.combine(day + DAY, datetime.min.time(), ZoneInfo(ZONE)).astimezone(UTC)
            yield "close_date_passed", close < -30, midnight, {"estimated_close_date": day, "days_late": -close}
        if health and health[3] == "declining":
            evidence = {"score": health[0], "previous_score": health[4], "change": health[0] - health[4]}
            yield "declining", health[1] == "poor", AS_OF - 2 * F * DAY, evidence

    def opportunity_attention(self) -> Answer:
        severities = defaultdict(list)
        for (kind, record, _), (severity, _, _) in self.relationship_alert().items():
            severities[kind, record].append(severity)
        deals = []
        for key, record in self.records.items():
            if key[0] != "opportunity" or not record["is_open"]:
                continue
            found, value, last = severities[key], record["estimated_value"], self.kpis[key]["last_interaction_at"]
            worst = "high" if "high" in found else "medium" if found else None
            order = (
                ("high", "medium", None).index(worst), -len(found), value is None, -(value or 0),
                last is not None, last.timestamp() if last else 0, key[1],
            )  # fmt: skip
            deals.append((order, (len(found), found.count("high"), worst, value, last)))
        return {(order[-1],): (rank, *values) for rank, (order, values) in enumerate(sorted(deals, key=lambda d: d[0]), 1)}

    def relationship_summary(self) -> Answer:
        return {(*key, n): (s,) for key, kpi in self.kpis.items() for n, s in enumerate(list(_sentences(kpi))[:5], 1)}


def _sentences(kpi: Row) -> Iterable[str]:
    def some(n: int, noun: str) -> str:
        return f"{n} {noun}{'' if n == 1 else 's'}"

    last, kind = kpi["last_interaction_at"], (kpi["last_interaction_type"] or "").replace("_", " ")
    if last is None:
        yield "There is no completed activity yet."
    else:
        by = {"us": " by you", "them": " by the customer", None: ""}[kpi["last_interaction_by"]]
        yield f"The last interaction was a{'n' if kind == 'email' else ''} {kind}{by} {some(int(_age(last)), 'day')} ago."
    sent, received = kpi["emails_sent"], kpi["emails_received"]
    if sent and received:
        if sent == received:
            yield "You and the customer sent equally many emails."
        elif sent > received:
            yield f"You sent {_tenths(sent / received) / 10:.1f}x more emails than the customer."
        else:
            yield f"The customer sent {_tenths(received / sent) / 10:.1f}x more emails than you."
    elif sent:
        yield f"You sent {some(sent, 'email')}, the customer none."
    elif received:
        yield f"The customer sent {some(received, 'email')}, you none."
    more = kpi["meetings_sent"] - kpi["meetings_received"]
    if more > 0:
        yield f"You initiated {some(more, 'more meeting')} than the customer."
    if more < 0:
        yield f"The customer initiated {some(-more, 'more meeting')} than you."
    ours, theirs = kpi["response_time_by_us_hours"], kpi["response_time_by_them_hours"]
    if ours is not None and theirs is not None and _tenths(ours) != _tenths(theirs):
        gap = f"{_tenths(abs(theirs - ours)) / 10:.1f} hours faster than"
        yield f"You answer emails {gap} the customer." if ours < theirs else f"The customer answers emails {gap} you."
    waiting = kpi["responses_awaited_from_us"]
    if waiting:
        yield "1 email thread waits for your answer." if waiting == 1 else f"{waiting} email threads wait for your answer."
    if kpi["next_interaction_at"]:
        yield f"The next phone call is in {some((kpi['next_interaction_at'] - AS_OF).days, 'day')}."
    elif last:
        yield "No next interaction is planned."


def _grouped(rows: list[Row], *names: str) -> dict[tuple, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[n] for n in names)].append(row)
    return dict(groups)


def _age(instant: datetime, at: datetime = AS_OF) -> float:
    return (at - instant).total_seconds() / 86400


def _tenths(value: float) -> int:
    return math.floor(round(10 * value, 9) + 0.5)


def _instant(value: Any) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value.isoformat()


def _is_signal(activity: Row) -> bool:
    if activity["activity_type"] == "email":
        return activity["initiated_by"] == "them"
    return activity["customer_took_part_count"] > 0


def _is_mail_to_customer(activity: Row) -> bool:
    return activity["activity_type"] == "email" and activity["initiated_by"] == "us" and activity["customer_on_count"] > 0


def _tie(kind: str, contact: Row, user: Row) -> tuple[str, float] | None:
    if kind == "meeting" and contact["took_part"] and user["took_part"]:
        return "meeting", 2
    if kind == "phone_call" and contact["is_on"] and user["is_on"]:
        return "call", 1.5
    if kind == "email" and contact["is_sender"] and user["is_recipient"]:
        return "contact", 1
    if kind == "email" and user["is_sender"] and contact["is_to_cc"]:
        return "colleague", 0.5
    return None


def _score(activities: list[Row], at: datetime) -> tuple[int, float, float, float] | None:
    done = [a for a in activities if a["occurred_at"] < at and (a["activity_type"] != "meeting" or a["ended_at"] <= at)]
    if len(done) < 3:
        return None
    presence = {
        n: 0.5 ** (_age(a["occurred_at"], at) / (2 * F)) for n, a in enumerate(done) if _age(a["occurred_at"], at) <= 24 * F
    }
    engaged = sum(
        p
        for n, p in presence.items()
        if done[n]["initiated_by"] == "them" or done[n]["activity_type"] in ("meeting", "phone_call")
    )
    total = sum(presence.values())
    a = min(1.0, total / (1 / (1 - 0.5**0.5)))
    r = 0.5 ** (max(0.0, min(_age(d["occurred_at"], at) for d in done) - F) / (2 * F))
    g = min(1.0, 2 * engaged / total) if total else 0.0
    return math.floor(round(100 * (0.5 * a + 0.3 * r + 0.2 * g), 9) + 0.5), a, r, g
