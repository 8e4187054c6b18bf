"""Opportunities with their outcomes, connections and closes. Industry and size of a deal move its chance; other attributes are noise."""

import math
from dataclasses import dataclass
from random import Random

from sandbox.company.customers import CURRENCIES, Account, Customers
from sandbox.company.folder import Record, TenantFolder, day, instant, lookup
from sandbox.company.names import PRODUCTS, SALES_ROLES, STAKEHOLDER_ROLES
from sandbox.company.people import Person, Topic, guid
from sandbox.company.staff import Staff
from sandbox.company.working_time import DAY, HOUR

FAVOURED_INDUSTRIES = (12, 17, 31)
SMALL, LARGE = 20_000, 80_000
STAGES = ("1-Qualify", "2-Develop", "3-Propose", "4-Close")


@dataclass(slots=True, eq=False)
class _Deal:
    opportunity_id: str
    account: Account
    owner: Person
    value: float
    state: int
    closed: int | None
    created: int
    pattern: str


def build_deals(
    folder: TenantFolder, rng: Random, staff: Staff, customers: Customers, count: int, first: int, as_of: int
) -> list[Topic]:
    """Write opportunities, opportunity closes, connections and their roles; give one topic an opportunity."""
    roles = _roles(folder, rng, first)
    qualified = [topic for topic in customers.leads if topic.pattern == "cooling"]
    topics = []
    for i, deal in enumerate(_deals(rng, customers, count, as_of)):
        contacts = rng.sample(deal.account.contacts, min(len(deal.account.contacts), rng.choice((1, 2, 2, 3, 4))))
        lead = qualified[i // 3 % len(qualified)].record_id if i % 3 == 0 and qualified else None
        _write_deal(folder, rng, staff, customers, deal, i, contacts, lead, as_of)
        team = _connect(folder, rng, staff, deal, i, contacts, roles, as_of)
        topics.append(_topic(rng, deal, team, contacts, i, first, as_of))
    return topics


def _deals(rng: Random, customers: Customers, count: int, as_of: int) -> list[_Deal]:
    won_count = lost_count = max(2, round(count * 0.27))
    drafts = []
    for i in range(count):
        account = customers.accounts[i % len(customers.accounts)] if i % 2 else rng.choice(customers.accounts)
        owner = account.owner
        value = round(math.exp(rng.gauss(math.log(40_000), 1.0)), -2) + 100
        chance = (1.3 if account.industry in FAVOURED_INDUSTRIES else -1.1) + (
            1.2 if SMALL <= value < LARGE else -1.0 if value >= LARGE else -0.2
        )
        drafts.append((account, owner, value, chance + rng.gauss(0, 1.5)))
    closing = sorted(range(won_count + lost_count), key=lambda i: -drafts[i][3])
    won = set(closing[:won_count])
    deals = []
    for i, (account, owner, value, _) in enumerate(drafts):
        if i < won_count + lost_count:
            age = (
                rng.randint(1_100, 1_300)
                if i % 50 == 6
                else rng.randint(3, 360)
                if rng.random() < 0.65
                else rng.randint(361, 1_060)
            )
            closed = as_of - age * DAY + rng.randint(8, 16) * HOUR
            deals.append(
                _Deal(
                    guid(rng),
                    account,
                    owner,
                    value,
                    1 if i in won else 2,
                    closed,
                    closed - rng.randint(30, 240) * DAY,
                    "warming" if i in won else "cooling",
                )
            )
        else:
            pattern = account.mood
            age = rng.uniform(2, 20) if pattern == "new" else rng.uniform(120 if pattern in ("quiet", "ghosted") else 60, 330)
            deals.append(
                _Deal(guid(rng), account, owner, value, 0, None, as_of - int(age * DAY) + rng.randint(7, 15) * HOUR, pattern)
            )
    return deals


def _write_deal(
    folder: TenantFolder,
    rng: Random,
    staff: Staff,
    customers: Customers,
    deal: _Deal,
    i: int,
    contacts: list[Person],
    lead: str | None,
    as_of: int,
) -> None:
    currency = deal.owner.unit
    rate = CURRENCIES[currency][1]
    estimated = deal.created + 120 * DAY if deal.closed else as_of + rng.randint(-45, 150) * DAY
    actual = round(deal.value * rng.uniform(0.8, 1.05), 2) if deal.state == 1 else 0.0 if deal.state == 2 else None
    without_date = deal.closed is not None and i % 23 == 4
    account_id = None if i % 37 == 13 else deal.account.account_id
    contact_id = contacts[0].record_id if contacts and i % 9 else None
    customer = ("account", account_id) if account_id else ("contact", contacts[0].record_id)
    team_owned = i % 25 == 12
    row: Record = {
        "opportunityid": deal.opportunity_id, "name": f"{deal.account.name}: {PRODUCTS[i % len(PRODUCTS)]}", **lookup("parentaccountid", "account", account_id),
        **lookup("parentcontactid", "contact", contact_id), **lookup("customerid", customer[0], customer[1]), **lookup("originatingleadid", "lead", lead),
        "estimatedvalue": None if i % 29 == 11 else round(deal.value * rate, 2), "estimatedvalue_base": None if i % 29 == 11 else deal.value,
        "actualvalue": None if actual is None else round(actual * rate, 2), "actualvalue_base": actual,
        **lookup("transactioncurrencyid", "transactioncurrency", customers.currency_ids[currency], CURRENCIES[currency][0]),
        "estimatedclosedate": None if i % 31 == 12 else day(estimated), "actualclosedate": None if deal.closed is None or without_date else day(deal.closed),
        "stepname": STAGES[3] if deal.closed else STAGES[i % 4], "statecode": deal.state, "statuscode": (2 if i % 17 == 10 else 1) if deal.state == 0 else 3 if deal.state == 1 else 4 + i % 2,
        **lookup("ownerid", "team" if team_owned else "systemuser", staff.team_ids[deal.owner.unit] if team_owned else deal.owner.record_id),
        **lookup("owningbusinessunit", "businessunit", staff.unit_ids[deal.owner.unit], staff.unit_names[deal.owner.unit]),
        "new_productline": rng.choice(("basic", "plus", "custom")), "description": "See the offer.",
        "createdon": instant(deal.created), "modifiedon": instant(min(as_of - DAY, (deal.closed or as_of) + HOUR)),
    }  # fmt: skip
    folder.crm("opportunities", row, deal.created)
    if deal.closed is not None:
        folder.crm(
            "opportunitycloses",
            {
                "activityid": guid(rng), "subject": "Opportunity closed", "statecode": 1, "statuscode": 2, "actualend": instant(deal.closed),
                **lookup("opportunityid", "opportunity", deal.opportunity_id), **lookup("regardingobjectid", "opportunity", deal.opportunity_id),
                **lookup("ownerid", "systemuser", deal.owner.record_id), "createdon": instant(deal.closed), "modifiedon": instant(deal.closed),
            },
            deal.closed,
        )  # fmt: skip


def _roles(folder: TenantFolder, rng: Random, first: int) -> dict[str, str]:
    roles = {name: guid(rng) for name in (*SALES_ROLES, *STAKEHOLDER_ROLES)}
    for name, role_id in roles.items():
        category = 1001 if name in SALES_ROLES else 1000
        folder.crm(
            "connectionroles",
            {
                "connectionroleid": role_id,
                "name": name,
                "category": category,
                "statecode": 0,
                "statuscode": 1,
                "createdon": instant(first),
                "modifiedon": instant(first),
            },
            first - 900 * DAY,
        )
    return roles


def _connect(
    folder: TenantFolder,
    rng: Random,
    staff: Staff,
    deal: _Deal,
    i: int,
    contacts: list[Person],
    roles: dict[str, str],
    as_of: int,
) -> list[Person]:
    """Sales team and stakeholders as connections; gives the people of our side."""
    created = min(deal.created + 2 * DAY, as_of - 1)
    peers = [p for p in staff.sellers if p is not deal.owner and p.unit == deal.owner.unit] or [
        p for p in staff.sellers if p is not deal.owner
    ]
    team = rng.sample(peers, min(len(peers), rng.choice((0, 1, 1, 2))))
    ends: list[tuple[tuple[str, str], str | None, int]] = [(p.party, rng.choice(SALES_ROLES), 0) for p in team]
    if i % 14 == 3:
        ends.append((("team", staff.team_ids[-1]), SALES_ROLES[0], 0))
    for place, contact in enumerate(contacts if i % 9 else contacts[1:]):
        role = None if i % 10 == 9 else STAKEHOLDER_ROLES[(i + place) % len(STAKEHOLDER_ROLES)]
        if i % 5:
            ends.append((contact.party, role, 1 if i % 12 == 7 else 0))
    if i % 40 == 2:
        ends.append((("account", deal.account.account_id), "Influencer", 0))
    for (table, record_id), role, state in ends:
        _write_connection(
            folder, rng, ("opportunity", deal.opportunity_id), (table, record_id), roles[role] if role else None, state, created
        )
    return [deal.owner, *team]


def _write_connection(
    folder: TenantFolder, rng: Random, one: tuple[str, str], two: tuple[str, str], role_id: str | None, state: int, created: int
) -> None:
    """Both halves of a pair: the role belongs to the end `two`."""
    ids = (guid(rng), guid(rng))
    for half, (left, right) in enumerate(((one, two), (two, one))):
        folder.crm(
            "connections",
            {
                "connectionid": ids[half], **lookup("record1id", *left), **lookup("record2id", *right),
                **lookup("record1roleid", "connectionrole", role_id if half else None), **lookup("record2roleid", "connectionrole", None if half else role_id),
                **lookup("relatedconnectionid", "connection", ids[1 - half]), "ismaster": half == 0, "effectivestart": None, "effectiveend": None,
                "statecode": state, "statuscode": 1 + state, "createdon": instant(created), "modifiedon": instant(created),
            },
            created,
        )  # fmt: skip


def _topic(rng: Random, deal: _Deal, team: list[Person], contacts: list[Person], i: int, first: int, as_of: int) -> Topic:
    starts, ends = max(first, deal.created - 5 * DAY), (deal.closed or as_of + 3 * DAY)
    silent = min(ends, deal.account.silent_at)
    people = list(contacts)
    if i % 4 == 1 and deal.account.strangers:
        people.append(deal.account.strangers[0])
    if deal.state == 0 and i % 11 == 9:
        people = contacts[:1]
    warmth = {"warming": 1.8, "cooling": 0.6, "ghosted": 0.7}.get(deal.pattern, 1.0)
    weight = max(0.0, min(ends, as_of) - starts) / (30 * DAY) * rng.choice((0.5, 1.0, 1.5)) * warmth
    return Topic(
        "opportunity",
        deal.opportunity_id,
        PRODUCTS[i % len(PRODUCTS)],
        team,
        people or [*deal.account.strangers],
        starts,
        ends,
        deal.pattern,
        weight,
        silent,
        ("opportunity", deal.opportunity_id),
        warmth,
    )
