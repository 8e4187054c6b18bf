"""Who is who, worked out once for all activities: the rules of `people`, in the order in which they build upon each other."""

from dataclasses import dataclass

import polars as pl

from jobs.normalise import activities, people


@dataclass(frozen=True)
class Identity:
    """`users`, their addresses (`graph`), the addresses of records, the first address of each, all addresses of the owners of
    mailboxes and the one that stands for each, systemusers with their Graph users (`linked`), the parties of Dataverse activities
    with their addresses, and the domains of the users: see `people` and `activities` for the columns."""

    users: pl.DataFrame
    graph: pl.DataFrame
    records: pl.DataFrame
    first: pl.DataFrame
    owners: pl.DataFrame
    owner_address: pl.DataFrame
    linked: pl.DataFrame
    party: pl.DataFrame
    domains: list[str]


def identified(tables: dict[str, pl.LazyFrame], users: pl.DataFrame) -> Identity:
    """Everybody in the Dataverse tables and among the Graph users (`people.graph_users`)."""
    members, systemusers = users.lazy(), tables["systemuser"]
    # Collected in steps: a plan that several others hold would be worked out in each of them.
    spelt = [people.graph_addresses(members), people.own_addresses(systemusers), people.merging_addresses(tables)]
    graph, own, merging = (frame.lazy() for frame in pl.collect_all(spelt))
    linked, domains, owner_address = pl.collect_all(
        [
            people.linked_users(systemusers, own, members, graph),
            people.team_domains(systemusers, own, members, graph),
            people.mailbox_address(graph),
        ]
    )
    of_users = people.user_addresses(own, members, graph, linked.lazy()).collect()
    records, owners = pl.collect_all(
        [
            people.record_addresses(of_users.lazy(), merging),
            people.mailbox_addresses(graph, of_users.lazy(), linked.lazy()),
        ]
    )
    first = people.first_addresses(tables, own, records.lazy()).collect()
    party = activities.parties(tables["activityparty"], first.lazy()).collect().lazy()
    return Identity(
        users,
        graph.collect(),
        records,
        first,
        owners,
        owner_address,
        linked,
        activities.with_named_senders(party, tables["email"], first.lazy()).collect(),
        domains.get_column("domain").to_list(),
    )
