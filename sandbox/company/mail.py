"""Mail as Exchange holds it: one email, and its copies in every mailbox of ours that sent or received it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from sandbox.company.folder import Record, TenantFolder, instant
from sandbox.company.names import PREVIEWS
from sandbox.company.people import DOMAIN, Mailbox, Person, graph_id, recipient
from sandbox.company.working_time import DAY

REQUEST = "#microsoft.graph.eventMessageRequest"
RESPONSE = "#microsoft.graph.eventMessageResponse"


@dataclass(slots=True, eq=False)
class Email:
    """One email; `parents` are the message ids of the thread so far, oldest first, `conversation` names the thread."""

    sent: int
    sender: Person
    to: Sequence[Person]
    subject: str
    conversation: int
    message_id: str
    cc: Sequence[Person] = ()
    bcc: Sequence[Person] = ()
    parents: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()
    kind: str | None = None
    delegate: Person | None = None
    reply_to: Sequence[Person] = ()
    is_junk: bool = False
    is_bulk: bool = False

    @property
    def people(self) -> list[Person]:
        return [self.sender, *self.to, *self.cc]


@dataclass(slots=True, eq=False)
class Post:
    """Delivers emails into the mailboxes of the tenant folder and counts the copies of the base state."""

    folder: TenantFolder
    rng: Random
    copies: int = 0
    last_conversation: int = 0
    sent: list[tuple[Email, Mailbox, str]] = field(default_factory=list)
    """Copies that lie in an inbox, with their mailbox and id, for later changes."""

    def conversation(self) -> int:
        """A new thread."""
        self.last_conversation += 1
        return self.last_conversation

    def message_id(self, sender: Person) -> str:
        """An internet message id of the sender's domain."""
        host = sender.address.rpartition("@")[2] or DOMAIN
        return f"<{base64.b32encode(self.rng.randbytes(15)).decode()}@mail.{host}>"

    def send(self, email: Email) -> None:
        """Deliver a copy to the sender's mailbox and to each mailbox that a recipient, or a member of a group, has."""
        if self.folder.step(email.sent) is None:
            return
        sender = email.delegate or email.sender
        if sender.mailbox:
            self._copy(email, sender, "sentitems", is_sent=True)
        receivers: dict[Person, None] = {}
        for person in (*email.to, *email.cc, *email.bcc):
            for reader in person.members or (person,):
                if reader.mailbox is not None and reader is not sender:
                    receivers[reader] = None
        for reader in receivers:
            self._copy(email, reader, self._place(email), is_sent=False)
            if self.rng.random() < 0.004:
                self._copy(email, reader, "projects", is_sent=False)

    def draft(self, owner: Person, to: Sequence[Person], subject: str, at: int) -> None:
        """A draft that was never sent."""
        self._copy(Email(at, owner, to, subject, self.conversation(), self.message_id(owner)), owner, "drafts", is_sent=True)

    def record(self, email: Email, owner: Person, folder_name: str, *, is_sent: bool) -> Record:
        """A copy as Graph gives it, with its headers (received mail) or extended properties (sent mail)."""
        rng, box = self.rng, owner.mailbox
        assert box is not None
        conversation = box.conversations.get(email.conversation)
        if conversation is None or (email.parents and rng.random() < 0.02):
            conversation = box.conversations[email.conversation] = graph_id(rng, "AAQk")
        sent = instant(email.sent)
        arrived = sent if is_sent else instant(email.sent + int(rng.expovariate(0.1)))
        sender = email.sender
        spelled = recipient(sender)
        if not is_sent and sender.mailbox and rng.random() < 0.015:
            spelled = {
                "emailAddress": {
                    "name": sender.name,
                    "address": f"/O=NORDWERK/OU=EXCHANGE ADMINISTRATIVE GROUP/CN=RECIPIENTS/CN={sender.address.split('@')[0].upper()}",
                }
            }
        record: Record = {
            "id": graph_id(rng, "AAMk"), "createdDateTime": arrived, "lastModifiedDateTime": arrived, "receivedDateTime": arrived, "sentDateTime": sent,
            "hasAttachments": rng.random() < 0.15, "internetMessageId": email.message_id, "subject": email.subject, "bodyPreview": rng.choice(PREVIEWS),
            "parentFolderId": box.folders[folder_name], "conversationId": conversation, "isRead": rng.random() < 0.9, "isDraft": folder_name == "drafts",
            "from": spelled, "sender": recipient(email.delegate) if email.delegate else spelled,
            "toRecipients": [recipient(p) for p in email.to], "ccRecipients": [recipient(p) for p in email.cc],
            "bccRecipients": [recipient(p) for p in email.bcc] if is_sent else [], "replyTo": [recipient(p) for p in email.reply_to],
        }  # fmt: skip
        if email.kind:
            record["@odata.type"] = email.kind
        if not is_sent:
            record["internetMessageHeaders"] = self._headers(email)
        elif email.parents:
            chance = rng.random()
            if chance < 0.65:
                record["singleValueExtendedProperties"] = [
                    {"id": "String 0x1042", "value": email.parents[-1]},
                    {"id": "String 0x1039", "value": " ".join(email.parents)},
                ]
            elif chance < 0.80:
                record["internetMessageHeaders"] = self._headers(email)
        return record

    def _copy(self, email: Email, owner: Person, folder_name: str, *, is_sent: bool) -> None:
        record = self.record(email, owner, folder_name, is_sent=is_sent)
        box = owner.mailbox
        assert box is not None
        at = email.sent
        if not is_sent and self.rng.random() < 0.001:
            at += self.rng.randint(1, 3) * DAY
        step = self.folder.step(at)
        if step is None:
            return
        self.folder.add(box.messages, record, at)
        if step == 0:
            self.copies += 1
            if folder_name == "inbox" and not is_sent:
                self.sent.append((email, box, record["id"]))
        if folder_name == "inbox" and self.rng.random() < 0.003 and step == 0 and self.folder.step(at + DAY) == 0:
            moved = {"id": record["id"], "parentFolderId": box.folders["archive"], "lastModifiedDateTime": instant(at + DAY)}
            self.folder.add(box.messages, moved, at + DAY)

    def _place(self, email: Email) -> str:
        chance = self.rng.random()
        if email.is_junk:
            return "junkemail" if chance < 0.9 else "inbox"
        if email.is_bulk:
            return "newsletters" if chance < 0.4 else "deleteditems" if chance < 0.6 else "inbox"
        if email.sender.party and email.sender.party[0] == "contact" and chance < 0.25:
            return "customers" if chance < 0.18 else "projects"
        return "inbox" if chance < 0.82 else "archive" if chance < 0.94 else "deleteditems"

    def _headers(self, email: Email) -> list[Record]:
        headers = [("Message-ID", email.message_id), ("Subject", email.subject), ("MIME-Version", "1.0")]
        if email.parents:
            headers += [("In-Reply-To", email.parents[-1]), ("References", " ".join(email.parents))]
        headers += email.headers
        return [{"name": name, "value": value} for name, value in headers]
