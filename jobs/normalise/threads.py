"""Threads: emails connected by references and by conversations within one mailbox (N25, N26)."""

import numpy as np
import polars as pl
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

THREAD = {"activity_id": pl.String, "thread_id": pl.String}
ID_LENGTH = 32
ROWS_AT_A_TIME = 4_000_000


def nodes(copies: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """What ties copies together: copy, node. A node is the hash of a message id, or of a conversation within one mailbox.

    `links`: copy, link.
    """
    own = copies.select("copy", pl.col("message_id").alias("link"))
    ids = pl.concat([own, links]).drop_nulls().select("copy", pl.col("link").hash(1).alias("node"))
    held = copies.filter(pl.col("conversation_id").is_not_null() & pl.col("user_id").is_not_null())
    conversations = held.select("copy", pl.concat_str("user_id", "conversation_id", separator=" ").hash(2).alias("node"))
    return pl.concat([ids, conversations]).unique()


def edges(tied: list[pl.DataFrame]) -> pl.DataFrame:
    """Emails that share a node, in pairs that connect them all: left, right. `tied`: email (number), node."""
    parts = 1 + sum(map(len, tied)) // ROWS_AT_A_TIME
    return pl.concat([_edges(pl.concat([rows.filter(pl.col("node") % parts == part) for rows in tied])) for part in range(parts)])


def heads(order: np.ndarray, connected: pl.DataFrame) -> np.ndarray:
    """For each email the smallest one of those connected with it, as numbers of emails.

    `order`: the numbers of all emails, the smallest email first; `connected`: that of `edges`.
    """
    pairs = (connected.get_column("left").to_numpy(), connected.get_column("right").to_numpy())
    graph = coo_array((np.ones(connected.height, dtype=np.bool_), pairs), shape=(len(order), len(order)))
    _, label = connected_components(graph, directed=False)
    smallest = np.empty(len(order), dtype=np.uint32)
    # The last one written to a label is the smallest.
    smallest[label[order[::-1]]] = order[::-1]
    return smallest[label]


def _edges(tied: pl.DataFrame) -> pl.DataFrame:
    """`edges` of ties that hold every row of their nodes."""
    ordered = tied.sort("node")
    email, node = ordered.get_column("email").to_numpy(), ordered.get_column("node").to_numpy()
    # They follow each other here, and a chain connects them. To look for pairs that are there twice costs more than these do.
    is_chained = (node[1:] == node[:-1]) & (email[1:] != email[:-1])
    return pl.DataFrame({"left": email[:-1][is_chained], "right": email[1:][is_chained]})


def threads(activity_ids: pl.Series, tied: pl.DataFrame) -> pl.DataFrame:
    """Every email and the smallest activity_id of the emails connected with it: activity_id, thread_id.

    `tied`: activity_id, node.
    """
    ids = activity_ids.unique()
    emails = ids.to_frame("activity_id").with_row_index("email")
    found = heads(ids.arg_sort().to_numpy(), edges([tied.join(emails, on="activity_id").select("email", "node")]))
    return emails.select("activity_id", ids.gather(found).alias("thread_id"))


def numbers_of(ids: pl.Series) -> np.ndarray:
    """Activity ids as two numbers each, which are in the order of the ids and a third of their size."""
    return np.frombuffer(bytes.fromhex("".join(ids.to_list())), dtype=">u8").astype(np.uint64).reshape(-1, 2)


def ids_of(numbers: np.ndarray) -> pl.Series:
    """The activity ids that some numbers (`numbers_of`) stand for."""
    texts = pa.py_buffer(numbers.astype(">u8").tobytes().hex().encode())
    ends = pa.py_buffer(np.arange(0, len(numbers) * ID_LENGTH + 1, ID_LENGTH, dtype=np.int64))
    return pl.Series(pl.from_arrow(pa.LargeStringArray.from_buffers(len(numbers), ends, texts)))
