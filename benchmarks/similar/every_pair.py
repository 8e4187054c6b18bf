"""The nearest won deals by computing every pair in NumPy, an open deal at a time."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.similar.rapport import TOP, outcome


def search(folder: str, opened: int) -> dict[str, Any]:
    """The first `opened` open deals; ties go to the won deal that comes first."""
    encoded = np.load(Path(folder) / "encoded.npz")
    won = np.ascontiguousarray(encoded["won"].T)
    is_number, importance = encoded["is_number"], encoded["importance"]
    found, distances = [], []
    for deal in encoded["opened"][:opened]:
        distance = np.zeros(won.shape[1])
        for value, column, number, weight in zip(deal, won, is_number, importance, strict=True):
            apart = np.abs(column - value) if number else column != value
            distance += weight * apart
        rounded = np.round(distance, 9)
        limit = np.partition(rounded, TOP - 1)[TOP - 1]
        near = np.flatnonzero(rounded <= limit)
        near = near[np.argsort(rounded[near], kind="stable")][:TOP]
        found.append(near)
        distances.append(distance[near])
    return outcome(np.concatenate(found), np.concatenate(distances))
