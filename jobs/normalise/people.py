"""Whose an address is: users, contacts, leads, accounts, sides (N3-N9, N12, L9)."""

import polars as pl

from jobs.normalise import replay
from jobs.normalise.addresses import canonical, canonical_domain, domain_of, free_mail_domains, guid, website_domain
from jobs.normalise.crm import MERGING, TABLES
from jobs.normalise.payload import decode

TEXTS = pl.List(pl.String)
ADDRESS_SCHEMA = {"address": pl.String, "domain": pl.String, "side": pl.String, "user_id": pl.String, "contact_id": pl.String,
                  "lead_id": pl.String, "account_id": pl.String, "rule": pl.String}  # fmt: skip


def graph_users(rows: pl.DataFrame) -> pl.DataFrame:
    """Users of the Graph `users` stream as last known: user_id, is_member, is_guest, mail, upn, and lists proxies and other_mails."""
    last = replay.last_known(rows, ["record_id"], merge=True).sort("record_id")
    fields = {
        "mail": pl.String,
        "userPrincipalName": pl.String,
        "proxyAddresses": TEXTS,
        "otherMails": TEXTS,
        "userType": pl.String,
    }
    present = replay.members(rows).select(pl.col("record_id"), pl.lit(True).alias("is_member"))
    return (
        decode(last.get_column("payload"), fields)
        .with_columns(last.get_column("record_id"))
        .join(present, on="record_id", how="left", maintain_order="left")
        .select(
            guid(pl.col("record_id")).alias("user_id"),
            pl.col("is_member").fill_null(False),
            (
                (pl.col("userType").str.to_lowercase() == "guest").fill_null(False)
                | pl.col("userPrincipalName").str.to_uppercase().str.contains("#EXT#", literal=True).fill_null(False)
            ).alias("is_guest"),
            "mail",
            pl.col("userPrincipalName").alias("upn"),
            pl.col("proxyAddresses").alias("proxies"),
            pl.col("otherMails").alias("other_mails"),
        )
        .unique("user_id", keep="first", maintain_order=True)
    )


def graph_addresses(users: pl.DataFrame) -> pl.DataFrame:
    """Every address of a Graph user: user_id, kind (mail, upn, proxy, dn, other), position, address."""
    proxies = users.select("user_id", pl.col("proxies").alias("text")).explode("text")
    prefix = pl.col("text").str.to_lowercase().str.strip_chars()
    parts = [
        users.select("user_id", pl.lit("mail").alias("kind"), pl.lit(0).alias("position"), pl.col("mail").alias("text")),
        users.select("user_id", pl.lit("upn").alias("kind"), pl.lit(1).alias("position"), pl.col("upn").alias("text")),
        proxies.filter(prefix.str.starts_with("smtp:")).select(
            "user_id", pl.lit("proxy").alias("kind"), pl.lit(2).alias("position"), "text"
        ),
        proxies.filter(prefix.str.starts_with("x500:")).select(
            "user_id", pl.lit("dn").alias("kind"), pl.lit(3).alias("position"), pl.col("text").str.strip_chars().str.slice(5)
        ),
        users.select(
            "user_id", pl.lit("other").alias("kind"), pl.lit(4).alias("position"), pl.col("other_mails").alias("text")
        ).explode("text"),
    ]
    spelt = pl.concat(parts).with_columns(canonical(pl.col("text")).alias("address")).drop("text")
    known = spelt.filter(pl.col("address").is_not_null())
    return known.filter((pl.col("kind") != "dn") | pl.col("address").str.starts_with("/o="))


def linked_users(systemusers: pl.DataFrame, users: pl.DataFrame, addresses: pl.DataFrame) -> pl.DataFrame:
    """Which Graph user a systemuser is (N4): systemuserid, user_id.

    By `azureactivedirectoryobjectid`, else by a Graph user whose mail, UPN or smtp proxy is the internal address.
    """
    known = users.filter("is_member").select("user_id")
    by_id = systemusers.select("systemuserid", pl.col("azureactivedirectoryobjectid").alias("user_id")).join(known, on="user_id")
    rest = systemusers.select("systemuserid", canonical(pl.col("internalemailaddress")).alias("address")).join(
        by_id, on="systemuserid", how="anti"
    )
    named = addresses.filter(pl.col("kind").is_in(["mail", "upn", "proxy"])).join(known, on="user_id")
    by_address = rest.join(named, on="address").group_by("systemuserid").agg(pl.col("user_id").min())
    return pl.concat([by_id.select("systemuserid", "user_id"), by_address])


