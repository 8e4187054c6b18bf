"""Mail that every company has, however small: the rarer habits of real mail, whatever the other numbers are."""

from sandbox.company.mail import Email, Post
from sandbox.company.people import Person, Topic
from sandbox.company.staff import Staff
from sandbox.company.tracking import Tracking
from sandbox.company.working_time import DAY, HOUR

_STATES = ((0, 1), (2, 5), (1, 6), (0, 8))
"""Draft, canceled, pending send, failed: emails of Dataverse that never count."""
_ANSWERS = ((("Auto-Submitted", "auto-replied"),), (("X-Autoreply", "yes"), ("Precedence", "auto_reply")))


def write_special_mail(post: Post, tracking: Tracking, staff: Staff, topics: list[Topic], as_of: int) -> None:
    """Mail written in the CRM (with and without a copy in Exchange), emails in states that never count, automatic answers, a bounce, a delegate."""
    live = [topic for topic in topics if topic.kind == "opportunity" and topic.ends > as_of and as_of - topic.starts > 20 * DAY]
    for i in range(max(8, len(live) // 2)):
        topic = live[i % len(live)]
        ours, theirs = topic.team[0], topic.customers[0]
        at = min(topic.silent_at - 6 * DAY, as_of - 9 * DAY) - i * HOUR
        email = Email(at, ours, [theirs], f"Data sheet no. {i + 1}", post.conversation(), post.message_id(ours))
        if i < len(_STATES):
            tracking.email(email, topic, state=_STATES[i])
            continue
        tracking.email(email, topic, is_untracked=True)
        if i % 2:
            email.sent += 7
            email.delegate = next(user for user in staff.users if user is not ours) if i == 5 else None
            post.send(email)
            _answer(post, email, theirs, _ANSWERS[i // 2 % 2])
    _bounce(post, live[0], as_of)


def _answer(post: Post, email: Email, theirs: Person, headers: tuple[tuple[str, str], ...]) -> None:
    post.send(
        Email(
            email.sent + 33, theirs, [email.sender], "Automatic reply: " + email.subject, email.conversation, post.message_id(theirs),
            parents=[email.message_id], headers=headers,
        )
    )  # fmt: skip


def _bounce(post: Post, topic: Topic, as_of: int) -> None:
    ours, host = topic.team[0], topic.customers[0].address.partition("@")[2]
    wrong, server = (
        Person("Old Address", f"old.address@{host}", ours.zone),
        Person("Mail Delivery Subsystem", f"mailer-daemon@{host}", ours.zone),
    )
    email = Email(min(topic.silent_at, as_of) - 8 * DAY, ours, [wrong], "Data sheet", post.conversation(), post.message_id(ours))
    post.send(email)
    headers = (("Return-Path", "<>"), ("Auto-Submitted", "auto-replied"))
    post.send(
        Email(
            email.sent + 20, server, [ours], "Undelivered Mail Returned to Sender", email.conversation, post.message_id(server),
            parents=[email.message_id], headers=headers,
        )
    )  # fmt: skip
