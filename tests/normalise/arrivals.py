"""A world by chance: records of every family with copies, partial rows, broken rows, removals, moves, complete listings and many ties."""

import random
from datetime import UTC, datetime
from typing import Any

from tests.normalise.world import World, guid, mailbox_id

CLEO, DAN = "cleo@acme.example", "dan@acme.example"
USERS = ("una", "bo", "cem")
PEOPLE = [*(f"{user}@ours.example" for user in USERS), "alias@ours.example", CLEO, DAN, "x@y.example"]
CONTACTS = ("cleo", "cleo2", "dan")
BROKEN = "2026-13-45T00:00:00Z"
WINDOWS = [
    {},
    {"window_start": datetime(2026, 4, 1, tzinfo=UTC), "window_end": datetime(2026, 5, 20, tzinfo=UTC)},
    {"window_start": datetime(2026, 5, 1, tzinfo=UTC), "window_end": datetime(2026, 8, 1, tzinfo=UTC)},
]


class Chance:
    """Draws what happens next."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def at(self) -> str:
        if self.random.random() < 0.05:
            return BROKEN
        return f"2026-0{self.pick(4, 5, 6)}-10T10:00:0{self.pick(0, 1, 2)}Z"

    def number(self) -> int:
        return self.random.randint(1, 8)

    def happen(self) -> None:
        what = [self.mail, self.mail, self.mail, self.mail_part, self.list_pass, self.folder, self.user, self.reject, self.event,
                self.event, self.occurrence, self.occurrence, self.occurrence, self.event_part, self.crm_mail, self.crm_mail, self.appointment, self.call, self.task,
                self.contact, self.account, self.party, self.remove, self.remove, self.listing]  # fmt: skip
        self.pick(*what)()

    def mail(self) -> None:
        user, number = self.pick(*USERS), self.number()
        headers = [("In-Reply-To", f"<{self.random.randint(1, 12)}@mid.example>")] if self.random.random() < 0.3 else None
        self.world.mail(user, self.pick("inbox", "inbox", "sentitems", "junkemail", "extra"), f"{user}-{number}", self.pick(*PEOPLE),
                        self.random.sample(PEOPLE, 2), at=self.at(), message_id=self.pick(f"<{number}@mid.example>", None),
                        headers=headers, conversationId=f"c{self.random.randint(1, 4)}")  # fmt: skip

    def mail_part(self) -> None:
        user = self.pick(*USERS)
        part = self.pick({"ccRecipients": None}, {"isDraft": True}, {"sentDateTime": BROKEN, "receivedDateTime": None})
        self.world.put("graph", f"messages/{mailbox_id(user)}/inbox", f"{user}-{self.number()}", {"id": "x", **part})

    def list_pass(self) -> None:
        user = self.pick(*USERS)
        value = {"id": "String 0x1042", "value": f"<{self.random.randint(1, 12)}@mid.example>"}
        stream = f"messageHeaders/{mailbox_id(user)}/sentitems"
        self.world.put("graph", stream, f"{user}-{self.number()}", {"singleValueExtendedProperties": [value]})

    def folder(self) -> None:
        self.world.folder(self.pick(*USERS), "extra", parent=self.pick("inbox", "sentitems", "junkemail"))

    def user(self) -> None:
        self.world.graph_user(self.pick(*USERS), otherMails=self.pick([], ["alias@ours.example"]))

    def reject(self) -> None:
        box = mailbox_id(self.pick(*USERS))
        source, stream = self.pick(("graph", f"messages/{box}/inbox"), ("graph", f"calendarView/{box}"), ("dataverse", "emails"))
        self.world.put(source, stream, None, {"reason": "not_json", "length": 3}, op="reject")

    def event(self) -> None:
        user, number = self.pick(*USERS), self.number()
        start = self.at()
        self.world.event(user, f"{user}-e{number}", self.pick(*PEOPLE), self.random.sample(PEOPLE, 2), uid=f"uid{number}",
                         start=start[:-1], end=None, lastModifiedDateTime=self.at(), response=self.pick("accepted", "declined", "none"),
                         isCancelled=self.pick(False, False, True), zone=self.pick("UTC", "UTC", "UTC", "Moon Standard Time"))  # fmt: skip

    def occurrence(self) -> None:
        user, master = self.pick(*USERS), 1
        if self.random.random() < 0.4:
            self.world.event(user, f"{user}-m{master}", self.pick(*PEOPLE), [CLEO], uid=f"series{master}", type="seriesMaster",
                             sensitivity=self.pick("normal", "private"), isCancelled=self.pick(False, True))  # fmt: skip
        else:
            day = self.random.randint(1, 2)
            self.world.event(user, f"{user}-o{master}{day}", uid=..., type="occurrence", seriesMasterId=f"{user}-m{master}",
                             start=f"2026-05-0{day}T09:00:00", end=f"2026-05-0{day}T09:30:00", isCancelled=..., organizer=...,
                             attendees=self.pick(..., [DAN]))  # fmt: skip

    def event_part(self) -> None:
        user = self.pick(*USERS)
        part = self.pick(
            {"isCancelled": True}, {"attendees": None}, {"start": {"dateTime": "2026-06-20T10:00:00", "timeZone": "UTC"}}
        )
        self.world.put("graph", f"calendarView/{mailbox_id(user)}", f"{user}-e{self.number()}", {"id": "x", **part})

    def someone(self) -> Any:
        return self.pick(*PEOPLE, ("contact", guid(self.pick(*CONTACTS))), ("systemuser", guid("bo")), ("queue", guid("desk")))

    def crm_mail(self) -> None:
        number = self.number()
        self.world.crm_mail(f"crm{number}", (1, self.someone()), (2, self.someone()), senton=self.at(),
                            messageid=self.pick(None, f"<{number}@mid.example>"), opencount=self.number(), statecode=self.pick(0, 1, 1))  # fmt: skip

    def appointment(self) -> None:
        number = self.number()
        start = self.at()
        self.world.appointment(f"app{number}", (7, self.someone()), (5, self.someone()), globalobjectid=self.pick(None, f"uid{number}"),
                               scheduledstart=start, scheduledend=start, statecode=self.pick(0, 1, 2, 3),
                               isdraft=self.pick(False, False, True))  # fmt: skip

    def call(self) -> None:
        self.world.call(f"call{self.number()}", (1, self.someone()), (2, self.someone()), actualend=self.pick(self.at(), "2150-01-01"),
                        regardingobjectid=self.pick(guid("cleo"), ("contact", guid("dan"))), ownerid=("systemuser", guid("una")))  # fmt: skip

    def task(self) -> None:
        owner = self.pick(("systemuser", guid("cem")), guid("una"), ("team", guid("team")))
        self.world.add("tasks", guid(f"task{self.number()}"), statecode=self.pick(0, 1), scheduledend=self.at(), ownerid=owner)

    def contact(self) -> None:
        merged = {"merged": True, "masterid": ("contact", guid("cleo"))} if self.random.random() < 0.2 else {}
        self.world.contact(self.pick(*CONTACTS), self.pick(CLEO, DAN, "new@acme.example", None), statecode=self.pick(0, 1),
                           modifiedon=f"2026-05-0{self.pick(1, 2)}T00:00:00Z", parentcustomerid=guid("acme"), **merged)  # fmt: skip

    def account(self) -> None:
        self.world.add(
            "accounts", guid(self.pick("acme", "globex")), name=self.pick("A", "B"), websiteurl=self.pick(None, "acme.example")
        )

    def party(self) -> None:
        self.world.parties(guid(f"call{self.number()}"), (self.pick(1, 2), self.someone()))

    def some_stream(self) -> str:
        """A stream of activities, of their parties, or of contacts."""
        held = {row["stream"] for row in self.world.rows if row["op"] == "upsert"}
        return self.pick(
            *sorted(s for s in held if s.split("/")[0] not in ("users", "systemusers", "mailFolders", "messageHeaders"))
        )

    def remove(self) -> None:
        seen = [
            (row["stream"], row["record_id"]) for row in self.world.rows if row["record_id"] and row["stream"] != "systemusers"
        ]
        stream, record = self.random.choice(seen)
        self.world.remove(stream, record, **(self.pick(*WINDOWS) if stream.startswith("calendarView") else {}))

    def listing(self) -> None:
        """A complete listing of a stream that shows some of its records again."""
        stream = self.some_stream()
        window = self.pick(*WINDOWS) if stream.startswith("calendarView") else {}
        self.world.later("full")
        last = {row["record_id"]: row for row in self.world.rows if row["stream"] == stream and row["op"] == "upsert"}
        for row in last.values():
            if self.random.random() < 0.7:
                again = {name: row[name] for name in ("source", "stream", "record_id", "payload")}
                self.world.repeat(**again, **window)
        self.world.end_round(stream, **window)
        self.world.later()


class Cleaning(Chance):
    """Draws what happens in two mailboxes whose owners move, delete and list mail, and remove a folder now and then."""

    FOLDERS = ("inbox", "extra")

    def happen(self) -> None:
        self.pick(*[self.mail] * 5, self.mail_part, self.take_out, self.take_out, *[self.listing] * 5, self.folder, self.drop)()

    def mail(self) -> None:
        user = self.pick("una", "bo")
        self.world.mail(
            user, self.pick(*self.FOLDERS), f"{user}-{self.number()}", self.pick(CLEO, DAN), ["una@ours.example"], at=self.at()
        )

    def take_out(self) -> None:
        shown = [(row["stream"], row["record_id"]) for row in self.world.rows if row["stream"].startswith("messages/")]
        if shown:
            self.world.remove(*self.pick(*shown))

    def drop(self) -> None:
        if self.random.random() < 0.3:
            self.world.remove(f"mailFolders/{mailbox_id(self.pick('una', 'bo'))}", self.pick(*self.FOLDERS))

    def some_stream(self) -> str:
        return f"messages/{mailbox_id(self.pick('una', 'bo'))}/{self.pick(*self.FOLDERS)}"


def random_world(seed: int, steps: int = 120, drawn: type[Chance] = Chance) -> World:
    """Rows in order of arrival."""
    chance = drawn(seed)
    for _ in range(3):
        chance.contact()
    for step in range(steps):
        if step % 40 == 39:
            chance.world.later()
        chance.happen()
    return chance.world


def batches(world: World, seed: int, count: int) -> list[list[int]]:
    """The rows' numbers in `count` batches: every stream in its order, but streams ahead of and behind each other."""
    chance = random.Random(seed)
    streams: dict[str, list[int]] = {}
    for number, row in enumerate(world.rows):
        streams.setdefault(row["stream"], []).append(number)
    result: list[list[int]] = [[] for _ in range(count)]
    for numbers in streams.values():
        cuts = sorted(chance.randint(0, len(numbers)) for _ in range(count - 1))
        for place, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(numbers)], strict=True)):
            result[place] += numbers[start:end]
    return [sorted(batch) for batch in result if batch]
