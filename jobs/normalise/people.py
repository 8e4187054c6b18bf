"""Whose an address is: users, contacts, leads, accounts, sides (N3-N9, N12, L9)."""

import polars as pl

from jobs.normalise import replay
from jobs.normalise.addresses import canonical, canonical_domain, domain_of, free_mail_domains, guid, website_domain
from jobs.normalise.crm import MERGING, TABLES
from jobs.normalise.frame import Frame
from jobs.normalise.payload import decoded

TEXTS = pl.List(pl.String)
ADDRESS_SCHEMA = {"address": pl.String, "domain": pl.String, "side": pl.String, "user_id": pl.String, "contact_id": pl.String,
                  "lead_id": pl.String, "account_id": pl.String, "rule": pl.String}  # fmt: skip


def graph_users(rows: Frame) -> Frame:
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
        last.select("record_id", decoded(pl.col("payload"), fields))
        .unnest("payload")
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


def graph_addresses(users: pl.LazyFrame) -> pl.LazyFrame:
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


def own_addresses(systemusers: pl.LazyFrame) -> pl.LazyFrame:
    """What a systemuser itself says, first the internal address (N4): systemuserid, position, address."""
    parts = [
        systemusers.select("systemuserid", pl.lit(i).alias("position"), pl.col(name).alias("text"))
        for i, name in enumerate(["internalemailaddress", "personalemailaddress", "domainname"])
    ]
    spelt = pl.concat(parts).select("systemuserid", "position", canonical(pl.col("text")).alias("address"))
    return spelt.filter(pl.col("address").is_not_null())


def merging_addresses(tables: dict[str, pl.LazyFrame]) -> pl.LazyFrame:
    """What contacts, leads and accounts say, also those that were merged: record_type, id, master_id, field, address."""
    parts = [
        tables[name].select(
            pl.lit(name).alias("record_type"),
            pl.col(TABLES[name].key).alias("id"),
            "master_id",
            pl.lit(field).alias("field"),
            pl.col(f"emailaddress{field}").alias("text"),
        )
        for name in MERGING
        for field in (1, 2, 3)
    ]
    return pl.concat(parts).with_columns(canonical(pl.col("text")).alias("address")).drop("text")


def linked_users(systemusers: pl.LazyFrame, own: pl.LazyFrame, users: pl.LazyFrame, graph: pl.LazyFrame) -> pl.LazyFrame:
    """Which Graph user a systemuser is (N4): systemuserid, user_id.

    By `azureactivedirectoryobjectid`, else by a Graph user whose mail, UPN or smtp proxy is the internal address.
    `own`, `graph`: those of `own_addresses` and `graph_addresses`.
    """
    known = users.filter("is_member").select("user_id")
    by_id = systemusers.select("systemuserid", pl.col("azureactivedirectoryobjectid").alias("user_id")).join(known, on="user_id")
    rest = own.filter(pl.col("position") == 0).join(by_id, on="systemuserid", how="anti")
    named = graph.filter(pl.col("kind").is_in(["mail", "upn", "proxy"])).join(known, on="user_id")
    by_address = rest.join(named, on="address").group_by("systemuserid").agg(pl.col("user_id").min())
    return pl.concat([by_id.select("systemuserid", "user_id"), by_address])


def user_addresses(own: pl.LazyFrame, users: pl.LazyFrame, graph: pl.LazyFrame, linked: pl.LazyFrame) -> pl.LazyFrame:
    """Addresses of the systemusers (N4): record_type, record_id, address, position. `linked`: that of `linked_users`."""
    guests = users.filter("is_guest").select("user_id")
    added = linked.join(guests, on="user_id", how="anti").join(graph, on="user_id")
    both = [
        own.select(pl.col("systemuserid").alias("record_id"), "position", "address"),
        added.select(pl.col("systemuserid").alias("record_id"), pl.col("position") + 3, "address"),
    ]
    return _numbered(pl.concat(both), "systemuser")


def record_addresses(of_users: pl.LazyFrame, merging: pl.LazyFrame) -> pl.LazyFrame:
    """Addresses of every user, contact, lead and account, those of merged records at their masters (N4, N12).

    Columns record_type, record_id, address, position (order in the record). `of_users`, `merging`: those of `user_addresses` and
    `merging_addresses`.
    """
    parts = [of_users]
    for name in MERGING:
        table = merging.filter(pl.col("record_type") == name)
        present = table.select(pl.col("id").alias("master_id")).unique()
        ordered = table.sort("master_id", pl.col("id") != pl.col("master_id"), "id", "field")
        ordered = ordered.join(present, on="master_id", how="semi", maintain_order="left")
        numbered = ordered.select(pl.col("master_id").alias("record_id"), "address", pl.int_range(pl.len()).alias("position"))
        parts.append(_numbered(numbered, name))
    return pl.concat(parts)


def _numbered(addresses: pl.LazyFrame, record_type: str) -> pl.LazyFrame:
    first = addresses.filter(pl.col("address").is_not_null()).group_by("record_id", "address").agg(pl.col("position").min())
    return first.sort("record_id", "position", "address").select(
        pl.lit(record_type).alias("record_type"),
        "record_id",
        "address",
        (pl.col("position").rank("ordinal").over("record_id") - 1).cast(pl.Int32).alias("position"),
    )


