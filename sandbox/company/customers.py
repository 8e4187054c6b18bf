"""The customers' side: accounts, contacts and leads."""

from dataclasses import dataclass, field
from random import Random

from sandbox.company.folder import Record, TenantFolder, choice, instant, lookup
from sandbox.company.names import (
    COUNTRIES,
    FIRM_FIRST,
    FIRM_SECOND,
    FIRST_NAMES,
    FREE_MAIL,
    INDUSTRIES,
    JOB_TITLES,
    LAST_NAMES,
    LEAD_SOURCES,
)
from sandbox.company.people import Person, Topic, dotted, guid, slug
from sandbox.company.staff import Staff
from sandbox.company.working_time import DAY, ZONES

MOODS = ("steady", "quiet", "new", "ghosted", "warming", "warming", "steady", "steady")
CURRENCIES = (("Euro", 1.0), ("Pound Sterling", 0.86), ("US Dollar", 1.08))


@dataclass(slots=True, eq=False)
class Account:
    """A customer: its people (contacts), strangers who write from its domain, and who looks after it."""

    account_id: str
    name: str
    domain: str
    industry: int
    zone: str
    owner: Person
    mood: str
    """How its open deals go: steady, quiet, new, ghosted or warming."""
    silent_at: int
    """From here on nobody of it says anything."""
    contacts: list[Person] = field(default_factory=list)
    strangers: list[Person] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Customers:
    """Accounts, their contacts, contacts without account, and leads as topics."""

    accounts: list[Account]
    contacts: list[Person]
    loose_contacts: list[Person]
    leads: list[Topic]
    lead_sources: dict[str, int]
    currency_ids: list[str]


def build_customers(
    folder: TenantFolder, rng: Random, staff: Staff, counts: dict[str, int], founded: int, first: int, as_of: int
) -> Customers:
    """Write accounts, contacts and leads and give them as people and topics."""
    currency_ids = [guid(rng) for _ in CURRENCIES]
    accounts, account_rows = _accounts(rng, staff, counts["accounts"], founded, as_of, currency_ids)
    contacts, loose = _contacts(folder, rng, staff, accounts, counts["contacts"], founded, as_of)
    for account, row in zip(accounts, account_rows, strict=True):
        if account.contacts:
            row |= lookup("primarycontactid", "contact", account.contacts[0].record_id)
        folder.crm("accounts", row, founded)
    _merged_records(folder, rng, accounts, founded, as_of)
    _twins(folder, rng, staff, accounts, founded)
    leads, sources = _leads(folder, rng, staff, contacts, counts["leads"], first, as_of)
    return Customers(accounts, contacts, loose, leads, sources, currency_ids)


