"""What sales people keep in Dataverse: tracked emails and appointments, phone calls, tasks, and the parties of each."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from sandbox.company.folder import Record, TenantFolder, instant, lookup
from sandbox.company.mail import Email
from sandbox.company.names import CALL_SUBJECTS, TASK_SUBJECTS
from sandbox.company.people import Person, Topic, guid
from sandbox.company.staff import Staff
from sandbox.company.working_time import DAY, WorkingTime

FROM, TO, CC, REQUIRED, OPTIONAL, ORGANIZER, REGARDING, OWNER = 1, 2, 3, 5, 6, 7, 8, 9


@dataclass(slots=True, eq=False)
class Tracking:
    """Writes activities of Dataverse with their activity parties."""

    folder: TenantFolder
    rng: Random
    work: WorkingTime
    staff: Staff
    party_ids: list[tuple[str, str]] = field(default_factory=list)
    """(activity id, activity party id) of customers on calls, for later changes."""

    def row(self, subject: str, owner: Person, topic: Topic, at: int, keys: dict[str, Any]) -> Record:
        """The columns that all activities share. `at` is the second of creation."""
        regarding = topic.regarding if self.rng.random() < 0.85 else None
        return {
            "activityid": guid(self.rng), "subject": subject, **keys, **lookup("regardingobjectid", *(regarding or (None, None))),
            **lookup("ownerid", *owner.party), "createdon": instant(at), "modifiedon": instant(at),
        }  # fmt: skip

    def parties(self, row: Record, people: list[tuple[int, Person]], owner: Person, at: int) -> None:
        """Party rows of an activity: its people, its owner and what it regards. Address only where no record stands behind it."""
        regarding = row["_regardingobjectid_value"]
        for mask, person in [*people, (OWNER, owner)]:
            party = person.party
            party_id = guid(self.rng)
            self.folder.crm(
                "activityparties",
                {
                    "activitypartyid": party_id, **lookup("activityid", None, row["activityid"]), "participationtypemask": mask,
                    "addressused": person.address if party is None or self.rng.random() < 0.6 else None, "ispartydeleted": False,
                    **lookup("partyid", *(party or (None, None))), "unresolvedpartyname": person.name if party is None else None,
                },
                at,
            )  # fmt: skip
            if mask == TO and party and party[0] == "contact" and "directioncode" in row and "messageid" not in row:
                self.party_ids.append((row["activityid"], party_id))
        if regarding:
            kind = row["_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname"]
            self.folder.crm(
                "activityparties",
                {
                    "activitypartyid": guid(self.rng),
                    **lookup("activityid", None, row["activityid"]),
                    "participationtypemask": REGARDING,
                    "addressused": None,
                    "ispartydeleted": False,
                    **lookup("partyid", kind, regarding),
                },
                at,
            )

    def email(self, email: Email, topic: Topic, *, is_untracked: bool = False, state: tuple[int, int] | None = None) -> None:
        """The Dataverse copy of an email; `is_untracked`: without message id, as mail written in the CRM is."""
        rng, is_ours = self.rng, email.sender.is_ours
        is_followed = is_ours and rng.random() < 0.35
        opens = min(9, int(rng.expovariate(0.6))) if is_followed else 0
        has_attachment = rng.random() < 0.3
        owner = email.sender if is_ours and email.sender.party else topic.team[0]
        sent = email.sent + rng.randint(-3, 3)
        statecode, statuscode = state or (1, 3 if is_ours else 4)
        row = self.row(
            email.subject, owner, topic, email.sent + 30,
            {
                "statecode": statecode, "statuscode": statuscode, "directioncode": is_ours, "messageid": None if is_untracked else email.message_id,
                "inreplyto": email.parents[-1] if email.parents and not is_untracked else None, "senton": instant(sent) if statecode == 1 else None,
                "actualend": instant(sent) if statecode == 1 else None, "sender": email.sender.address, "torecipients": "".join(f"{p.address};" for p in email.to),
                **lookup("emailsender", *(email.sender.party or (None, None))), "isemailfollowed": is_followed, "opencount": opens,
                "linksclickedcount": min(opens, rng.choice((0, 0, 1, 2))), "attachmentcount": 1 if has_attachment else 0,
                "attachmentopencount": 1 if has_attachment and opens > 1 else 0, "replycount": 1 if opens and rng.random() < 0.5 else 0, "description": "<p>Hello</p>",
            },
        )  # fmt: skip
        self.folder.crm("emails", row, email.sent + 30)
        people = [(FROM, email.sender), *((TO, p) for p in email.to), *((CC, p) for p in email.cc)]
        self.parties(row, people, owner, email.sent + 30)

    def calls_and_tasks(self, topics: list[Topic], calls: int, tasks: int, as_of: int) -> None:
        """Phone calls and tasks, done and planned, spread over the topics by their weights."""
        live = [topic for topic in topics if topic.ends > topic.starts]
        coming = [topic for topic in live if topic.is_live(as_of)]
        weights = [topic.weight + 0.05 for topic in live]
        for i, topic in enumerate(self.rng.choices(live, weights, k=calls)):
            is_planned = i % 16 == 5
            self._call(self.rng.choice(coming) if is_planned else topic, i, as_of, is_planned=is_planned)
        for i, topic in enumerate(self.rng.choices(live, weights, k=tasks)):
            self._task(topic, i, as_of)

    def _moment(self, topic: Topic, as_of: int) -> int:
        ends = max(topic.starts + DAY, min(topic.ends, topic.silent_at, as_of + 3 * DAY))
        return self.work.moment(self.rng, topic.team[0].zone, self.rng.randint(topic.starts, ends))

    def _call(self, topic: Topic, i: int, as_of: int, *, is_planned: bool) -> None:
        rng, ours, theirs = self.rng, self.rng.choice(topic.team), self.rng.choice(topic.customers)
        is_outgoing = rng.random() < 0.65
        if is_planned:
            due = self.work.moment(rng, ours.zone, as_of + rng.randint(1, 30) * DAY)
            created = as_of - rng.randint(1, 10) * DAY
            keys = {
                "statecode": 0,
                "statuscode": 1,
                "actualdurationminutes": None,
                "actualstart": None,
                "actualend": None,
                "scheduledstart": instant(due),
                "scheduledend": instant(due + 900),
            }
        else:
            created = end = self._moment(topic, as_of)
            minutes = max(1, int(rng.lognormvariate(2.2, 0.8)))
            status = (2, 3) if i % 25 == 14 else (1, 2 if is_outgoing else 4)
            measured = i % 8 != 7
            keys = {
                "statecode": status[0], "statuscode": status[1], "actualdurationminutes": minutes if measured else None, "actualstart": instant(end - minutes * 60),
                "actualend": instant(end) if status[0] == 1 else None, "scheduledstart": None, "scheduledend": instant(end),
            }  # fmt: skip
        row = self.row(
            rng.choice(CALL_SUBJECTS), ours, topic, created, {**keys, "directioncode": is_outgoing, "phonenumber": "+00 000 000"}
        )
        self.folder.crm("phonecalls", row, created)
        caller, callee = (ours, theirs) if is_outgoing else (theirs, ours)
        extra = [(TO, rng.choice(topic.customers))] if is_outgoing and i % 12 == 0 else []
        self.parties(row, [(FROM, caller), (TO, callee), *extra], ours, created)

    def _task(self, topic: Topic, i: int, as_of: int) -> None:
        rng, owner = self.rng, self.rng.choice(topic.team)
        created = self._moment(topic, as_of)
        due = created + rng.randint(1, 14) * DAY
        done = min(due - rng.randint(-2, 2) * 43_200, as_of - 3600) if due < as_of and i % 9 else None
        state = (2, 6) if i % 30 == 11 else (1, 5) if done and done > created else (0, 2)
        ends = instant(done) if done and state[0] == 1 else None
        row = self.row(
            rng.choice(TASK_SUBJECTS), owner, topic, created,
            {
                "statecode": state[0], "statuscode": state[1], "actualdurationminutes": rng.choice((10, 20, 30, 60)) if state[0] == 1 and i % 5 else None,
                "actualstart": None, "actualend": ends, "scheduledstart": None, "scheduledend": instant(due), "percentcomplete": 100 if state[0] == 1 else 0,
            },
        )  # fmt: skip
        if i % 20 == 10:
            row |= lookup("ownerid", "team", self.staff.team_ids[owner.unit])
        self.folder.crm("tasks", row, created)
        self.parties(row, [], owner, created)
