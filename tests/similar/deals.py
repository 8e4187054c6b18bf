"""Deal tables for tests: a few named attributes, everything else missing."""

import random
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from jobs.similar import Attribute, Rules
from jobs.similar.learn import DECIMALS

WEEK = date(2026, 7, 6)
SIZE = Attribute("size", "number")
COLOUR = Attribute("colour", "category")
BOTH = (SIZE, COLOUR)


def deal(deal_id: str, state: str, days: int = 100, **attributes: Any) -> dict[str, Any]:
    """One deal; closed ones closed `days` before the week."""
    close_date = None if state == "open" else WEEK - timedelta(days=days)
    return {"opportunity_id": deal_id, "state": state, "close_date": close_date, **attributes}


def table(rows: list[dict[str, Any]], attributes: tuple[Attribute, ...] = BOTH) -> pl.DataFrame:
    """The deal table of `rows`."""
    kinds = {a.name: pl.Float64 if a.kind == "number" else pl.String for a in attributes}
    schema = {"opportunity_id": pl.String, "state": pl.String, "close_date": pl.Date, **kinds}
    return pl.DataFrame(rows, schema=schema)


def closed(won: int, lost: int, **attributes: Any) -> list[dict[str, Any]]:
    """Won and lost deals that are all alike."""
    return [deal(f"w{n:03}", "won", **attributes) for n in range(won)] + [
        deal(f"x{n:03}", "lost", **attributes) for n in range(lost)
    ]


def random_rows(
    seed: int, attributes: tuple[Attribute, ...], opened: int = 25, won: int = 60, lost: int = 50
) -> list[dict[str, Any]]:
    """Deals with few distinct values, gaps and equal close dates, so that ties are frequent."""
    rng = random.Random(seed)
    rows = []
    for n in range(opened + won + lost):
        state = "open" if n < opened else "won" if n < opened + won else "lost"
        values: dict[str, Any] = {}
        for a in attributes:
            value = float(rng.randint(-1, 12)) if a.kind == "number" else rng.choice(["red", "blue", " red ", "", "green"])
            values[a.name] = None if rng.random() < 0.15 else value
        rows.append(deal(f"{rng.randrange(10**9):09}-{n}", state, rng.randint(1, 12) * 100, **values))
    rng.shuffle(rows)
    return rows


def by_hand(
    rows: list[dict[str, Any]], attributes: tuple[Attribute, ...], importance: dict[str, float], start: date, rules: Rules
) -> dict[str, list[tuple[str, float]]]:
    """The nearest won deals of each open deal, pair by pair in plain Python: id and distance."""

    def value(row: dict[str, Any], a: Attribute) -> Any:
        found = row[a.name]
        if a.kind == "number":
            return found if found is not None and found > 0 else None
        return (found or "").strip() or None

    training = [r for r in rows if r["state"] != "open" and r["close_date"] >= start]
    known = {a.name: [value(r, a) for r in training if value(r, a) is not None] for a in attributes}

    def difference(left: dict[str, Any], right: dict[str, Any], a: Attribute) -> float:
        x, y = value(left, a), value(right, a)
        if x is None or y is None:
            return 1.0
        if a.kind == "category":
            return float(x != y)
        rank = [
            (sum(v < z for v in known[a.name]) + 0.5 * sum(v == z for v in known[a.name])) / len(known[a.name]) for z in (x, y)
        ]
        return abs(rank[0] - rank[1])

    result = {}
    for o in (r for r in rows if r["state"] == "open"):
        scored = []
        for w in (r for r in training if r["state"] == "won"):
            distance = float(np.sum([importance[a.name] * difference(o, w, a) for a in attributes]))
            scored.append((round(distance, DECIMALS), -w["close_date"].toordinal(), w["opportunity_id"], distance))
        result[o["opportunity_id"]] = [
            (deal_id, distance)
            for rounded, _, deal_id, distance in sorted(scored)[: rules.similar_top]
            if rounded <= rules.similar_max_distance
        ]
    return result