def _accounts(
    rng: Random, staff: Staff, count: int, founded: int, as_of: int, currency_ids: list[str]
) -> tuple[list[Account], list[Record]]:
    names = rng.sample([f"{a} {b}" for a in FIRM_FIRST for b in FIRM_SECOND], count)
    accounts, rows = [], []
    for i, name in enumerate(names):
        owner = rng.choice(staff.sellers)
        industry = rng.choice(list(INDUSTRIES))
        domain = f"{slug(name)}.example"
        mood = MOODS[i % len(MOODS)]
        silent = as_of - rng.randint(31, 75) * DAY if mood in ("quiet", "ghosted") else as_of + 10 * DAY
        account = Account(guid(rng), name, domain, industry, rng.choices(ZONES, (6, 2, 2))[0], owner, mood, silent)
        currency = 0 if owner.unit == 0 else rng.choice((0, owner.unit))
        revenue = round(10 ** rng.uniform(6.0, 9.0), -3)
        team_owned = i % 20 == 7
        rows.append(
            {
                "accountid": account.account_id, "name": name, "websiteurl": (None if i % 12 == 5 else f"https://sites.google.com/{slug(name)}" if i % 40 == 6 else f"https://www.{domain}/"),
                "emailaddress1": f"info@{domain}" if i % 4 else None, "emailaddress2": None, "emailaddress3": None,
                **choice("industrycode", industry if i % 15 else None, INDUSTRIES), "address1_country": rng.choice(COUNTRIES) if i % 11 else None,
                "revenue": None if i % 10 == 3 else revenue, "revenue_base": None if i % 10 == 3 else round(revenue / CURRENCIES[currency][1], 2),
                "numberofemployees": None if i % 10 == 6 else int(10 ** rng.uniform(1, 4)),
                **lookup("parentaccountid", "account", accounts[i // 2].account_id if i % 25 == 7 else None),
                **lookup("transactioncurrencyid", "transactioncurrency", currency_ids[currency], CURRENCIES[currency][0]),
                **lookup("ownerid", "team" if team_owned else "systemuser", staff.team_ids[owner.unit] if team_owned else owner.record_id),
                **lookup("owningbusinessunit", "businessunit", staff.unit_ids[owner.unit], staff.unit_names[owner.unit]),
                "statecode": 1 if i % 30 == 3 else 0, "statuscode": 2 if i % 30 == 3 else 1, "merged": False, **lookup("masterid", None, None),
                "description": "Long-standing customer.", "createdon": instant(founded + i * 3600), "modifiedon": instant(as_of - rng.randint(1, 300) * DAY),
            }
        )  # fmt: skip
        accounts.append(account)
    return accounts, rows


def _contact_row(
    rng: Random, contact: Person, account: Account | None, owner: Person, second: str | None, created: int, as_of: int
) -> Record:
    first, last = contact.name.split(" ", 1)
    return {
        "contactid": contact.record_id, "fullname": contact.name, "firstname": first, "lastname": last, "jobtitle": rng.choice(JOB_TITLES),
        "emailaddress1": contact.address, "emailaddress2": second, "emailaddress3": None,
        **lookup("parentcustomerid", "account", account.account_id if account else None), **lookup("ownerid", "systemuser", owner.record_id),
        "statecode": 0, "statuscode": 1, "merged": False, **lookup("masterid", None, None), "donotbulkemail": rng.random() < 0.1,
        "createdon": instant(created), "modifiedon": instant(as_of - rng.randint(1, 300) * DAY),
    }  # fmt: skip


def _person_name(rng: Random) -> str:
    return f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"


def _contacts(
    folder: TenantFolder, rng: Random, staff: Staff, accounts: list[Account], count: int, founded: int, as_of: int
) -> tuple[list[Person], list[Person]]:
    contacts: list[Person] = []
    loose: list[Person] = []
    taken: set[str] = set()
    for i in range(count):
        account = accounts[i] if i < len(accounts) else rng.choice(accounts)
        is_loose = i >= len(accounts) and i % 40 == 11
        has_free_mail = is_loose or i % 19 == 13
        name = _person_name(rng)
        while name in taken:
            name = _person_name(rng)
        taken.add(name)
        address = f"{dotted(name)}.fictitious@{rng.choice(FREE_MAIL)}" if has_free_mail else f"{dotted(name)}@{account.domain}"
        away = as_of - rng.randint(20, 440) * DAY
        contact = Person(
            name,
            address,
            account.zone,
            pace=0.3 + 1.7 * rng.random(),
            party=("contact", guid(rng)),
            away=(away, away + rng.randint(4, 15) * DAY),
        )
        second = f"{slug(name)}@mail.{account.domain}" if i % 13 == 4 else None
        row = _contact_row(rng, contact, None if is_loose else account, account.owner, second, founded + i * 1800, as_of)
        if i % 33 == 17:
            row |= {"statecode": 1, "statuscode": 2}
        if i % 21 == 8:
            row["emailaddress1"] = address.upper()
        folder.crm("contacts", row, founded)
        contacts.append(contact)
        (loose if is_loose else account.contacts).append(contact)
    for account in accounts:
        name = _person_name(rng)
        account.strangers.append(Person(name, f"{dotted(name)}@{account.domain}", account.zone, pace=1.0))
    return contacts, loose


def _merged_records(folder: TenantFolder, rng: Random, accounts: list[Account], founded: int, as_of: int) -> None:
    """Duplicates that were merged into a master: their ids and addresses are the master's from then on."""
    for i, account in enumerate(accounts):
        if i % 25 == 2 and account.contacts:
            master = account.contacts[0]
            old = Person(master.name, f"{slug(master.name)}@{account.domain}", account.zone, party=("contact", guid(rng)))
            row = _contact_row(rng, old, account, account.owner, None, founded, as_of)
            folder.crm(
                "contacts",
                row | {"merged": True, "statecode": 1, "statuscode": 2, **lookup("masterid", "contact", master.record_id)},
                founded,
            )
        if i % 60 == 4:
            row = {
                "accountid": guid(rng), "name": f"{account.name} (old)", "websiteurl": None, "emailaddress1": f"office@{account.domain}", "emailaddress2": None, "emailaddress3": None,
                **lookup("ownerid", "systemuser", account.owner.record_id), "statecode": 1, "statuscode": 2, "merged": True,
                **lookup("masterid", "account", account.account_id), "createdon": instant(founded), "modifiedon": instant(as_of - 100 * DAY),
            }  # fmt: skip
            folder.crm("accounts", row, founded)


def _twins(folder: TenantFolder, rng: Random, staff: Staff, accounts: list[Account], founded: int) -> None:
    """A second contact with an address that is a contact's already, and a contact who is a colleague."""
    first = accounts[0].contacts[0]
    twin = Person(_person_name(rng), first.address, first.zone, party=("contact", guid(rng)))
    folder.crm("contacts", _contact_row(rng, twin, accounts[0], accounts[0].owner, None, founded, founded + 400 * DAY), founded)
    colleague = Person(staff.users[1].name, staff.users[1].address, staff.users[1].zone, party=("contact", guid(rng)))
    folder.crm("contacts", _contact_row(rng, colleague, None, accounts[0].owner, None, founded, founded + 400 * DAY), founded)


def _leads(
    folder: TenantFolder, rng: Random, staff: Staff, contacts: list[Person], count: int, first: int, as_of: int
) -> tuple[list[Topic], dict[str, int]]:
    topics, sources = [], {}
    for i in range(count):
        state = (0, 1, 0, 2, 0, 1)[i % 6]
        owner = rng.choice(staff.sellers)
        name, firm = _person_name(rng), f"{rng.choice(FIRM_FIRST)} {rng.choice(FIRM_SECOND)}"
        lead_id = guid(rng)
        became = rng.choice(contacts) if state == 1 else None
        address = became.address if became and i % 2 else f"{dotted(name)}@{slug(firm)}.lead.example"
        created = as_of - int(rng.uniform(5, 300 if state == 0 else 420) * DAY)
        source = rng.choice(list(LEAD_SOURCES))
        sources[lead_id] = source
        team_owned = i % 12 == 2
        folder.crm(
            "leads",
            {
                "leadid": lead_id, "fullname": name, "companyname": firm, "emailaddress1": address, "emailaddress2": None, "emailaddress3": None,
                **choice("leadsourcecode", source, LEAD_SOURCES), **choice("industrycode", rng.choice(list(INDUSTRIES)), INDUSTRIES),
                "statecode": state, "statuscode": (1, 3, 4)[state], **lookup("parentcontactid", "contact", became.record_id if became else None),
                **lookup("ownerid", "team" if team_owned else "systemuser", staff.team_ids[owner.unit] if team_owned else owner.record_id),
                **lookup("owningbusinessunit", "businessunit", staff.unit_ids[owner.unit], staff.unit_names[owner.unit]),
                "createdon": instant(created), "modifiedon": instant(min(as_of - DAY, created + 20 * DAY)),
            },
            created,
        )  # fmt: skip
        pattern = rng.choice(("steady", "warming", "quiet", "ghosted")) if state == 0 else "cooling"
        ends = as_of + 3 * DAY if state == 0 else min(as_of - DAY, created + rng.randint(10, 60) * DAY)
        silent = as_of - rng.randint(31, 60) * DAY if pattern in ("quiet", "ghosted") and created < as_of - 90 * DAY else ends
        person = Person(name, address, owner.zone, pace=1.0, party=("lead", lead_id))
        topics.append(
            Topic(
                "lead",
                lead_id,
                "flow sensors",
                [owner],
                [person],
                max(created, first),
                ends,
                pattern,
                0.6,
                silent,
                ("lead", lead_id),
            )
        )
    return topics, sources
