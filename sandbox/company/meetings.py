"""Calendars: meetings with customers and colleagues, series, private and all-day entries, invitations and answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.company.folder import Record, TenantFolder, instant, lookup
from sandbox.company.mail import REQUEST, RESPONSE, Email, Post
from sandbox.company.names import INTERNAL_MEETINGS, MEETING_SUBJECTS, PRIVATE_MEETINGS
from sandbox.company.people import DOMAIN, Person, Topic, graph_id, recipient
from sandbox.company.staff import Staff
from sandbox.company.tracking import OPTIONAL, ORGANIZER, REQUIRED, Tracking
from sandbox.company.working_time import DAY, HOUR, WorkingTime

_UID_HEAD = "040000008200E00074C5B7101A82E008"
_NEVER = "0001-01-01T00:00:00Z"
_ANSWERS = ("accepted", "accepted", "accepted", "accepted", "accepted", "tentativelyAccepted", "declined", "none", "notResponded")
_WINDOWS_ZONES = {
    "Europe/Berlin": "W. Europe Standard Time",
    "Europe/London": "GMT Standard Time",
    "America/New_York": "Eastern Standard Time",
}


@dataclass(slots=True, eq=False)
class Meeting:
    """One entry in calendars; `answers` is what each attendee's own calendar says."""

    starts: int
    minutes: int
    organizer: Person
    attendees: Sequence[Person]
    subject: str
    uid: str
    created: int
    optional: Sequence[Person] = ()
    answers: dict[Person, str] = field(default_factory=dict)
    is_private: bool = False
    is_all_day: bool = False
    is_cancelled: bool = False
    has_room: bool = False
    zone: str = "UTC"

    @property
    def ends(self) -> int:
        return self.starts + self.minutes * 60


