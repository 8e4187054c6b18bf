"""Threads: emails connected by references and by conversations within one mailbox (N25, N26)."""

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

THREAD = {"activity_id": pl.String, "thread_id": pl.String}


def nodes(copies: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """What ties copies together: copy, node. A node is the hash of a message id, or of a conversation within one mailbox.

    `links`: copy, link.
    """
    own = copies.select("copy", pl.col("message_id").alias("link"))
    ids = pl.concat([own, links]).drop_nulls().select("copy", pl.col("link").hash(1).alias("node"))
    held = copies.filter(pl.col("conversation_id").is_not_null() & pl.col("user_id").is_not_null())
    conversations = held.select("copy", pl.concat_str("user_id", "conversation_id", separator=" ").hash(2).alias("node"))
    return pl.concat([ids, conversations]).unique()


def threads(activity_ids: pl.Series, tied: pl.DataFrame) -> pl.DataFrame:
    """Every email and the smallest activity_id of the emails connected with it: activity_id, thread_id.

    `tied`: activity_id, node.
    """
    emails = activity_ids.unique().sort()
    if emails.is_empty():
        return pl.DataFrame(schema=THREAD)
    numbers = pl.DataFrame({"activity_id": emails, "email": np.arange(len(emails), dtype=np.int64)})
    tied = tied.join(numbers, on="activity_id")
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
