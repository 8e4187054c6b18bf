"""Conversations with customers: who writes, who answers when, and how a deal's course shows in them."""

from dataclasses import dataclass
from random import Random

from sandbox.company.folder import TenantFolder
from sandbox.company.mail import Email, Post
from sandbox.company.names import ACCOUNT_SUBJECTS, DEAL_SUBJECTS
from sandbox.company.people import Person, Topic
from sandbox.company.staff import Staff
from sandbox.company.tracking import Tracking
from sandbox.company.working_time import DAY, HOUR, WorkingTime

COPIES_PER_THREAD = 6.2
"""Mailbox copies that one customer thread gives on average; sets how many threads fill a share of mail."""


@dataclass(slots=True, eq=False)
class Threads:
    """Writes customer threads for topics."""

    folder: TenantFolder
    rng: Random
    work: WorkingTime
    post: Post
    tracking: Tracking
    staff: Staff

    def write(self, topics: list[Topic], copies: int, as_of: int) -> None:
        """Threads for all topics, about `copies` mailbox copies in all, spread by the topics' weights."""
        total = sum(topic.weight for topic in topics)
        threads = copies / COPIES_PER_THREAD
        for topic in topics:
            if topic.ends <= topic.starts:
                continue
            expected = threads * topic.weight / total
            count = int(expected) + (self.rng.random() < expected % 1)
            if topic.kind != "account" or topic.pattern != "steady":
                count = max(count, 3 if topic.pattern in ("quiet", "ghosted", "warming") else 1)
            for _ in range(count):
                self.thread(topic, self.start(topic))
            if topic.pattern == "ghosted" and topic.silent_at < as_of:
                self._unanswered(topic, as_of)

    def start(self, topic: Topic) -> int:
        """A moment in the topic's life, by its pattern: warming ones late, cooling ones early."""
        ends = min(topic.ends, topic.silent_at)
        share = self.rng.random()
        if topic.pattern == "warming":
            share = 1 - share**2.2
        elif topic.pattern == "cooling":
            share = share**1.6
        at = topic.starts + int(share * (ends - topic.starts))
        return min(self.work.moment(self.rng, topic.team[0].zone, at), ends)

    def thread(self, topic: Topic, at: int) -> None:
        """One conversation of a few emails."""
        rng = self.rng
        ours = topic.team[0] if rng.random() < 0.75 else rng.choice(topic.team)
        theirs = topic.customers[0] if rng.random() < 0.5 else rng.choice(topic.customers)
        others_ours = [p for p in topic.team if p is not ours and rng.random() < 0.4]
        others_theirs = [p for p in topic.customers if p is not theirs and rng.random() < 0.3]
        if rng.random() < 0.06:
            others_ours.append(self.staff.shared)
        subject = rng.choice(ACCOUNT_SUBJECTS) if topic.kind == "account" else rng.choice(DEAL_SUBJECTS).format(what=topic.title)
        reply = "AW: " if ours.zone == "Europe/Berlin" and rng.random() < 0.5 else "Re: "
        conversation = self.post.conversation()
        is_tracked = rng.random() < 0.3
        parents: list[str] = []
        is_ours = rng.random() < 0.6
        for number in range(self._length(topic)):
            sender, receiver = (ours, theirs) if is_ours else (theirs, ours)
            copied = [*others_ours, *others_theirs]
            hidden = [p for p in rng.choices(self.staff.users) if p is not ours] if rng.random() < 0.02 else []
            delegate = None
            if is_ours and number == 0 and rng.random() < 0.01:
                delegate = rng.choice(self.staff.users)
            email = Email(
                at, sender, [receiver], (reply if number else "") + subject, conversation, self.post.message_id(sender), copied,
                hidden, list(parents), delegate=delegate if delegate is not ours else None,
            )  # fmt: skip
            self.post.send(email)
            if is_tracked:
                self.tracking.email(email, topic)
            if is_ours:
                self._answer_machine(email, theirs)
            parents.append(email.message_id)
            is_ours = not is_ours if rng.random() < 0.88 else is_ours
            answerer = ours if is_ours else theirs
            gap = rng.lognormvariate(0, 1.1) * (2.5 * ours.pace if is_ours else 7 * theirs.pace / topic.warmth) * HOUR
            if answerer.is_away(at):
                gap += answerer.away[1] - at
            if rng.random() < 0.003:
                gap = -rng.randint(20, 90)
            at = self.work.after(rng, answerer.zone, at + int(gap) + 60) if gap > 0 else at + int(gap)
            if at >= min(topic.ends + 5 * DAY, topic.silent_at if not is_ours else topic.ends + 5 * DAY):
                break

    def _length(self, topic: Topic) -> int:
        stop = 0.38 if topic.pattern in ("quiet", "ghosted", "cooling") else 0.26
        length = 1
        while length < 14 and self.rng.random() > stop:
            length += 1
        return length

    def _unanswered(self, topic: Topic, as_of: int) -> None:
        """Mail of ours that the customer leaves without an answer."""
        rng, ours, theirs = self.rng, topic.team[0], topic.customers[0]
        conversation, parents = self.post.conversation(), []
        subject = rng.choice(DEAL_SUBJECTS).format(what=topic.title)
        at = max(topic.silent_at + 3600, as_of - rng.randint(20, 30) * DAY)
        for number in range(rng.randint(2, 5)):
            at = self.work.moment(rng, ours.zone, at)
            email = Email(
                at,
                ours,
                [theirs],
                ("Re: " if number else "") + subject,
                conversation,
                self.post.message_id(ours),
                (),
                (),
                list(parents),
            )
            self.post.send(email)
            parents.append(email.message_id)
            at += rng.randint(2, 5) * DAY
            if at >= as_of:
                break

    def _answer_machine(self, email: Email, theirs: Person) -> None:
        """The customer's holiday notice, or a bounce from their server."""
        rng = self.rng
        if theirs.is_away(email.sent) and rng.random() < 0.8:
            headers = (
                [("Auto-Submitted", "auto-replied")]
                if rng.random() < 0.7
                else [("X-Autoreply", "yes"), ("Precedence", "auto_reply")]
            )
            answer = Email(
                email.sent + rng.randint(2, 40), theirs, [email.sender], "Automatic reply: " + email.subject, email.conversation, self.post.message_id(theirs),
                parents=[email.message_id], headers=headers,
            )  # fmt: skip
            self.post.send(answer)
        elif rng.random() < 0.004:
            host = theirs.address.partition("@")[2]
            server = Person("Mail Delivery Subsystem", f"mailer-daemon@{host}", theirs.zone)
            bounce = Email(
                email.sent + rng.randint(5, 600), server, [email.sender], "Undelivered Mail Returned to Sender", email.conversation, self.post.message_id(server),
                parents=[email.message_id], headers=[("Return-Path", "<>"), ("Auto-Submitted", "auto-replied")],
            )  # fmt: skip
            self.post.send(bounce)
