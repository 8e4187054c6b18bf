"""The generator: builds the company part by part, each with random numbers of its own, and writes the tenant folder."""

from datetime import UTC, datetime
from pathlib import Path
from random import Random

from sandbox.company.background import Background
from sandbox.company.changes import STEPS, write_changes
from sandbox.company.customers import Account, build_customers
from sandbox.company.deals import build_deals
from sandbox.company.folder import TenantFolder
from sandbox.company.mail import Post
from sandbox.company.meetings import Meetings
from sandbox.company.people import DOMAIN, SECOND_DOMAIN, Topic
from sandbox.company.special import write_special_mail
from sandbox.company.staff import build_staff
from sandbox.company.threads import Threads
from sandbox.company.tracking import Tracking
from sandbox.company.working_time import DAY, WorkingTime

NAME = "nordwerk"
AS_OF = datetime(2026, 7, 6, tzinfo=UTC)
MONTHS = 15
CUSTOMER_SHARE = 0.56
"""Share of the mail copies, invitations apart, that customer threads take."""
_SMALLEST = {"users": 6, "accounts": 8, "contacts": 24, "leads": 6, "opportunities": 16, "copies": 1_500}
_PER_COPY = {"meetings": 0.017, "internal_meetings": 0.005, "series": 0.00016, "calls": 0.022, "tasks": 0.018}


def generate(
    folder: Path, *, seed: int = 7, users: int = 40, accounts: int = 150, contacts: int = 600, leads: int = 60, opportunities: int = 300,
    copies: int = 60_000, scale: float = 1.0,
) -> dict[str, int]:  # fmt: skip
    """Write a fictitious company as a tenant folder and give the number of records of each kind in its base state.

    `copies` is the number of mail and calendar items in all mailboxes together (reached within a few per cent); `scale` multiplies
    every count, down to a smallest company that still has one of everything. The same arguments give the same files, byte for byte.
    Three steps of `changes/` follow, a day each. Raises `FileExistsError` when `folder` holds something else.
    """
    wanted = {
        "users": users,
        "accounts": accounts,
        "contacts": contacts,
        "leads": leads,
        "opportunities": opportunities,
        "copies": copies,
    }
    counts = {name: max(_SMALLEST[name], round(number * scale)) for name, number in wanted.items()}
    counts["contacts"] = max(counts["contacts"], counts["accounts"])

    def rng(part: str) -> Random:
        return Random(f"{seed}/{part}")

    as_of = int(AS_OF.timestamp())
    first = as_of - round(MONTHS * 30.44) * DAY
    founded = as_of - 1_400 * DAY
    tenant = TenantFolder(as_of, STEPS)
    work = WorkingTime(first - 100 * DAY, as_of + 120 * DAY)
    staff = build_staff(tenant, rng("staff"), counts["users"], founded, first, as_of)
    customers = build_customers(tenant, rng("customers"), staff, counts, founded, first, as_of)
    topics = [
        *build_deals(tenant, rng("deals"), staff, customers, counts["opportunities"], first, as_of),
        *customers.leads,
        *_account_topics(rng("accounts"), customers.accounts, first, as_of),
    ]
    post = Post(tenant, rng("post"))
    tracking = Tracking(tenant, rng("tracking"), work, staff)
    meetings = Meetings(tenant, rng("meetings"), work, post, tracking, staff)
    size = {name: max(20 if name != "series" else 2, round(counts["copies"] * share)) for name, share in _PER_COPY.items()}
    meetings.series(topics, size["series"], first, as_of)
    meetings.with_customers(topics, size["meetings"], as_of)
    meetings.internal(size["internal_meetings"], first, as_of)
    meetings.own(first, as_of)
    tracking.calls_and_tasks(topics, size["calls"], size["tasks"], as_of)

    threads = Threads(tenant, rng("threads"), work, post, tracking, staff)
    write_special_mail(post, tracking, staff, topics, as_of)
    mail = max(200, counts["copies"] - meetings.copies - post.copies)
    before = post.copies
    threads.write(topics, round(mail * CUSTOMER_SHARE), as_of)
    background = Background(rng("background"), work, post, staff, customers.accounts, first, as_of + STEPS * DAY)
    background.write(max(100, mail - (post.copies - before)))
    write_changes(tenant, rng("changes"), post, meetings, tracking, staff, as_of)

    tenant.write(
        folder,
        {
            "name": NAME,
            "as_of": AS_OF.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "internal_domains": [SECOND_DOMAIN, DOMAIN],
            "time_zone": "Europe/Berlin",
        },
    )
    return _counts(tenant)


def _account_topics(rng: Random, accounts: list[Account], first: int, as_of: int) -> list[Topic]:
    """What is written beside deals: service, invoices, small talk. Some accounts get much, those that fell silent nothing since."""
    topics = []
    for i, account in enumerate(accounts):
        people = account.contacts or account.strangers
        pattern = "quiet" if account.mood in ("quiet", "ghosted") else "steady"
        contact = people[0].party
        regarding = ("account", account.account_id) if i % 2 or contact is None else contact
        topics.append(
            Topic(
                "account",
                account.account_id,
                "flow sensors",
                [account.owner],
                people,
                first,
                as_of + 3 * DAY,
                pattern,
                rng.choice((0.6, 2.0, 5.0)),
                account.silent_at,
                regarding,
            )
        )
    return topics


def _counts(tenant: TenantFolder) -> dict[str, int]:
    entity_sets = (
        "systemusers", "accounts", "contacts", "leads", "opportunities", "connections", "emails", "appointments", "phonecalls", "tasks", "activityparties",
    )  # fmt: skip
    counts = {name: tenant.count(f"dataverse/{name}.jsonl") for name in entity_sets}
    return counts | {"messages": tenant.count("messages.jsonl.gz"), "events": tenant.count("events.jsonl")}
