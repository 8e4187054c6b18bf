"""Payloads as typed columns, against a plain reading of the same JSON (N52)."""

import json
import random
from typing import Any

import polars as pl
import pytest

from jobs.errors import RapportError
from jobs.normalise.payload import PERSON, decode

FIELDS = {
    "subject": pl.String,
    "isDraft": pl.String,
    "from": PERSON,
    "toRecipients": pl.List(PERSON),
    "headers": pl.List(pl.Struct({"name": pl.String, "value": pl.String})),
    "proxies": pl.List(pl.String),
}
TEXTS = ["ann@acme.example", "[list] hello", "{curly", "", "é 😀", 'quoted "to"', '"toRecipients"', "12", "true"]
NAMES = ["emailAddress", "name", "address", "value", "other"]


def anything(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(5 if depth < 3 else 2)
    if kind == 3:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 4:
        return {rng.choice(NAMES): anything(rng, depth + 1) for _ in range(rng.randrange(3))}
    return rng.choice([7, 2.5, True, False, None]) if kind == 2 else rng.choice(TEXTS)


def drawn(rng: random.Random, kind: Any, wrong: float) -> Any:
    if rng.random() < wrong:
        return anything(rng)
    if isinstance(kind, pl.Struct):
        return {field.name: drawn(rng, field.dtype, wrong) for field in kind.fields if rng.random() < 0.9}
    if isinstance(kind, pl.List):
        return [drawn(rng, kind.inner, wrong) for _ in range(rng.randrange(4))]
    return rng.choice(TEXTS)


def plain(value: Any, kind: Any) -> Any:
    if isinstance(kind, pl.List):
        items = value if isinstance(value, list) else [value]
        return None if value is None else [plain(item, kind.inner) for item in items]
    if isinstance(kind, pl.Struct):
        held = value if isinstance(value, dict) else {}
        return {field.name: plain(held.get(field.name), field.dtype) for field in kind.fields}
    if value is None or isinstance(value, list | dict):
        return None
    return value if isinstance(value, str) else json.dumps(value)


def filled(value: Any, kind: Any) -> Any:
    """What was read, with an absent object as one that holds nothing: no rule tells them apart."""
    if isinstance(kind, pl.List):
        return None if value is None else [filled(item, kind.inner) for item in value]
    if isinstance(kind, pl.Struct):
        return {field.name: filled((value or {}).get(field.name), field.dtype) for field in kind.fields}
    return value


@pytest.mark.parametrize("seed", range(8))
def test_n52_every_value_is_read_as_its_field_or_ignored(seed: int) -> None:
    rng = random.Random(seed)
    wrong = (seed % 4) * 0.02
    records = [{name: drawn(rng, kind, wrong) for name, kind in FIELDS.items() if rng.random() < 0.9} for _ in range(300)]
    records += [7, "text", [{"subject": "no record"}], None]
    read = decode(pl.Series([json.dumps(record) for record in records]), FIELDS)
    shape = pl.Struct(FIELDS)
    assert [filled(row, shape) for row in read.iter_rows(named=True)] == [plain(record, shape) for record in records]


def test_a_damaged_payload_is_named_without_its_content() -> None:
    with pytest.raises(RapportError, match="no JSON") as caught:
        decode(pl.Series(['{"subject":"secret plans"']), FIELDS)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