def first_addresses(tables: dict[str, pl.LazyFrame], own: pl.LazyFrame, records: pl.LazyFrame) -> pl.LazyFrame:
    """The address that stands for a party without one (N3): party_type, party_id, address; merged ids at their masters."""
    internal = own.filter(pl.col("position") == 0)
    parts = [internal.select(pl.lit("systemuser").alias("party_type"), pl.col("systemuserid").alias("party_id"), "address")]
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


def mailbox_addresses(graph: pl.LazyFrame, of_users: pl.LazyFrame, linked: pl.LazyFrame) -> pl.LazyFrame:
    """All addresses of the owners of mailboxes: user_id, address."""
    own = of_users.join(linked, left_on="record_id", right_on="systemuserid")
    return pl.concat([graph.select("user_id", "address"), own.select("user_id", "address")]).unique().sort("user_id", "address")


def mailbox_address(graph: pl.LazyFrame) -> pl.LazyFrame:
    """The one address that stands for the owner of a mailbox, the mail before the UPN (N41): user_id, address."""
    chosen = graph.filter(pl.col("kind").is_in(["mail", "upn"])).sort("user_id", "position", maintain_order=True)
    return chosen.unique("user_id", keep="first", maintain_order=True).select("user_id", "address")


def internal_domains(given: list[str] | None, found: list[str]) -> list[str]:
    """The team's mail domains, sorted: those given, else those `found` in its addresses less free-mail domains (N6)."""
    if given is not None:
        return sorted({canonical_domain(domain.strip().removeprefix("@")) for domain in given} - {""})
    return sorted(set(found) - free_mail_domains() - {""})


def team_domains(systemusers: pl.LazyFrame, own: pl.LazyFrame, users: pl.LazyFrame, graph: pl.LazyFrame) -> pl.LazyFrame:
    """The domains of the users' addresses: domain."""
    people = systemusers.filter(pl.col("accessmode").is_null() | pl.col("accessmode").is_in([0, 1, 2]))
    texts = own.filter(pl.col("position") == 0).join(people, on="systemuserid", how="semi").select("address")
    listed = team(users, graph).filter(pl.col("kind").is_in(["mail", "proxy"])).select("address")
    return pl.concat([texts, listed]).select(domain_of(pl.col("address")).alias("domain")).drop_nulls().unique()


def person_addresses(addresses: pl.LazyFrame, ranked: pl.LazyFrame, team: pl.LazyFrame, domains: list[str]) -> pl.LazyFrame:
    """Side and person of every address, sorted by address (N2, N5, N8, N9).

    `addresses`: those of the participants; `ranked`, `team`: see there; `domains`: the internal ones.
    """
    chosen = ranked.unique(["address", "record_type"], keep="first", maintain_order=True)
    ours = team.select("address").unique()
    wide = pl.concat([ranked.select("address"), addresses.select("address").drop_nulls(), ours]).unique()
    for kind, column in (("systemuser", "user_id"), ("contact", "contact_id"), ("lead", "lead_id"), ("account", "account_id")):
        one = chosen.filter(pl.col("record_type") == kind).select("address", pl.col("record_id").alias(column))
        wide = wide.join(one, on="address", how="left")
    ours = ours.with_columns(pl.lit(True).alias("is_graph"))
    wide = wide.join(ours, on="address", how="left").with_columns(domain_of(pl.col("address")).alias("domain"))
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
    return decided.select(
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


def team(users: pl.LazyFrame, graph: pl.LazyFrame) -> pl.LazyFrame:
    """Addresses of Graph users that are no guests (N5), as those of `graph_addresses`."""
    return graph.join(users.filter(pl.col("is_member") & ~pl.col("is_guest")), on="user_id", how="semi")


def ranked(records: pl.LazyFrame, tables: dict[str, pl.LazyFrame]) -> pl.LazyFrame:
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


def findings(ranked: pl.LazyFrame, decided: pl.LazyFrame) -> pl.LazyFrame:
    """Addresses that several records of the type that decided claim (N9): kind, address, chosen_id, candidate_count.

    `decided`: the rows of `person_addresses`.
    """
    counted = ranked.group_by("address", "record_type").agg(
        pl.col("record_id").first().alias("chosen_id"), pl.col("record_id").n_unique().cast(pl.Int64).alias("candidate_count")
    )
    rules = pl.LazyFrame(
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


def account_domains(accounts: pl.LazyFrame, records: pl.LazyFrame, domains: list[str]) -> pl.LazyFrame:
    """Domains that stand for an account (L9): account_id, domain; internal, free-mail and shared-host domains are left out."""
    own = accounts.filter(pl.col("accountid") == pl.col("master_id"))
    sites = own.select(pl.col("accountid").alias("account_id"), _website_domains(pl.col("websiteurl")).alias("domain"))
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


def _website_domains(urls: pl.Expr) -> pl.Expr:
    return urls.map_batches(lambda texts: pl.Series([website_domain(url) for url in texts.to_list()], dtype=pl.String), pl.String)
