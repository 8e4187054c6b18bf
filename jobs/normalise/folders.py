"""Mail folders: whether copies in them count, and whether they are sent mail (N14, N18)."""

import polars as pl

from jobs.normalise import replay
from jobs.normalise.frame import Frame
from jobs.normalise.payload import decoded

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


FIELDS = {"parentFolderId": pl.String, "wellKnownName": pl.String, "@odata.type": pl.String}
INHERITED = pl.Struct({"counts": pl.Boolean, "is_sent": pl.Boolean})


def folder_facts(rows: Frame) -> Frame:
    """Every folder ever seen: user_id, folder_id, counts and is_sent, which a folder takes from itself and all folders above it, and
    is_there.

    `rows`: those of the `mailFolders/<user>` streams. A folder that is gone keeps what it was, as its mail does (N54).
    """
    folder = (pl.col("stream").str.split("/").list.get(1, null_on_oob=True).str.to_lowercase().alias("user_id"), "record_id")
    key = ["user_id", "record_id"]
    last = replay.last_known(rows, ["stream", "record_id"], merge=True)
    known = (
        last.select(*folder, decoded(pl.col("payload"), FIELDS)).unnest("payload").unique(key, keep="last", maintain_order=True)
    )
    there = replay.members(rows).select(*folder, pl.lit(True).alias("is_there")).unique()
    above = pl.struct(*key, *FIELDS).map_batches(_inherited, return_dtype=INHERITED).alias("__inherited")
    facts = known.with_columns(above).unnest("__inherited").join(there, on=key, how="left")
    named = facts.rename({"record_id": "folder_id"}).with_columns(pl.col("is_there").fill_null(False))
    return named.select(SCHEMA.keys()).sort("user_id", "folder_id")


def _inherited(folders: pl.Series) -> pl.Series:
    rows = folders.struct.unnest().rows()
    known = {(user, name): (parent, (well_known or "").lower(), kind) for user, name, parent, well_known, kind in rows}
    facts = [_facts(user, name, known) for user, name, *_ in rows]
    return pl.DataFrame(facts, schema=INHERITED.to_schema(), orient="row").to_struct()


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