@dataclass(slots=True, eq=False)
class Meetings:
    """Writes meetings into every calendar of ours that holds them, and the ones that are tracked into Dataverse."""

    folder: TenantFolder
    rng: Random
    work: WorkingTime
    post: Post
    tracking: Tracking
    staff: Staff
    copies: int = 0
    future: list[tuple[str, Record]] = field(default_factory=list)
    """(events file, record) of the organizers' copies of coming meetings, for later changes."""

    def with_customers(self, topics: list[Topic], count: int, as_of: int) -> None:
        """About `count` single meetings over the topics, past and planned."""
        live = [topic for topic in topics if topic.ends > topic.starts]
        coming = [topic for topic in live if topic.is_live(as_of)]
        for i, topic in enumerate(self.rng.choices(live, [t.weight + 0.02 for t in live], k=count)):
            is_coming = i % 9 == 4
            if is_coming:
                topic = self.rng.choice(coming)
                at = self.work.moment(self.rng, topic.team[0].zone, as_of + self.rng.randint(0, 40) * DAY)
                created = min(as_of - self.rng.randint(-2, 20) * DAY, at - DAY)
            else:
                at = self.work.moment(
                    self.rng,
                    topic.team[0].zone,
                    self.rng.randint(topic.starts, max(topic.starts + 1, min(topic.ends, topic.silent_at))),
                )
                created = at - self.rng.randint(2, 15) * DAY
            self._customer_meeting(topic, i, at - at % 1800, created)

    def _customer_meeting(self, topic: Topic, i: int, at: int, created: int) -> None:
        rng = self.rng
        ours = [topic.team[0], *(p for p in topic.team[1:] if rng.random() < 0.5)]
        theirs = [topic.customers[0], *(p for p in topic.customers[1:] if rng.random() < 0.45)]
        is_theirs = i % 5 == 3
        organizer = theirs[0] if is_theirs else ours[0]
        attendees = [p for p in (*theirs, *ours) if p is not organizer]
        is_text = is_theirs and i % 2 == 0
        uid = f"{rng.getrandbits(80):020x}@calendar.{organizer.address.partition('@')[2]}" if is_text else self._uid(created)
        optional = [attendees.pop()] if len(attendees) > 2 and i % 4 == 0 else []
        meeting = Meeting(
            at, rng.choice((30, 30, 45, 60, 60, 90, 120)), organizer, attendees, rng.choice(MEETING_SUBJECTS).format(what=topic.title), uid, created, optional,
            is_private=i % 60 == 17, is_cancelled=i % 18 == 11, has_room=i % 3 == 0, zone=("UTC", "UTC", organizer.zone, _WINDOWS_ZONES[organizer.zone])[i % 4],
        )  # fmt: skip
        is_tracked = i % 5 in (1, 3)
        is_only_in_crm = i % 21 == 16
        if not is_only_in_crm:
            self.write(meeting)
            self._invite(meeting)
        if is_tracked or is_only_in_crm:
            self._appointment(meeting, topic, None if is_only_in_crm else uid, is_theirs=is_theirs)

    def internal(self, count: int, first: int, as_of: int) -> None:
        """About `count` single meetings among colleagues."""
        for i in range(count):
            organizer = self.rng.choice(self.staff.users)
            peers = [p for p in self.staff.users if p is not organizer]
            attendees = self.rng.sample(peers, min(len(peers), self.rng.choice((1, 2, 3, 5))))
            at = self.work.moment(self.rng, organizer.zone, self.rng.randint(first, as_of + 20 * DAY))
            created = min(at - self.rng.randint(1, 8) * DAY, as_of - DAY)
            at -= at % 1800
            meeting = Meeting(
                at,
                self.rng.choice((30, 60, 60)),
                organizer,
                attendees,
                self.rng.choice(INTERNAL_MEETINGS),
                self._uid(created),
                created,
                has_room=i % 2 == 0,
            )
            self.write(meeting)
            self._invite(meeting)

    def own(self, first: int, as_of: int) -> None:
        """Private entries and the all-day entry of each holiday."""
        for i, user in enumerate(self.staff.users):
            for _ in range(3):
                at = self.work.moment(self.rng, user.zone, self.rng.randint(first, as_of + 10 * DAY))
                self.write(
                    Meeting(
                        at - at % 1800,
                        60,
                        user,
                        [],
                        self.rng.choice(PRIVATE_MEETINGS),
                        self._uid(at),
                        min(at, as_of) - DAY,
                        is_private=True,
                    )
                )
            day = self.work.local_day(user.zone, user.away[0])
            starts = self.work.instant(user.zone, day, 0) if i % 2 else day * DAY
            length = max(1, (user.away[1] - user.away[0]) // DAY)
            self.write(
                Meeting(
                    starts,
                    length * 1440,
                    user,
                    [],
                    "Holiday",
                    self._uid(first),
                    starts - 30 * DAY,
                    is_all_day=True,
                    zone=user.zone if i % 2 else "UTC",
                )
            )

    def series(self, topics: list[Topic], count: int, first: int, as_of: int) -> None:
        """A weekly meeting of each business unit, and `count` fortnightly ones with customers."""
        for i, group in enumerate(self.staff.unit_groups):
            if group.members:
                self._series(group.members[0], group.members[1:], "Sales meeting", first, 7, i, None, as_of)
        steady = [t for t in topics if t.kind == "opportunity" and t.pattern in ("steady", "warming") and t.ends > as_of]
        for i, topic in enumerate(self.rng.sample(steady, min(len(steady), count))):
            people = [*topic.team[1:], *topic.customers]
            self._series(topic.team[0], people, f"Jour fixe {topic.title}", topic.starts, 14, i + 1, topic, as_of)

    def _series(
        self,
        organizer: Person,
        attendees: list[Person],
        subject: str,
        first: int,
        every: int,
        number: int,
        topic: Topic | None,
        as_of: int,
    ) -> None:
        zone = organizer.zone
        start_day = self.work.local_day(zone, first) + 1
        start_day += (number + 1 - (start_day + 3) % 7) % 7
        uid = self._uid(first)
        days = [
            day
            for day in range(start_day, (as_of + 56 * DAY) // DAY, every)
            if not self.work.is_quiet(zone, day * DAY + DAY // 2)
        ]
        begin = self.work.instant(zone, start_day, 9 * HOUR + 1800)
        master = Meeting(begin, 45, organizer, attendees, subject, uid, first, zone=zone)
        masters = self.write(master, kind="seriesMaster")
        for i, day in enumerate(days):
            planned = self.work.instant(zone, day, 9 * HOUR + 1800)
            is_moved, is_cancelled = i % 11 == 7, i % 17 == 13
            starts = planned + (1 + i % 3) * HOUR if is_moved else planned
            year, month, date = datetime.fromtimestamp(planned, UTC).timetuple()[:3]
            occurrence_uid = uid[:32] + f"{year:04X}{month:02X}{date:02X}" + uid[40:]
            meeting = Meeting(
                starts, 45, organizer, attendees, subject, occurrence_uid, first, is_cancelled=is_cancelled, zone=zone
            )
            kind = "exception" if is_moved or is_cancelled else "occurrence"
            self.write(meeting, kind=kind, masters=masters, planned=planned)
            if topic is not None and number % 2:
                kind_code = 3 if kind == "exception" else 2
                self._appointment(meeting, topic, occurrence_uid, kind=kind_code, planned=planned)
        if topic is not None and number % 2:
            row = self.tracking.row(
                subject,
                organizer,
                topic,
                first,
                {"statecode": 3, "statuscode": 5, "globalobjectid": uid, "instancetypecode": 1, "deletedexceptionslist": None},
            )
            row |= {"scheduledstart": instant(begin), "scheduledend": instant(begin + 45 * 60), "isalldayevent": False}
            self.folder.crm("recurringappointmentmasters", row, first)
            self.tracking.parties(row, [(ORGANIZER, organizer), *((REQUIRED, p) for p in attendees)], organizer, first)

    def write(
        self,
        meeting: Meeting,
        *,
        kind: str = "singleInstance",
        masters: dict[Person, str] | None = None,
        planned: int | None = None,
    ) -> dict[Person, str]:
        """A copy in the calendar of the organizer and of each attendee with a mailbox; gives the ids by owner."""
        rng = self.rng
        created = max(meeting.created, 0)
        answered = {p: rng.choice(_ANSWERS) for p in (*meeting.attendees, *meeting.optional)}
        meeting.answers = answered
        ids: dict[Person, str] = {}
        for owner in dict.fromkeys((meeting.organizer, *meeting.attendees, *meeting.optional)):
            box = owner.mailbox
            if box is None or (masters is not None and owner not in masters):
                continue
            record = self._event(meeting, owner, kind, masters, planned)
            if box.is_thin and kind == "occurrence":
                record = {key: record[key] for key in ("id", "seriesMasterId", "type", "start", "end")}
            ids[owner] = record["id"]
            self.folder.add(box.events, record, created)
            if self.folder.step(created) == 0:
                self.copies += 1
                if (
                    owner is meeting.organizer
                    and kind == "singleInstance"
                    and meeting.starts > self.folder.as_of + 2 * DAY
                    and meeting.attendees
                ):
                    self.future.append((box.events, record))
        return ids

    def _event(
        self, meeting: Meeting, owner: Person, kind: str, masters: dict[Person, str] | None, planned: int | None
    ) -> Record:
        is_organizer = owner is meeting.organizer
        own = "organizer" if is_organizer else meeting.answers[owner]
        when = instant(meeting.created + 6 * HOUR)
        attendees = []
        for role, people in (("required", meeting.attendees), ("optional", meeting.optional)):
            for person in people:
                knows = (is_organizer and self.rng.random() < 0.92) or person is owner
                answer = meeting.answers[person] if knows else "none"
                attendees.append(
                    {
                        "type": role,
                        "status": {"response": answer, "time": _NEVER if answer in ("none", "notResponded") else when},
                        **recipient(person),
                    }
                )
        if meeting.has_room:
            attendees.append(
                {
                    "type": "resource",
                    "status": {"response": "accepted", "time": when},
                    "emailAddress": {"name": "Room Elbe", "address": f"room-elbe@{DOMAIN}"},
                }
            )
        return {
            "id": graph_id(self.rng, "AAMk"), "createdDateTime": instant(meeting.created), "lastModifiedDateTime": instant(meeting.created + 7 * HOUR), "iCalUId": meeting.uid,
            "subject": meeting.subject, "bodyPreview": "Agenda as discussed.", "isAllDay": meeting.is_all_day, "isCancelled": meeting.is_cancelled, "isOrganizer": is_organizer, "isDraft": False,
            "sensitivity": "private" if meeting.is_private else "normal", "showAs": "oof" if meeting.is_all_day else "busy", "type": kind,
            "seriesMasterId": masters[owner] if masters else None, "originalStart": None if planned is None else instant(planned),
            "responseStatus": {"response": own, "time": when if own in ("accepted", "declined", "tentativelyAccepted") else _NEVER},
            "start": _zoned(meeting.starts, meeting.zone), "end": _zoned(meeting.ends, meeting.zone),
            "location": {"displayName": "Room Elbe" if meeting.has_room else ""}, "onlineMeeting": {"joinUrl": "https://meet.example/j/1234"},
            "organizer": recipient(meeting.organizer), "attendees": attendees,
        }  # fmt: skip

    def _invite(self, meeting: Meeting) -> None:
        """The invitation as mail to everybody, and the answers of those who sent one."""
        people = [*meeting.attendees, *meeting.optional]
        if not people:
            return
        conversation = self.post.conversation()
        invitation = Email(
            meeting.created,
            meeting.organizer,
            people,
            meeting.subject,
            conversation,
            self.post.message_id(meeting.organizer),
            kind=REQUEST,
        )
        self.post.send(invitation)
        words = {"accepted": "Accepted: ", "declined": "Declined: ", "tentativelyAccepted": "Tentative: "}
        for person in people:
            word = words.get(meeting.answers.get(person, "none"))
            if word and self.rng.random() < 0.6:
                at = meeting.created + self.rng.randint(300, 6 * HOUR)
                self.post.send(
                    Email(
                        at,
                        person,
                        [meeting.organizer],
                        word + meeting.subject,
                        conversation,
                        self.post.message_id(person),
                        parents=[invitation.message_id],
                        kind=RESPONSE,
                    )
                )

    def _appointment(
        self,
        meeting: Meeting,
        topic: Topic,
        uid: str | None,
        *,
        is_theirs: bool = False,
        kind: int = 0,
        planned: int | None = None,
    ) -> None:
        """The Dataverse copy of a meeting."""
        is_past = meeting.ends < self.folder.as_of
        state = (
            (2, 4)
            if meeting.is_cancelled
            else (1, 3)
            if is_past and self.rng.random() < 0.5
            else (3, 5)
            if self.rng.random() < 0.8
            else (0, 1)
        )
        keys: dict[str, Any] = {
            "statecode": state[0], "statuscode": state[1], "scheduledstart": instant(meeting.starts), "scheduledend": instant(meeting.ends), "scheduleddurationminutes": meeting.minutes,
            "actualstart": None, "actualend": None, "actualdurationminutes": None, "isalldayevent": meeting.is_all_day, "instancetypecode": kind,
            "globalobjectid": _hex_uid(uid), "originalstartdate": None if planned is None else instant(planned), "isdraft": False, "ismapiprivate": meeting.is_private, "location": "Room Elbe",
        }  # fmt: skip
        owner = topic.team[0]
        row = self.tracking.row(meeting.subject, owner, topic, meeting.created, keys)
        if kind:
            row |= lookup("regardingobjectid", *(topic.regarding or (None, None)))
        self.folder.crm("appointments", row, meeting.created)
        people = [
            (ORGANIZER, meeting.organizer),
            *((REQUIRED, p) for p in meeting.attendees),
            *((OPTIONAL, p) for p in meeting.optional),
        ]
        self.tracking.parties(row, people, owner, meeting.created)

    def _uid(self, created: int) -> str:
        return f"{_UID_HEAD}00000000{created * 10_000_000 + 116_444_736_000_000_000:016X}000000000000000010000000{self.rng.getrandbits(128):032X}"


def _zoned(at: int, zone: str) -> Record:
    """Graph's date, time and zone name; Windows names are those of the three zones."""
    iana = next((name for name, windows in _WINDOWS_ZONES.items() if windows == zone), zone)
    local = datetime.fromtimestamp(at, UTC if iana == "UTC" else ZoneInfo(iana))
    return {"dateTime": local.strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": zone}


def _hex_uid(uid: str | None) -> str | None:
    """A global object id as Dataverse keeps it: hex; a UID that is text is wrapped as Outlook does it."""
    if uid is None or uid.startswith(_UID_HEAD):
        return uid
    data = b"vCal-Uid\x01\x00\x00\x00" + uid.encode() + b"\x00"
    return f"{_UID_HEAD}{'00000000'}{'00' * 8}{'00' * 8}{len(data).to_bytes(4, 'little').hex()}{data.hex()}".upper()
