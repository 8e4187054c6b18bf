"""Threads: emails connected by references and by conversations within one mailbox (N25, N26)."""

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

THREAD = {"activity_id": pl.String, "thread_id": pl.String}


def thread_links(assigned: pl.DataFrame, copies: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """What ties emails together: activity_id, node (a message id, or a conversation of one mailbox).

    `assigned`: copy, activity_id; `links`: copy, link.
    """
    held = copies.join(assigned, on="copy").select("activity_id", "user_id", "message_id", "conversation_id")
    own = held.filter(pl.col("message_id").is_not_null()).select("activity_id", pl.format("m:{}", "message_id").alias("node"))
    conversations = held.filter(pl.col("conversation_id").is_not_null() & pl.col("user_id").is_not_null()).select(
        "activity_id", pl.format("c:{}:{}", "user_id", "conversation_id").alias("node")
    )
    references = links.join(assigned, on="copy").select("activity_id", pl.format("m:{}", "link").alias("node"))
    return pl.concat([own, conversations, references]).unique()


def threads(activity_ids: pl.Series, links: pl.DataFrame) -> pl.DataFrame:
    """Every email and the smallest activity_id of the emails connected with it: activity_id, thread_id."""
    emails = activity_ids.unique().sort()
    if emails.is_empty():
        return pl.DataFrame(schema=THREAD)
    numbers = pl.DataFrame({"activity_id": emails, "email": np.arange(len(emails), dtype=np.int64)})
    tied = links.join(numbers, on="activity_id")
    nodes = tied.select("node").unique().with_row_index("place", offset=len(emails))
    tied = tied.join(nodes, on="node")
    size = len(emails) + nodes.height
    left, right = tied.get_column("email").to_numpy(), tied.get_column("place").to_numpy()
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    label = label[: len(emails)]
    # Emails are sorted, so the first of a label has its smallest activity_id.
    _, first, place = np.unique(label, return_index=True, return_inverse=True)
    return pl.DataFrame({"activity_id": emails, "thread_id": emails.gather(first[place])})
