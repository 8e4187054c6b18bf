"""Mail folders: whether copies in them count, and whether they are sent mail (N14, N18)."""

import polars as pl

from jobs.normalise import replay
from jobs.normalise.payload import decode

NOT_MAIL = frozenset(
    [
        "drafts",
        "outbox",
        "junkemail",
        "conversationhistory",
        "syncissues",
        "conflicts",
        "localfailures",
        "serverfailures",
        "recoverableitemsdeletions",
    ]
)
SEARCH_FOLDER = "#microsoft.graph.mailSearchFolder"
SCHEMA = {"user_id": pl.String, "folder_id": pl.String, "counts": pl.Boolean, "is_sent": pl.Boolean, "is_there": pl.Boolean}


def folder_facts(rows: pl.DataFrame) -> pl.DataFrame:
    """Every folder ever seen: user_id, folder_id, counts and is_sent, which a folder takes from itself and all folders above it, and
    is_there.

    `rows`: those of the `mailFolders/<user>` streams. A folder that is gone keeps what it was, as its mail does (N54).
    """
    last = replay.last_known(rows, ["stream", "record_id"], merge=True)
    fields = {"parentFolderId": pl.String, "wellKnownName": pl.String, "@odata.type": pl.String}
    values = decode(last.get_column("payload"), fields)
    users = last.get_column("stream").str.split("/").list.get(1, null_on_oob=True).str.to_lowercase()
    known = {
        (user, name): (parent, (well_known or "").lower(), kind)
        for user, name, (parent, well_known, kind) in zip(
            users.to_list(), last.get_column("record_id").to_list(), values.iter_rows(), strict=True
        )
    }
    there = {(stream.partition("/")[2].lower(), name) for stream, name in replay.members(rows).iter_rows()}
    facts = [(user, name, *_facts(user, name, known), (user, name) in there) for user, name in sorted(known)]
    return pl.DataFrame(facts, schema=SCHEMA, orient="row")


def _facts(user: str, name: str, known: dict[tuple[str, str], tuple[str | None, str, str | None]]) -> tuple[bool, bool]:
    counts, is_sent, seen = True, False, set()
    current: str | None = name
    while current is not None and current not in seen and (user, current) in known:
        seen.add(current)
        parent, well_known, kind = known[user, current]
        counts = counts and well_known not in NOT_MAIL and kind != SEARCH_FOLDER
        is_sent = is_sent or well_known == "sentitems"
        current = parent
    return counts, is_sent
