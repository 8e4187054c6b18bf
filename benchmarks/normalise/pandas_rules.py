"""A peer of normalising: the core rules for mail in pandas, as a careful analyst would write them.

Covered: the last version of a record, drafts, canonical addresses, one row an email by message id with the sender's copy first,
roles and `delivered`, machine and bulk mail, threads, whose an address is. Not covered, and so not paid for: removals, calendars, calls and tasks,
Dataverse emails, mail without message id, rewritten senders, quarantine, conservation counts, months, a snapshot.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jobs.normalise.addresses import canonical_address

ROLES = ["sender", "to", "cc", "bcc", "delivered"]
RECIPIENTS = {"toRecipients": 1, "ccRecipients": 2, "bccRecipients": 3}
MACHINES = ("mailer-daemon", "postmaster", "no-reply", "noreply", "donotreply", "do-not-reply")


def normalise(home: str, out: str) -> dict[str, int]:
    """Write activity, activity_participant, activity_thread and person_address into `out`; gives their sizes."""
    raw = pd.read_parquet(
        Path(home) / "lake" / "raw", partitioning=None,
        columns=["source", "stream", "round", "page", "row", "op", "record_id", "payload", "received_at"],
    )  # fmt: skip
    raw = raw[raw["op"] == "upsert"].sort_values(["received_at", "round", "page", "row"], kind="stable")
    kinds = raw["stream"].astype(str).str.split("/", n=2, expand=True).reindex(columns=[0, 1, 2])
    raw = raw.assign(kind=kinds[0], user=kinds[1].str.lower(), folder=kinds[2])
    records = {kind: part.drop_duplicates(["user", "record_id"], keep="last") for kind, part in raw.groupby("kind", sort=False)}
    owners = _owners(records)
    copies, mentions, links = _parsed(records, owners)
    people = _participants(copies, mentions, owners)
    activity = _activities(copies)
    threads = _threads(copies, links)
    persons = _persons(people["address"].drop_duplicates(), records, owners)
    tables = {"activity": activity, "activity_participant": people, "activity_thread": threads, "person_address": persons}
    for name, frame in tables.items():
        frame.to_parquet(Path(out) / f"{name}.parquet", compression="zstd", index=False)
    return {"activities": len(activity), "participants": len(people), "threads": int(threads["thread_id"].nunique())}


def _payloads(records: dict[str, pd.DataFrame], kind: str) -> list[dict[str, Any]]:
    return [orjson.loads(text) for text in records[kind]["payload"]] if kind in records else []


def _owners(records: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Addresses of mailbox owners: user, address, is_main."""
    rows = []
    for user in _payloads(records, "users"):
        texts = [
            user.get("mail"),
            user.get("userPrincipalName"),
            *(user.get("proxyAddresses") or []),
            *(user.get("otherMails") or []),
        ]
        addresses = [a for a in map(canonical_address, texts) if a]
        rows += [(user["id"].lower(), a, i == 0) for i, a in enumerate(dict.fromkeys(addresses))]
    for user in _payloads(records, "systemusers"):
        if (address := canonical_address(user.get("internalemailaddress"))) and user.get("azureactivedirectoryobjectid"):
            rows.append((user["azureactivedirectoryobjectid"].lower(), address, False))
    return pd.DataFrame(rows, columns=["user", "address", "is_main"]).drop_duplicates(["user", "address"])


