"""Payloads of the raw log as typed columns.

Every scalar is read as text, so that a number where a text belongs breaks nothing; casts come later and turn what does not fit
into null (a broken part is ignored and the record kept, N52).
"""

from typing import Any

import orjson
import polars as pl

BATCH = 50_000
TEXT = pl.String
PERSON = pl.Struct({"emailAddress": pl.Struct({"name": TEXT, "address": TEXT})})
LOCAL_TIME = pl.Struct({"dateTime": TEXT, "timeZone": TEXT})
ANSWER = pl.Struct({"response": TEXT, "time": TEXT})


def decode(payload: pl.Series, fields: dict[str, Any]) -> pl.DataFrame:
    """One column a field, null where the key is absent or its value has another shape than the field's."""
    shape = pl.Struct(fields)
    parts = [payload.slice(start, BATCH).to_frame("payload") for start in range(0, len(payload), BATCH)]
    if not parts:
        return pl.DataFrame(schema=fields)
    try:
        # Lazy frames one below the other are decoded at the same time, one a thread.
        return pl.concat([_decoded(part, shape) for part in parts]).collect()
    except pl.exceptions.ComputeError:
        return pl.concat([_mended(part, shape) for part in parts])


def _decoded(part: pl.DataFrame, shape: pl.Struct) -> pl.LazyFrame:
    return part.lazy().select(pl.col("payload").str.json_decode(shape)).unnest("payload")


def _mended(part: pl.DataFrame, shape: pl.Struct) -> pl.DataFrame:
    """Some row of some part has a value of another shape: what does not fit is taken out, row by row."""
    try:
        return _decoded(part, shape).collect()
    except pl.exceptions.ComputeError:
        texts = [orjson.dumps(_fit(orjson.loads(text), shape)).decode() for text in part.get_column("payload").to_list()]
        return _decoded(pl.DataFrame({"payload": texts}, schema={"payload": pl.String}), shape).collect()


def _fit(value: Any, shape: Any) -> Any:
    if value is None:
        return None
    if isinstance(shape, pl.Struct):
        return {f.name: _fit(value.get(f.name), f.dtype) for f in shape.fields} if isinstance(value, dict) else None
    if isinstance(shape, pl.List):
        return [_fit(item, shape.inner) for item in (value if isinstance(value, list) else [value])]
    return None if isinstance(value, dict | list) else value


def merged(payloads: list[str]) -> str:
    """Rows of one id as one record: a missing key keeps the older value, null overwrites (N53)."""
    record: dict[str, Any] = {}
    for text in payloads:
        record.update(orjson.loads(text))
    return orjson.dumps(record).decode()


def boolean(text: pl.Expr) -> pl.Expr:
    """A JSON boolean; null for anything else."""
    return pl.when(text == "true").then(True).when(text == "false").then(False)


def whole(text: pl.Expr) -> pl.Expr:
    """A whole number; null for anything else."""
    return text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
