"""A raw log of many mailbox copies, as the extractors would have landed it: input of the benchmark `normalise`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.columns import guids, hex_texts, iso, numbered
from jobs.extract.files import SCHEMA, stream_folder, write_durably
from sandbox.company.folder import LOGICAL_NAME

LAST = int(datetime(2026, 7, 6, tzinfo=UTC).timestamp())
YEAR = 365 * 86_400
PAGE = 500
_USERS_AT_A_TIME = 50


@dataclass
class RawLog:
    """A world of `copies` mailbox copies and `new_copies` more of the day after; the same arguments give the same world.

    Threads have one to three colleagues and, three times in four, one or two outsiders; a tenth of the emails are newsletters,
    a few are automatic answers. Every colleague in a thread holds a copy. The systemusers, accounts and contacts of Dataverse stand
    beside the mailboxes.
    """

    copies: int = 1_000_000
    new_copies: int = 3_000
    seed: int = 7

    def write(self, home: Path) -> int:
        """Write the first, full round of every stream; gives the number of mailbox copies in it."""
        self._write_crm(home)
        self._write_graph_users(home)
        return self._write_mail(home, is_day=False)

    def write_day(self, home: Path) -> int:
        """Write a delta round with the copies of the day after; gives their number."""
        return self._write_mail(home, is_day=True)

    @cached_property
    def users(self) -> pl.DataFrame:
        """Colleagues: id, address, mail as JSON, folder ids."""
        count = max(8, (self.copies + self.new_copies) // 2_500)
        rng = np.random.default_rng((self.seed, 1))
        return pl.DataFrame(
            {
                "user_id": guids(rng, count),
                "systemuser_id": guids(rng, count),
                "address": numbered("user", count, "@nordwerk.example"),
                "name": numbered("User ", count),
            }
        ).with_columns(
            person=_person(),
            inbox=pl.format("AQMk{}inbox", hex_texts(rng, count, 40)),
            sent=pl.format("AQMk{}sent", hex_texts(rng, count, 40)),
        )

    @cached_property
    def outsiders(self) -> pl.DataFrame:
        """Outsiders; the first half are contacts of Dataverse."""
        count = max(40, (self.copies + self.new_copies) // 40)
        account = pl.int_range(count) % max(10, count // 8)
        address = pl.format("person{}@firm{}.example", pl.int_range(count), account)
        rng = np.random.default_rng((self.seed, 2))
        frame = pl.select(address=address, name=pl.format("Person {}", pl.int_range(count)), account=account, person=pl.lit(""))
        return frame.with_columns(person=_person(), contact_id=guids(rng, count))

    @cached_property
    def _threads(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((self.seed, 3))
        total = self.copies + self.new_copies
        count = max(20, int(total / 5.2))
        users, outsiders = self.users.height, self.outsiders.height
        first = rng.integers(users, size=count)
        second = (first + 1 + rng.integers(users - 1, size=count)) % users
        third = (second + 1) % users
        is_internal = rng.random(count) < 0.25
        draws = rng.random((count, 3))
        return {
            "user0": first,
            "user1": np.where(is_internal | (draws[:, 0] < 0.35), second, -1),
            "user2": np.where((draws[:, 1] < 0.15) & (third != first), third, -1),
            "other0": np.where(is_internal, -1, rng.integers(outsiders, size=count)),
            "other1": np.where(is_internal | (draws[:, 2] < 0.7), -1, rng.integers(outsiders, size=count)),
            "is_bulk": (rng.random(count) < 0.25) & ~is_internal,
            "starts": LAST - YEAR + rng.integers(YEAR + 86_400, size=count),
            "length": np.minimum(1 + rng.geometric(0.33, size=count), 20),
        }  # fmt: skip

    @cached_property
    def _emails(self) -> pl.DataFrame:
        """One row an email, as numbers: who sends, which email it answers, when it was sent."""
        rng = np.random.default_rng((self.seed, 4))
        threads = self._threads
        length = np.where(threads["is_bulk"], 1, threads["length"])
        thread = np.repeat(np.arange(len(length)), length)
        begin = np.repeat(np.cumsum(length) - length, length)
        place = np.arange(len(thread)) - begin
        gaps = rng.exponential(30_000, size=len(thread)).astype(np.int64) + 60
        elapsed = np.cumsum(np.where(place == 0, 0, gaps))
        sent = threads["starts"][thread] + elapsed - elapsed[begin]
        is_ours = (rng.random(len(thread)) < np.where(place % 2 == 0, 0.6, 0.45)) & ~threads["is_bulk"][thread]
        return pl.DataFrame(
            {
                "email": np.arange(len(thread)),
                "thread": thread,
                "first": begin,
                "place": place,
                "sent": sent,
                "is_ours": is_ours | (threads["other0"][thread] < 0),
                "is_automated": rng.random(len(thread)) < 0.02,
            }
        )

    def _copies(self) -> pl.DataFrame:
        """One row a copy: email, owner, sent or received; in order of time, the last `new_copies` are the day after."""
        emails, threads = self._emails, self._threads
        index = emails["thread"].to_numpy()
        parts = []
        for slot in ("user0", "user1", "user2"):
            owner = threads[slot][index]
            is_sent = emails["is_ours"].to_numpy() & (slot == "user0")
            part = emails.select("email", "sent").with_columns(owner=pl.Series(owner), is_sent=pl.Series(is_sent))
            bulk = pl.Series(threads["is_bulk"][index])
            parts.append(part.filter((pl.col("owner") >= 0) & ~(bulk & pl.lit(slot != "user0"))))
        every = pl.concat(parts).sort("sent", "email", "owner").head(self.copies + self.new_copies)
        if every.height < self.copies + self.new_copies:
            raise AssertionError(f"{every.height} copies made, {self.copies + self.new_copies} wanted")
        return every.with_columns(copy=pl.int_range(pl.len()), is_day=pl.int_range(pl.len()) >= pl.len() - self.new_copies)

    def _write_mail(self, home: Path, *, is_day: bool) -> int:
        message_ids, subjects, conversations = self._texts()
        copies = self._copies().filter(pl.col("is_day") == is_day)
        number = 2 if is_day else 1
        for low in range(0, self.users.height, _USERS_AT_A_TIME):
            block = copies.filter(pl.col("owner").is_between(low, low + _USERS_AT_A_TIME - 1))
            rows = self._payloads(block, message_ids, subjects, conversations)
            for owner in range(low, min(low + _USERS_AT_A_TIME, self.users.height)):
                user = self.users.row(owner, named=True)
                mine = rows.filter(pl.col("owner") == owner)
                for is_sent, folder in ((False, user["inbox"]), (True, user["sent"])):
                    records = mine.filter(pl.col("is_sent") == is_sent)
                    if records.height or not is_day:
                        _write_stream(home, "graph", f"messages/{user['user_id']}/{folder}", records, number)
                replies = mine.filter(pl.col("is_sent") & pl.col("listed").is_not_null()).with_columns(payload="listed")
                if replies.height:
                    _write_stream(home, "graph", f"messageHeaders/{user['user_id']}/{user['sent']}", replies, number, kind="list")
        return copies.height

    def _texts(self) -> tuple[pl.Series, pl.Series, pl.Series]:
        rng = np.random.default_rng((self.seed, 5))
        emails, threads = self._emails.height, len(self._threads["starts"])
        message_ids = pl.select(pl.format("<{}@mail.example>", hex_texts(rng, emails, 32))).to_series()
        return message_ids, hex_texts(rng, threads, 64), hex_texts(rng, threads, 32)

    def _payloads(
        self, block: pl.DataFrame, message_ids: pl.Series, subjects: pl.Series, conversations: pl.Series
    ) -> pl.DataFrame:
        """The landed JSON of each copy, put together from texts that hold no character JSON would escape."""
        joined = block.join(self._emails.drop("sent"), on="email", maintain_order="left")
        threads, thread = self._threads, joined["thread"].to_numpy()
        user_json, other_json = self.users["person"], self.outsiders["person"]

        def user(slot: str) -> pl.Series:
            return _gather(user_json, threads[slot][thread])

        def other(slot: str) -> pl.Series:
            return _gather(other_json, threads[slot][thread])

        ours, theirs = user("user0"), pl.select(pl.coalesce(other("other0"), user("user1"))).to_series()
        is_first = joined["place"] == 0
        parent = pl.select(pl.when(~is_first).then(message_ids.gather(np.maximum(joined["email"].to_numpy() - 1, 0)))).to_series()
        root = message_ids.gather(joined["first"])
        chain = pl.select(pl.when(joined["place"] > 1).then(pl.format("{} {}", root, parent)).otherwise(parent)).to_series()
        frame = joined.select("owner", "is_sent", "sent", "copy", "is_ours", "is_automated").with_columns(
            ours=ours, theirs=theirs, cc=_cc(other("other1"), pl.select(pl.when(pl.Series(threads["other0"][thread] >= 0)).then(user("user1"))).to_series(), user("user2")),
            message_id=message_ids.gather(joined["email"]), subject=subjects.gather(thread), conversation=conversations.gather(thread), parent=parent, chain=chain,
            is_bulk=pl.Series(threads["is_bulk"][thread]), at=iso(joined["sent"].to_numpy()), received=iso(joined["sent"].to_numpy() + 5),
            folder=pl.select(pl.when(joined["is_sent"]).then(self.users["sent"].gather(joined["owner"])).otherwise(self.users["inbox"].gather(joined["owner"]))).to_series(),
        )  # fmt: skip
        return frame.with_columns(record_id=_record_id()).select(
            "owner", "is_sent", "record_id", payload=_message(), listed=_listed()
        )

    def _write_graph_users(self, home: Path) -> None:
        payload = _json(
            id="user_id", mail="address", userPrincipalName="address", proxyAddresses=pl.concat_list(pl.concat_str(pl.lit("SMTP:"), "address")),
            userType=pl.lit("Member"), accountEnabled=pl.lit(True),
        )  # fmt: skip
        _write_stream(home, "graph", "users", self.users.select(record_id="user_id", payload=payload), 1)
        for user in self.users.iter_rows(named=True):
            folders = pl.DataFrame({"record_id": [user["inbox"], user["sent"]], "name": ["inbox", "sentitems"]})
            payload = pl.concat_str(
                pl.lit('{"id":"'),
                "record_id",
                pl.lit('","parentFolderId":"root","wellKnownName":"'),
                "name",
                pl.lit('","isHidden":false}'),
            )
            _write_stream(home, "graph", f"mailFolders/{user['user_id']}", folders.select("record_id", payload=payload), 1)

    def _write_crm(self, home: Path) -> None:
        users = self.users.select(
            record_id="systemuser_id",
            payload=_json(
                systemuserid="systemuser_id",
                fullname="name",
                internalemailaddress="address",
                azureactivedirectoryobjectid="user_id",
                modifiedon=pl.lit("2026-01-01T00:00:00Z"),
            ),
        )
        _write_stream(home, "dataverse", "systemusers", users, 1)
        rng = np.random.default_rng((self.seed, 6))
        count = self.outsiders["account"].n_unique()
        accounts = pl.DataFrame({"record_id": guids(rng, count), "number": range(count)})
        payload = _json(
            accountid="record_id",
            name=pl.format("Firm {}", "number"),
            websiteurl=pl.format("https://www.firm{}.example", "number"),
        )
        _write_stream(home, "dataverse", "accounts", accounts.select("record_id", payload=payload), 1)
        contacts = self.outsiders.head(self.outsiders.height // 2).with_columns(
            parent=accounts["record_id"].gather(self.outsiders["account"].head(self.outsiders.height // 2))
        )
        payload = _json(
            contactid="contact_id",
            fullname="name",
            emailaddress1="address",
            _parentcustomerid_value="parent",
            **{f"_parentcustomerid_value{LOGICAL_NAME}": pl.lit("account")},
        )
        _write_stream(home, "dataverse", "contacts", contacts.select(record_id="contact_id", payload=payload), 1)


def _json(**keys: pl.Expr | str) -> pl.Expr:
    return pl.struct(**keys).struct.json_encode()


def _person() -> pl.Expr:
    return pl.concat_str(pl.lit('{"emailAddress":{"name":"'), "name", pl.lit('","address":"'), "address", pl.lit('"}}'))


def _gather(texts: pl.Series, index: np.ndarray) -> pl.Series:
    return pl.select(pl.when(pl.Series(index) >= 0).then(texts.gather(np.maximum(index, 0)))).to_series()


def _cc(*people: pl.Series) -> pl.Series:
    return pl.select(pl.concat_str(*people, separator=",", ignore_nulls=True)).to_series()


def _record_id() -> pl.Expr:
    return pl.concat_str(pl.lit("AAMkADQx"), pl.col("copy").cast(pl.String).str.zfill(12), pl.lit("bE-_"), pl.col("conversation"))


def _message() -> pl.Expr:
    sender = pl.when("is_ours").then("ours").otherwise("theirs")
    header = pl.lit('{"name":"')
    headers = pl.concat_str(
        pl.when(pl.col("parent").is_not_null()).then(pl.concat_str(header, pl.lit('In-Reply-To","value":"'), "parent", pl.lit('"},'), header, pl.lit('References","value":"'), "chain", pl.lit('"}'))),
        pl.when("is_bulk").then(pl.concat_str(header, pl.lit('List-Unsubscribe","value":"<mailto:leave@letter.example>"}'))),
        pl.when("is_automated").then(pl.concat_str(header, pl.lit('Auto-Submitted","value":"auto-replied"}'))),
        separator=",", ignore_nulls=True,
    )  # fmt: skip
    return pl.concat_str(
        pl.lit('{"id":"'), "record_id", pl.lit('","internetMessageId":"'), "message_id", pl.lit('","conversationId":"AAQk'), "conversation", pl.col("owner").cast(pl.String),
        pl.lit('","subject_key":"'), "subject", pl.lit('","from":'), sender, pl.lit(',"sender":'), sender,
        pl.lit(',"toRecipients":['), pl.when("is_ours").then("theirs").otherwise("ours"), pl.lit('],"ccRecipients":['), "cc", pl.lit('],"bccRecipients":[],"replyTo":[],"sentDateTime":"'), "at",
        pl.lit('","receivedDateTime":"'), "received", pl.lit('","lastModifiedDateTime":"'), "received", pl.lit('","isDraft":false,"parentFolderId":"'), "folder",
        pl.when("is_sent").then(pl.lit('"}')).otherwise(pl.concat_str(pl.lit('","internetMessageHeaders":['), headers, pl.lit("]}"))),
    )  # fmt: skip


def _listed() -> pl.Expr:
    """What the list pass gives for two thirds of the sent replies."""
    is_listed = pl.col("parent").is_not_null() & (pl.col("copy") % 3 > 0)
    text = pl.concat_str(
        pl.lit('{"id":"'), "record_id", pl.lit('","internetMessageId":"'), "message_id", pl.lit('","lastModifiedDateTime":"'), "received",
        pl.lit('","singleValueExtendedProperties":[{"id":"String 0x1042","value":"'), "parent", pl.lit('"},{"id":"String 0x1039","value":"'), "chain", pl.lit('"}]}'),
    )  # fmt: skip
    return pl.when(is_listed).then(text)


def _pages(records: pl.DataFrame, number: int, kind: str, started: datetime) -> Iterator[pl.DataFrame]:
    count = max(1, -(-records.height // PAGE))
    for page in range(count):
        part = records.slice(page * PAGE, PAGE)
        is_last = page == count - 1
        link = None if kind == "list" and is_last else f"/v1.0/next?round={number}&page={page + 1}"
        facts = {"received": part.height, "dropped": {}, "unknown_keys": {}} | (
            {"last_complete_at": started.isoformat()} if is_last else {}
        )
        head = pl.select(
            page=page, row=0, op=pl.lit("page"), record_id=pl.lit(None, pl.String), payload=pl.lit(json.dumps(facts)),
            link_next=pl.lit(link, pl.String), link_kind=pl.lit(("none" if kind == "list" else "delta") if is_last else "next"),
        )  # fmt: skip
        yield head
        yield part.select(
            page=page, row=pl.int_range(1, pl.len() + 1, dtype=pl.Int32), op=pl.lit("upsert"), record_id="record_id", payload="payload",
            link_next=pl.lit(None, pl.String), link_kind=pl.lit(None, pl.String),
        )  # fmt: skip


def _write_stream(home: Path, source: str, stream: str, records: pl.DataFrame, number: int, kind: str | None = None) -> None:
    kind = kind or ("full" if number == 1 else "delta")
    started = datetime.fromtimestamp(LAST + (number - 1) * 86_400, UTC)
    frame = pl.concat(list(_pages(records, number, kind, started)), how="vertical_relaxed").with_columns(
        source=pl.lit(source), stream=pl.lit(stream), round=pl.lit(number, pl.Int64), round_kind=pl.lit(kind), round_started_at=pl.lit(started), window_start=None, window_end=None,
        run_id=pl.lit(f"benchmark-{number}"), received_at=pl.lit(started),
    )  # fmt: skip
    folder = stream_folder(home, source, stream)
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / f"{number:08d}-{0:08d}.parquet", frame.select(SCHEMA.names).to_arrow().cast(SCHEMA))
