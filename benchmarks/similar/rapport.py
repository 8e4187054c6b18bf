"""The job itself, and its search alone on an encoding that the peers can read too."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.deals import WEEK, deal_table
from benchmarks.similar import PEER_DEALS
from jobs.similar import Rules, attributes_of, match_deals
from jobs.similar.attributes import clean, numeric, with_ranks
from jobs.similar.learn import learn
from jobs.similar.match import training_start
from jobs.similar.neighbours import nearest

TOP, MAX_DISTANCE = 10, 1.0


def prepare(folder: str, opened: int) -> None:
    """Write the table of deals, and its encoding with missing numbers in the middle, because city-block distance knows no gaps."""
    table = deal_table(opened, 4 * opened, 2 * opened)
    table.write_parquet(Path(folder) / "deals.parquet")
    attributes = attributes_of([])
    deals = clean(table.sort("opportunity_id"), attributes)
    values = numeric(deals, attributes)
    state = deals["state"].to_numpy()
    training = (state != "open") & (deals["close_date"] >= training_start(WEEK)).fill_null(False).to_numpy()
    ranks = with_ranks(values, values[training], attributes)
    is_number = np.array([a.kind == "number" for a in attributes])
    ranks = np.where(np.isnan(ranks) & is_number, 0.5, ranks)
    learned = learn(values[training], state[training] == "won", attributes, Rules())
    won = (
        deals.with_row_index("row")
        .filter(pl.Series(training & (state == "won")))
        .sort("close_date", "opportunity_id", descending=[True, False])
    )
    np.savez(
        Path(folder) / "encoded.npz",
        opened=ranks[state == "open"],
        won=ranks[won["row"].to_numpy()],
        is_number=is_number,
        importance=learned.importance,
    )


def match(folder: str) -> dict[str, Any]:
    """Everything from the table to pairs with reasons, on two threads."""
    return _matched(folder, Rules())


def match_equal(folder: str) -> dict[str, Any]:
    """The same with equal weights, where less can be ruled out."""
    return _matched(folder, Rules(similar_min_lost=10**9))


def _matched(folder: str, rules: Rules) -> dict[str, Any]:
    result = match_deals(pl.read_parquet(Path(folder) / "deals.parquet"), attributes_of([]), WEEK, rules, threads=2)
    return {"mode": result.mode, "pairs": result.pairs.height}


def search(folder: str, threads: int) -> dict[str, Any]:
    """The nearest won deals of every open deal."""
    encoded = np.load(Path(folder) / "encoded.npz")
    found = nearest(
        encoded["opened"],
        encoded["won"],
        encoded["is_number"],
        encoded["importance"],
        top=TOP,
        max_distance=MAX_DISTANCE,
        threads=threads,
    )
    return outcome(found.won_row, found.distance)


def outcome(won_row: np.ndarray, distance: np.ndarray) -> dict[str, Any]:
    """What can be compared: the mean distance and a digest of the deals found for the first open deals."""
    first = PEER_DEALS * TOP
    digest = hashlib.sha256(np.ascontiguousarray(won_row[:first], dtype=np.int64).tobytes()).hexdigest()
    return {"distance": float(distance[:first].mean()), "deals": digest}
