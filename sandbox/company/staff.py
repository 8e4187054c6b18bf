"""Our side: business units, users, teams, Graph users and mail folders."""

from dataclasses import dataclass
from random import Random

from sandbox.company.folder import Record, TenantFolder, instant, lookup
from sandbox.company.names import FIRST_NAMES, LAST_NAMES
from sandbox.company.people import DOMAIN, SECOND_DOMAIN, Mailbox, Person, dotted, graph_id, guid, slug
from sandbox.company.working_time import DAY, HOUR, ZONES

UNITS = ("Central Europe", "United Kingdom", "North America")
_UNIT_WEIGHTS = (6, 2, 2)
_FOLDERS = (
    ("Inbox", "inbox"), ("Sent Items", "sentitems"), ("Drafts", "drafts"), ("Deleted Items", "deleteditems"), ("Junk Email", "junkemail"),
    ("Archive", "archive"), ("Outbox", "outbox"), ("Conversation History", "conversationhistory"),
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Staff:
    """Users in service, groups that mail can go to, and the ids that records refer to."""

    users: list[Person]
    sellers: list[Person]
    everybody: Person
    unit_groups: list[Person]
    shared: Person
    unit_ids: list[str]
    unit_names: tuple[str, ...]
    team_ids: list[str]
    leaver: Person
    mailboxes: list[Person]


def build_staff(folder: TenantFolder, rng: Random, count: int, founded: int, first: int, as_of: int) -> Staff:
    """Write the tables and Graph files of our own people and give the people themselves."""
    root_id = guid(rng)
    folder.crm(
        "businessunits",
        {
            "businessunitid": root_id,
            "name": "Nordwerk",
            **lookup("parentbusinessunitid", None, None),
            "createdon": instant(founded),
            "modifiedon": instant(founded),
            "isdisabled": False,
        },
        founded,
    )
    unit_ids = [guid(rng) for _ in UNITS]
    for unit_id, name in zip(unit_ids, UNITS, strict=True):
        folder.crm(
            "businessunits",
            {
                "businessunitid": unit_id,
                "name": name,
                **lookup("parentbusinessunitid", "businessunit", root_id),
                "createdon": instant(founded),
                "modifiedon": instant(founded),
                "isdisabled": False,
            },
            founded,
        )

    firsts, lasts = rng.sample(FIRST_NAMES, len(FIRST_NAMES)), rng.sample(LAST_NAMES, len(LAST_NAMES))
    users: list[Person] = []
    for i in range(count):
        name = f"{firsts[i % len(firsts)]} {lasts[(i * 7 + i // len(firsts)) % len(lasts)]}"
        unit = i if i < len(UNITS) else rng.choices(range(len(UNITS)), _UNIT_WEIGHTS)[0]
        away = first + int(rng.random() * (as_of - first - 20 * DAY))
        users.append(
            Person(
                name,
                f"{dotted(name)}@{DOMAIN}",
                ZONES[unit],
                pace=0.5 + rng.random(),
                party=("systemuser", guid(rng)),
                away=(away, away + rng.randint(5, 15) * DAY),
                unit=unit,
            )
        )
    leaver = users[-1]
    for i, user in enumerate(users):
        _write_user(folder, rng, user, unit_ids[user.unit], founded, is_leaver=user is leaver, variant=i, as_of=as_of)
    _write_application_user(folder, rng, unit_ids[0], founded)

    shared = Person("Sales Desk", f"sales@{DOMAIN}", ZONES[0])
    _write_mailbox(folder, rng, shared, founded, {"accountEnabled": False, "userType": "Member"})
    shared.members = []
    folder.add(
        "graph/users.jsonl",
        {
            "id": guid(rng),
            "displayName": "Visitor",
            "mail": "visitor@partner.example",
            "userPrincipalName": f"visitor_partner.example#EXT#@{DOMAIN}",
            "proxyAddresses": [],
            "accountEnabled": True,
            "userType": "Guest",
        },
        founded,
    )

    everybody = Person("Everybody", f"all@{DOMAIN}", ZONES[0], members=users)
    unit_groups = [
        Person(f"Team {name}", f"team-{slug(name)}@{DOMAIN}", ZONES[i], members=[u for u in users if u.unit == i])
        for i, name in enumerate(UNITS)
    ]
    sellers = users[: max(4, count * 7 // 10)]
    team_ids = _write_teams(folder, rng, unit_ids, sellers, founded)
    return Staff(users, sellers, everybody, unit_groups, shared, unit_ids, UNITS, team_ids, leaver, [*users, shared])


def _write_user(
    folder: TenantFolder, rng: Random, user: Person, unit_id: str, founded: int, *, is_leaver: bool, variant: int, as_of: int
) -> None:
    local = user.address.split("@")[0]
    changed = as_of - 40 * DAY if is_leaver else founded + 2 * HOUR
    proxies = [f"SMTP:{user.address}", f"X500:/o=Nordwerk/ou=Exchange Administrative Group/cn=Recipients/cn={local}"]
    if variant % 3 == 0:
        proxies.append(f"smtp:{local.replace('.', '')}@{DOMAIN}")
    if variant % 5 == 0:
        proxies.append(f"smtp:{local}@{SECOND_DOMAIN}")
    _write_mailbox(
        folder,
        rng,
        user,
        founded,
        {"proxyAddresses": proxies, "otherMails": [], "accountEnabled": not is_leaver, "userType": "Member"},
        is_thin=variant % 2 == 1,
    )
    assert user.party is not None and user.mailbox is not None
    object_id = user.mailbox.user_id
    folder.crm(
        "systemusers",
        {
            "systemuserid": user.record_id, "fullname": user.name, "internalemailaddress": user.address.title() if variant % 9 == 4 else user.address,
            "personalemailaddress": f"{local}.fictitious@web.de" if variant % 8 == 2 else None, "domainname": user.address,
            "azureactivedirectoryobjectid": object_id.upper() if variant % 6 == 1 else object_id, "isdisabled": is_leaver, "accessmode": 0,
            **lookup("businessunitid", "businessunit", unit_id), "createdon": instant(founded), "modifiedon": instant(changed),
        },
        founded,
    )  # fmt: skip


def _write_application_user(folder: TenantFolder, rng: Random, unit_id: str, founded: int) -> None:
    record: Record = {
        "systemuserid": guid(rng), "fullname": "# Integration", "internalemailaddress": "integration@crm-platform.example", "personalemailaddress": None,
        "domainname": "integration@crm-platform.example", "azureactivedirectoryobjectid": None, "isdisabled": False, "accessmode": 4,
        **lookup("businessunitid", "businessunit", unit_id), "createdon": instant(founded), "modifiedon": instant(founded),
    }  # fmt: skip
    folder.crm("systemusers", record, founded)


def _write_mailbox(folder: TenantFolder, rng: Random, user: Person, founded: int, keys: Record, *, is_thin: bool = False) -> None:
    user_id = guid(rng)
    base = {
        "id": user_id,
        "displayName": user.name,
        "mail": user.address,
        "userPrincipalName": user.address,
        "proxyAddresses": [f"SMTP:{user.address}"],
    }
    folder.add("graph/users.jsonl", base | keys, founded)
    user.mailbox = Mailbox(user_id, {}, is_thin=is_thin)
    root = graph_id(rng, "AQMk")
    file = f"graph/{user_id}/mailFolders.jsonl"

    def add(name: str, parent: str, children: int = 0, **extra: object) -> str:
        folder_id = graph_id(rng, "AQMk")
        folder.add(
            file,
            {
                "id": folder_id,
                "displayName": name,
                "parentFolderId": parent,
                "childFolderCount": children,
                "isHidden": False,
                **extra,
            },
            founded,
        )
        return folder_id

    for name, known in _FOLDERS:
        user.mailbox.folders[known] = add(name, root, int(known == "inbox"), wellKnownName=known)
    user.mailbox.folders["customers"] = add("Customers", user.mailbox.folders["inbox"], 1)
    user.mailbox.folders["projects"] = add("Projects", user.mailbox.folders["customers"])
    user.mailbox.folders["newsletters"] = add("Newsletters", root)
    add(
        "Unread", root, isSupported=True, includeNestedFolders=True, sourceFolderIds=[user.mailbox.folders["inbox"]], filterQuery="isRead eq false",
        **{"@odata.type": "#microsoft.graph.mailSearchFolder"},
    )  # fmt: skip
    folder.ensure(user.mailbox.messages)
    folder.ensure(user.mailbox.events)


def _write_teams(folder: TenantFolder, rng: Random, unit_ids: list[str], sellers: list[Person], founded: int) -> list[str]:
    team_ids = []
    for i, name in enumerate((*UNITS, "Key Accounts")):
        team_id = guid(rng)
        team_ids.append(team_id)
        folder.crm(
            "teams",
            {
                "teamid": team_id,
                "name": f"Team {name}",
                "teamtype": 0,
                **lookup("businessunitid", "businessunit", unit_ids[i % len(unit_ids)]),
                "createdon": instant(founded),
                "modifiedon": instant(founded),
            },
            founded,
        )
        for member in [u for u in sellers if u.unit == i] or sellers[:3]:
            folder.crm(
                "teammemberships", {"teammembershipid": guid(rng), "teamid": team_id, "systemuserid": member.record_id}, founded
            )
    return team_ids
