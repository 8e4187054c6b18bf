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


def thread_ids(ids: pl.Series, tied: pl.DataFrame) -> pl.Series:
    """For each email (`ids`: its activity_id, each once) the smallest activity_id of the emails connected with it.

    `tied`: email (place in `ids`), node.
    """
    ordered = tied.sort("node")
    email, node = ordered.get_column("email").to_numpy(), ordered.get_column("node").to_numpy()
    # Emails that share a node follow each other here, and a chain connects them.
    is_chained = (node[1:] == node[:-1]) & (email[1:] != email[:-1])
    left, right = email[:-1][is_chained], email[1:][is_chained]
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(len(ids), len(ids)))
    _, label = connected_components(graph, directed=False)
    falling = ids.arg_sort(descending=True).to_numpy()
    smallest = np.empty(len(ids), dtype=np.uint32)
    # The last one written to a label is the smallest.
    smallest[label[falling]] = falling
    return ids.gather(smallest[label]).alias("thread_id")


def threads(activity_ids: pl.Series, tied: pl.DataFrame) -> pl.DataFrame:
    """Every email and the smallest activity_id of the emails connected with it: activity_id, thread_id.

    `tied`: activity_id, node.
    """
    emails = activity_ids.unique().to_frame("activity_id").with_row_index("email")
    return emails.select("activity_id", thread_ids(emails.get_column("activity_id"), tied.join(emails, on="activity_id")))
