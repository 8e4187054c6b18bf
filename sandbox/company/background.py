"""The rest of a mailbox: internal mail, newsletters, notices, lists, strangers, junk and drafts."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sandbox.company.customers import Account
from sandbox.company.mail import Email, Post
from sandbox.company.names import COLD_SUBJECTS, FIRST_NAMES, INTERNAL_SUBJECTS, JUNK_SUBJECTS, LAST_NAMES, NEWSLETTERS, NOTIFIERS
from sandbox.company.people import DOMAIN, Person, dotted, slug
from sandbox.company.staff import Staff
from sandbox.company.working_time import DAY, HOUR, ZONES, WorkingTime

SHARES = {"internal": 0.57, "newsletters": 0.19, "notices": 0.09, "lists": 0.06, "strangers": 0.04, "junk": 0.04, "drafts": 0.01}
"""Share of each kind in the copies that this module writes."""


@dataclass(slots=True, eq=False)
class Background:
    """Writes mail that no record stands behind, until a number of mailbox copies is reached."""

    rng: Random
    work: WorkingTime
    post: Post
    staff: Staff
    accounts: list[Account]
    first: int
    last: int

    def write(self, copies: int) -> None:
        """About `copies` mailbox copies, in the shares of `SHARES`."""
        writers: dict[str, Callable[[], None]] = {
            "internal": self._internal, "newsletters": self._newsletter, "notices": self._notice, "lists": self._list,
            "strangers": self._stranger, "junk": self._junk, "drafts": self._draft,
        }  # fmt: skip
        for kind, share in SHARES.items():
            until = self.post.copies + max(1, round(copies * share))
            while self.post.copies < until:
                writers[kind]()

    def _at(self, zone: str) -> int:
        return self.work.moment(self.rng, zone, self.rng.randint(self.first, self.last))

    def _talkative(self) -> list[Account]:
        return [account for account in self.accounts if account.contacts and account.silent_at > self.last]

    def _internal(self) -> None:
        rng, post = self.rng, self.post
        sender = rng.choice(self.staff.users)
        subject, conversation, parents = rng.choice(INTERNAL_SUBJECTS), post.conversation(), []
        at = self._at(sender.zone)
        chance = rng.random()
        if chance < 0.01:
            post.send(Email(at, sender, [self.staff.everybody], subject, conversation, post.message_id(sender)))
            return
        if chance < 0.06:
            post.send(Email(at, sender, [self.staff.unit_groups[sender.unit]], subject, conversation, post.message_id(sender)))
            return
        peers = [p for p in self.staff.users if p is not sender]
        readers = rng.sample(peers, min(len(peers), rng.choice((1, 1, 1, 2, 3, 5))))
        people = [sender, *readers]
        for number in range(rng.choice((1, 1, 2, 2, 3, 4))):
            others = [p for p in people if p is not sender]
            email = Email(
                at,
                sender,
                others[:1],
                ("Re: " if number else "") + subject,
                conversation,
                post.message_id(sender),
                others[1:],
                parents=list(parents),
            )
            post.send(email)
            parents.append(email.message_id)
            sender = rng.choice(others)
            at = self.work.after(rng, sender.zone, at + int(rng.lognormvariate(0, 1) * 2 * HOUR) + 60)

    def _newsletter(self) -> None:
        rng = self.rng
        name, address = rng.choice(NEWSLETTERS)
        sender = Person(name, address, ZONES[0])
        host = address.partition("@")[2]
        headers = [("List-Unsubscribe", f"<mailto:leave@{host}>")]
        if rng.random() < 0.5:
            headers += [("List-Id", f"<letter.{host}>"), ("Precedence", "bulk")]
        if rng.random() < 0.3:
            headers.append(("Feedback-ID", f"{rng.randint(1, 999)}:letter"))
        at, number = self._at(ZONES[0]), rng.randint(1, 200)
        readers = [u for u in self.staff.users if rng.random() < 0.2] or [self.staff.users[0]]
        for reader in readers:
            self.post.send(
                Email(
                    at,
                    sender,
                    [reader],
                    f"{name} no. {number}",
                    self.post.conversation(),
                    self.post.message_id(sender),
                    headers=headers,
                    is_bulk=True,
                )
            )

    def _notice(self) -> None:
        rng = self.rng
        name, address = rng.choice(NOTIFIERS)
        sender, reader = Person(name, address, ZONES[0]), rng.choice(self.staff.users)
        headers = [("Auto-Submitted", "auto-generated")] if rng.random() < 0.6 else []
        self.post.send(
            Email(
                self._at(reader.zone),
                sender,
                [reader],
                f"{name}: item {rng.randint(1000, 9999)}",
                self.post.conversation(),
                self.post.message_id(sender),
                headers=headers,
            )
        )

    def _list(self) -> None:
        """Mail through a list of a customer or of a trade body that puts its own address into From."""
        rng = self.rng
        account = rng.choice(self._talkative())
        author = rng.choice(account.contacts)
        is_project = rng.random() < 0.5
        host = f"lists.{account.domain}" if is_project else "lists.trade-body.example"
        name = "project" if is_project else "forum"
        rewritten = Person(f"{author.name} via {name.title()}", f"{name}@{host}", author.zone)
        headers = [("List-Post", f"<mailto:{name}@{host}>"), ("Precedence", "normal")]
        if not is_project:
            headers.append(("List-Id", f"<{name}.{host}>"))
        readers = rng.sample(self.staff.users, min(len(self.staff.users), rng.choice((1, 2, 4))))
        at = self._at(author.zone)
        group = Person(name.title(), f"{name}@{host}", author.zone, members=readers)
        self.post.send(
            Email(
                at,
                rewritten,
                [group],
                f"[{name}] Draft agenda",
                self.post.conversation(),
                self.post.message_id(group),
                headers=headers,
                reply_to=[author],
            )
        )

    def _stranger(self) -> None:
        rng = self.rng
        account = rng.choice(self._talkative())
        if rng.random() < 0.3:
            sender, subject = account.strangers[0], "Delivery note"
        else:
            name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
            sender, subject = (
                Person(name, f"{dotted(name)}@{slug(rng.choice(LAST_NAMES))}-services.example", rng.choice(ZONES)),
                rng.choice(COLD_SUBJECTS),
            )
        to = rng.choice([*self.staff.users, self.staff.shared])
        self.post.send(
            Email(self._at(sender.zone), sender, [to], subject, self.post.conversation(), self.post.message_id(sender))
        )

    def _junk(self) -> None:
        rng = self.rng
        sender = Person(
            rng.choice(LAST_NAMES), f"{slug(rng.choice(FIRST_NAMES))}@{rng.randint(100, 999)}-offers.example", ZONES[0]
        )
        reader = rng.choice(self.staff.users)
        self.post.send(
            Email(
                rng.randint(self.first, self.last),
                sender,
                [reader],
                rng.choice(JUNK_SUBJECTS),
                self.post.conversation(),
                self.post.message_id(sender),
                is_junk=True,
            )
        )

    def _draft(self) -> None:
        rng = self.rng
        writer, account = rng.choice(self.staff.users), rng.choice(self.accounts)
        to = account.contacts[:1] or [Person("Somebody", f"somebody@{DOMAIN}", writer.zone)]
        self.post.draft(writer, to, "Not sent", min(self._at(writer.zone), self.last - DAY))