def user_addresses(systemusers: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """Addresses of the systemusers (N4): record_type, record_id, address, position."""
    graph = graph_addresses(users)
    own = pl.concat(
        [
            systemusers.select(pl.col("systemuserid").alias("record_id"), pl.lit(i).alias("position"), pl.col(name).alias("text"))
            for i, name in enumerate(["internalemailaddress", "personalemailaddress", "domainname"])
        ]
    )
    own = own.with_columns(canonical(pl.col("text")).alias("address")).drop("text")
    guests = users.filter("is_guest").select("user_id")
    linked = linked_users(systemusers, users, graph).join(guests, on="user_id", how="anti")
    added = linked.join(graph, on="user_id").select(
        pl.col("systemuserid").alias("record_id"), (pl.col("position") + 3).alias("position"), "address"
    )
    return _numbered(pl.concat([own, added], how="diagonal"), "systemuser")


def record_addresses(tables: dict[str, pl.DataFrame], users: pl.DataFrame) -> pl.DataFrame:
    """Addresses of every user, contact, lead and account, those of merged records at their masters (N4, N12).

    Columns record_type, record_id, address, position (order in the record).
    """
    parts = [user_addresses(tables["systemuser"], users)]
    for name in MERGING:
        key = TABLES[name].key
        table = tables[name]
        fields = pl.concat(
            [
                table.select("master_id", pl.col(key), pl.lit(i).alias("field"), pl.col(f"emailaddress{i}").alias("text"))
                for i in (1, 2, 3)
            ]
        )
        ordered = fields.with_columns(canonical(pl.col("text")).alias("address")).sort(
            "master_id", pl.col(key) != pl.col("master_id"), key, "field"
        )
        present = table.select(pl.col(key).alias("master_id"))
        ordered = ordered.join(present, on="master_id", how="semi", maintain_order="left")
        numbered = ordered.select(pl.col("master_id").alias("record_id"), "address", pl.int_range(pl.len()).alias("position"))
        parts.append(_numbered(numbered, name))
    return pl.concat(parts)


def _numbered(addresses: pl.DataFrame, record_type: str) -> pl.DataFrame:
    first = addresses.filter(pl.col("address").is_not_null()).group_by("record_id", "address").agg(pl.col("position").min())
    return first.sort("record_id", "position", "address").select(
        pl.lit(record_type).alias("record_type"),
        "record_id",
        "address",
        (pl.col("position").rank("ordinal").over("record_id") - 1).cast(pl.Int32).alias("position"),
    )


def first_addresses(tables: dict[str, pl.DataFrame], records: pl.DataFrame) -> pl.DataFrame:
    """The address that stands for a party without one (N3): party_type, party_id, address; merged ids at their masters."""
    users = tables["systemuser"].select("systemuserid", canonical(pl.col("internalemailaddress")).alias("address"))
    parts = [users.select(pl.lit("systemuser").alias("party_type"), pl.col("systemuserid").alias("party_id"), "address")]
    for name in MERGING:
        key = TABLES[name].key
        first = records.filter((pl.col("record_type") == name) & (pl.col("position") == 0)).select(
            pl.col("record_id").alias("master_id"), "address"
        )
        parts.append(
            tables[name]
            .select("master_id", key)
            .join(first, on="master_id")
            .select(pl.lit(name).alias("party_type"), pl.col(key).alias("party_id"), "address")
        )
    return pl.concat(parts).filter(pl.col("address").is_not_null())


def mailbox_owners(tables: dict[str, pl.DataFrame], users: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The owners of mailboxes: all their addresses (user_id, address), and the one that stands for them (user_id, address; N41)."""
    graph = graph_addresses(users)
    linked = linked_users(tables["systemuser"], users, graph)
    own = user_addresses(tables["systemuser"], users).join(linked, left_on="record_id", right_on="systemuserid")
    every = pl.concat([graph.select("user_id", "address"), own.select("user_id", "address")]).unique()
    chosen = users.select("user_id", pl.coalesce(canonical(pl.col("mail")), canonical(pl.col("upn"))).alias("address"))
    return every.sort("user_id", "address"), chosen.filter(pl.col("address").is_not_null())


def internal_domains(given: list[str] | None, systemusers: pl.DataFrame, users: pl.DataFrame) -> list[str]:
    """The team's mail domains, sorted: those given, else those of the users' addresses less free-mail domains (N6)."""
    if given is not None:
        return sorted({canonical_domain(domain.strip().removeprefix("@")) for domain in given} - {""})
    people = systemusers.filter(pl.col("accessmode").is_null() | pl.col("accessmode").is_in([0, 1, 2]))
    texts = people.select(canonical(pl.col("internalemailaddress")).alias("address"))
    members = users.filter(pl.col("is_member") & ~pl.col("is_guest"))
    graph = graph_addresses(members).filter(pl.col("kind").is_in(["mail", "proxy"])).select("address")
    found = pl.concat([texts, graph]).select(domain_of(pl.col("address")).alias("domain")).drop_nulls().get_column("domain")
    return sorted(set(found.to_list()) - free_mail_domains() - {""})


def person_addresses(
    addresses: pl.DataFrame, records: pl.DataFrame, tables: dict[str, pl.DataFrame], users: pl.DataFrame, domains: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Side and person of every address (N2, N5, N8, N9), and the findings on those that several records claim.

    `addresses`: those of the participants. Both results are sorted by address.
    """
    ranked = _ranked(records, tables)
    chosen = ranked.unique(["address", "record_type"], keep="first", maintain_order=True)
    wide = pl.concat([records.select("address"), addresses.select("address").drop_nulls(), _team_addresses(users)]).unique()
    for kind, column in (("systemuser", "user_id"), ("contact", "contact_id"), ("lead", "lead_id"), ("account", "account_id")):
        one = chosen.filter(pl.col("record_type") == kind).select("address", pl.col("record_id").alias(column))
        wide = wide.join(one, on="address", how="left")
    team = _team_addresses(users).unique().with_columns(pl.lit(True).alias("is_graph"))
    wide = wide.join(team, on="address", how="left").with_columns(domain_of(pl.col("address")).alias("domain"))
    is_dn = pl.col("address").str.starts_with("/o=")
    rule = (
        pl.when(pl.col("user_id").is_not_null()).then(pl.lit("user_address"))
        .when(pl.col("is_graph")).then(pl.lit("graph_user"))
        .when(is_dn).then(pl.lit("unresolved_dn"))
        .when(pl.col("domain").is_in(domains)).then(pl.lit("internal_domain"))
        .when(pl.col("contact_id").is_not_null()).then(pl.lit("contact_address"))
        .when(pl.col("lead_id").is_not_null()).then(pl.lit("lead_address"))
        .when(pl.col("account_id").is_not_null()).then(pl.lit("account_address"))
        .otherwise(pl.lit("unknown"))
    )  # fmt: skip
    decided = wide.with_columns(rule.alias("rule"))
    result = decided.select(
        "address",
        "domain",
        pl.when(pl.col("rule").is_in(["user_address", "graph_user", "unresolved_dn", "internal_domain"]))
        .then(pl.lit("us"))
        .otherwise(pl.lit("them"))
        .alias("side"),
        "user_id",
        *[
            pl.when(pl.col("rule") == f"{name}_address").then(pl.col(f"{name}_id")).alias(f"{name}_id")
            for name in ("contact", "lead", "account")
        ],
        "rule",
    ).sort("address")
    return result, _findings(ranked, result)


def _team_addresses(users: pl.DataFrame) -> pl.DataFrame:
    """Addresses of Graph users that are no guests (N5)."""
    return graph_addresses(users.filter(pl.col("is_member") & ~pl.col("is_guest"))).select("address")


def _ranked(records: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Addresses with the records that have them, the one to choose first: active, latest modified, smallest id (N9)."""
    facts = [
        tables["systemuser"].select(
            pl.lit("systemuser").alias("record_type"),
            pl.col("systemuserid").alias("record_id"),
            pl.col("isdisabled").not_().alias("is_active"),
            "modifiedon",
        )
    ]
    for name in MERGING:
        facts.append(
            tables[name].select(
                pl.lit(name).alias("record_type"),
                pl.col(TABLES[name].key).alias("record_id"),
                (pl.col("statecode") == 0).alias("is_active"),
                "modifiedon",
            )
        )
    known = records.join(pl.concat(facts), on=["record_type", "record_id"])
    return known.sort(
        "address",
        "record_type",
        "is_active",
        "modifiedon",
        "record_id",
        descending=[False, False, True, True, False],
        nulls_last=True,
    )


def _findings(ranked: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    counted = ranked.group_by("address", "record_type").agg(
        pl.col("record_id").first().alias("chosen_id"), pl.col("record_id").n_unique().cast(pl.Int64).alias("candidate_count")
    )
    rules = pl.DataFrame(
        {
            "record_type": ["systemuser", "contact", "lead", "account"],
            "rule": ["user_address", "contact_address", "lead_address", "account_address"],
        }
    )
    return (
        counted.filter(pl.col("candidate_count") > 1)
        .join(rules, on="record_type")
        .join(decided.select("address", "rule"), on=["address", "rule"])
        .select(pl.format("address_of_several_{}s", "record_type").alias("kind"), "address", "chosen_id", "candidate_count")
        .sort("kind", "address")
    )


def account_domains(accounts: pl.DataFrame, records: pl.DataFrame, domains: list[str]) -> pl.DataFrame:
    """Domains that stand for an account (L9): account_id, domain; internal, free-mail and shared-host domains are left out."""
    own = accounts.filter(pl.col("accountid") == pl.col("master_id"))
    sites = pl.DataFrame(
        {
            "account_id": own.get_column("accountid"),
            "domain": [website_domain(url) for url in own.get_column("websiteurl").to_list()],
        },
        schema={"account_id": pl.String, "domain": pl.String},
    )
    mail = records.filter(pl.col("record_type") == "account").select(
        pl.col("record_id").alias("account_id"), domain_of(pl.col("address")).alias("domain")
    )
    none = ["", *domains]
    return (
        pl.concat([
            sites.filter(~pl.col("domain").is_in(sorted(free_mail_domains(hosts=True)))),
            mail.filter(~pl.col("domain").is_in(sorted(free_mail_domains()))),
        ])
        .filter(pl.col("domain").is_not_null() & ~pl.col("domain").is_in(none))
        .unique()
        .sort("account_id", "domain")
    )  # fmt: skip