def _parsed(records: dict[str, pd.DataFrame], owners: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Copies, whom they mention (email, address, role), and what links them (email, node)."""
    sent = {(r["user"], r["record_id"]) for r, f in zip(records["mailFolders"].to_dict("records"), _payloads(records, "mailFolders"), strict=True)
            if f.get("wellKnownName") == "sentitems"}  # fmt: skip
    own = set(zip(owners["user"], owners["address"], strict=True))
    known: dict[str | None, str | None] = {}

    def address(person: dict[str, Any] | None) -> str | None:
        text = ((person or {}).get("emailAddress") or {}).get("address")
        if text not in known:
            known[text] = canonical_address(text)
        return known[text]

    copies, mentions, links = [], [], []
    message_ids: dict[tuple[str, str], str] = {}
    mail = records["messages"]
    for user, folder, record_id, text in zip(mail["user"], mail["folder"], mail["record_id"], mail["payload"], strict=True):
        message = orjson.loads(text)
        email = _message_id(message.get("internetMessageId"))
        if message.get("isDraft") or not email:
            continue
        message_ids[user, record_id] = email
        author, delegate, is_sent = address(message.get("from")), address(message.get("sender")), (user, folder) in sent
        headers = [(h["name"].strip().lower(), h["value"].strip()) for h in message.get("internetMessageHeaders") or []]
        is_automated, is_bulk = _signs(headers)
        is_senders = is_sent or (user, author) in own or (user, delegate) in own
        copies.append((email, user, record_id, message["sentDateTime"], author or delegate, is_senders,
                       is_automated or (author or "").split("@")[0] in MACHINES, is_bulk))  # fmt: skip
        for key, role in RECIPIENTS.items():
            mentions += [(email, found, role) for person in message.get(key) or [] if (found := address(person))]
        links.append((email, f"m:{email}"))
        if message.get("conversationId"):
            links.append((email, f"c:{user}:{message['conversationId']}"))
        links += [
            (email, f"m:{found}") for name, value in headers if name in ("in-reply-to", "references") for found in _ids(value)
        ]
    for row, listed in (
        zip(
            records["messageHeaders"][["user", "record_id"]].itertuples(index=False),
            _payloads(records, "messageHeaders"),
            strict=True,
        )
        if "messageHeaders" in records
        else ()
    ):
        if email := message_ids.get(tuple(row)):
            links += [
                (email, f"m:{found}") for one in listed.get("singleValueExtendedProperties") or [] for found in _ids(one["value"])
            ]
    frame = pd.DataFrame(
        copies, columns=["email", "user", "record_id", "sent", "sender", "is_senders", "is_automated", "is_bulk"]
    )
    frame["sent"] = pd.to_datetime(frame["sent"], utc=True, format="ISO8601").dt.floor("s")
    return (
        frame,
        pd.DataFrame(mentions, columns=["email", "address", "role"]),
        pd.DataFrame(links, columns=["email", "node"]).drop_duplicates(),
    )


def _message_id(text: str | None) -> str | None:
    return "".join((text or "").split()).strip("<>") or None


def _ids(text: str) -> list[str]:
    found = text.replace(">", " ").replace("<", " ").replace(",", " ").split()
    return [part for part in found if "@" in part]


def _signs(headers: list[tuple[str, str]]) -> tuple[bool, bool]:
    automated = bulk = False
    for name, value in headers:
        low = value.lower()
        automated |= (name == "auto-submitted" and low.split(";")[0].strip() not in ("", "no")) or name in (
            "x-autoreply",
            "x-autorespond",
        )
        automated |= (name == "precedence" and low == "auto_reply") or (name == "return-path" and low in ("", "<>"))
        bulk |= name in ("list-id", "list-unsubscribe", "feedback-id") or (
            name == "precedence" and low in ("bulk", "list", "junk")
        )
    return automated, bulk


def _activity_ids(emails: pd.Series) -> pd.Series:
    return emails.map({e: hashlib.sha256(f"email:{e}".encode()).hexdigest()[:32] for e in emails.unique()})


def _deciding(copies: pd.DataFrame) -> pd.DataFrame:
    """The copy of each email that gives its time and sender."""
    order = copies.assign(is_other=~copies["is_senders"]).sort_values(["is_other", "sent", "user", "record_id"], kind="stable")
    return order.drop_duplicates("email")


def _activities(copies: pd.DataFrame) -> pd.DataFrame:
    flags = copies.groupby("email", sort=False).agg(is_automated=("is_automated", "any"), is_bulk=("is_bulk", "all"))
    found = _deciding(copies)[["email", "sent"]].merge(flags, left_on="email", right_index=True)
    found = found.assign(activity_id=_activity_ids(found["email"])).rename(columns={"sent": "occurred_at"})
    return found[["activity_id", "occurred_at", "is_automated", "is_bulk"]].sort_values("activity_id")


def _participants(copies: pd.DataFrame, mentions: pd.DataFrame, owners: pd.DataFrame) -> pd.DataFrame:
    senders = _deciding(copies)[["email", "sender"]].dropna().rename(columns={"sender": "address"}).assign(role=0)
    rows = pd.concat([senders, mentions]).sort_values("role", kind="stable").drop_duplicates(["email", "address"])
    received = copies.loc[~copies["is_senders"], ["email", "user"]].drop_duplicates()
    named = (
        received.merge(owners, on="user")
        .merge(rows[["email", "address"]], on=["email", "address"])[["email", "user"]]
        .drop_duplicates()
    )
    missing = received.merge(named.assign(is_named=True), on=["email", "user"], how="left")
    missing = missing[missing["is_named"].isna()].merge(owners[owners["is_main"]], on="user")
    rows = pd.concat([rows, missing[["email", "address"]].assign(role=4)]).drop_duplicates(["email", "address"])
    found = rows.assign(activity_id=_activity_ids(rows["email"]), role=np.array(ROLES)[rows["role"].to_numpy()])
    return found[["activity_id", "address", "role"]].sort_values(["activity_id", "address"])


def _threads(copies: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    emails = pd.DataFrame({"email": copies["email"].unique()})
    emails = emails.assign(activity_id=_activity_ids(emails["email"])).sort_values("activity_id", ignore_index=True)
    place = pd.Series(emails.index, index=emails["email"])
    nodes, _ = pd.factorize(links["node"])
    size = len(emails) + nodes.max() + 1
    edges = (np.ones(len(links), np.int8), (links["email"].map(place).to_numpy(), nodes + len(emails)))
    _, label = connected_components(coo_array(edges, shape=(size, size)), directed=False)
    first = emails["activity_id"].groupby(label[: len(emails)]).transform("first")
    return pd.DataFrame({"activity_id": emails["activity_id"], "thread_id": first})


def _persons(addresses: pd.Series, records: dict[str, pd.DataFrame], owners: pd.DataFrame) -> pd.DataFrame:
    frame = pd.DataFrame({"address": addresses}).assign(domain=lambda f: f["address"].str.rsplit("@", n=1).str[-1])
    users = {canonical_address(u.get("internalemailaddress")): u["systemuserid"] for u in _payloads(records, "systemusers")}
    frame["user_id"] = frame["address"].map(users)
    domains = {a.rsplit("@", 1)[-1] for a in {*users, *owners["address"]} if a}
    is_ours = frame["user_id"].notna() | frame["address"].isin(owners["address"]) | frame["domain"].isin(domains)
    frame["side"] = np.where(is_ours, "us", "them")
    is_free = ~is_ours
    for kind, key in (("contacts", "contactid"), ("leads", "leadid"), ("accounts", "accountid")):
        found = {canonical_address(r.get(f"emailaddress{i}")): r[key] for r in _payloads(records, kind) for i in (3, 2, 1)}
        frame[key] = frame["address"].map(found).where(is_free)
        is_free &= frame[key].isna()
    return frame
