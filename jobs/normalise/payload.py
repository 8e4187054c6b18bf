"""Payloads of the raw log as typed columns.

Every scalar is read as text, so that a number where a text belongs breaks nothing; casts come later and turn what does not fit
into null (a broken part is ignored and the record kept, N52).
"""

import json
from functools import cache
from typing import Any

import duckdb
import orjson
import polars as pl
import pyarrow.dataset  # noqa: F401  (DuckDB loads it for its first table, in the midst of the work)

from jobs.errors import RapportError

BATCH = 50_000
TEXT = pl.String
PERSON = pl.Struct({"emailAddress": pl.Struct({"name": TEXT, "address": TEXT})})
LOCAL_TIME = pl.Struct({"dateTime": TEXT, "timeZone": TEXT})
ANSWER = pl.Struct({"response": TEXT, "time": TEXT})


def decoded(payload: pl.Expr, fields: dict[str, Any]) -> pl.Expr:
    """Records as `decode` reads them: an object of the fields."""
    return payload.map_batches(
        lambda texts: decode(texts, fields).to_struct(), return_dtype=pl.Struct(fields), is_elementwise=True
    )


def decode(payload: pl.Series, fields: dict[str, Any]) -> pl.DataFrame:
    """One column a field, null where the key is absent or its value has another shape than the field's."""
    parts = [payload.slice(start, BATCH) for start in range(0, len(payload), BATCH)]
    return pl.concat([pl.DataFrame(schema=fields), *(_decoded(part, fields) for part in parts)])


def _decoded(part: pl.Series, fields: dict[str, Any]) -> pl.DataFrame:
    values = _read(part, fields)
    odd = _maybe_other(values, fields, part)
    if odd.is_empty():
        return values
    texts = [orjson.dumps(_fit(orjson.loads(text), pl.Struct(fields))).decode() for text in part.gather(odd).to_list()]
    mended = _read(pl.Series("payload", texts, dtype=pl.String), fields)
    place = pl.Series("place", range(len(part)), dtype=odd.dtype)
    others = ~place.is_in(odd.implode())
    order = pl.concat([place.filter(others), odd]).arg_sort()
    return pl.concat([values.filter(others), mended]).select(pl.all().gather(order))


def _read(part: pl.Series, fields: dict[str, Any]) -> pl.DataFrame:
    """The fields as DuckDB reads them: a list or an object where a text belongs as its JSON text, a single value for a list as null."""
    table = part.to_frame("payload").to_arrow(compat_level=pl.CompatLevel.newest())
    payload = duckdb.from_arrow(table, connection=_duckdb().cursor())
    shape = json.dumps({name: _duckdb_shape(kind) for name, kind in fields.items()})
    # A quote in a field's name must not end the text of the query.
    quoted = shape.replace("'", "''")
    try:
        values = pl.DataFrame(payload.project(f"unnest(from_json(payload, '{quoted}'))").to_arrow_table())
    except duckdb.InvalidInputException:
        # DuckDB's own text quotes the record.
        message = "a payload in the raw log is no JSON: the file is damaged; restore it, or remove the log and extract anew"
        raise RapportError(message) from None
    return values.select([pl.col(name).cast(kind) for name, kind in fields.items()])


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def _duckdb_shape(kind: Any) -> Any:
    if isinstance(kind, pl.Struct):
        return {field.name: _duckdb_shape(field.dtype) for field in kind.fields}
    return [_duckdb_shape(kind.inner)] if isinstance(kind, pl.List) else "VARCHAR"


def _maybe_other(values: pl.DataFrame, fields: dict[str, Any], payload: pl.Series) -> pl.Series:
    """Places of the records that may hold a value of another shape than its field."""
    lists = [name for name, kind in fields.items() if isinstance(kind, pl.List)]
    found = [_nested(values)]
    for name in lists:
        absent = values.get_column(name).is_null().arg_true()
        found.append(absent.filter(payload.gather(absent).str.contains(f'"{name}"', literal=True)))
    return pl.concat(found).unique().sort()


def _nested(values: pl.DataFrame) -> pl.Series:
    """Places of texts, within lists and objects too, that look like a list or an object."""
    leaves = [leaf for name, kind in values.schema.items() for leaf in _leaves(pl.col(name), kind)]
    signs = [text.str.starts_with(sign) for text, kind in leaves if kind == pl.String for sign in "{["]
    found = [values.select(pl.any_horizontal(False, *signs).fill_null(False).arg_true().alias("place")).to_series()]
    for items, kind in leaves:
        if isinstance(kind, pl.List):
            listed = values.select(items.alias("item")).to_series()
            inner = _nested(listed.explode(empty_as_null=False, keep_nulls=False).to_frame())
            ends = listed.list.len().fill_null(0).cum_sum()
            found.append(ends.search_sorted(inner, side="right").cast(inner.dtype))
    return pl.concat(found)


def _leaves(value: pl.Expr, kind: Any) -> list[tuple[pl.Expr, Any]]:
    """What an object holds that is none itself."""
    if not isinstance(kind, pl.Struct):
        return [(value, kind)]
    return [leaf for field in kind.fields for leaf in _leaves(value.struct.field(field.name), field.dtype)]


def _fit(value: Any, shape: Any) -> Any:
    if value is None:
        return None
    if isinstance(shape, pl.Struct):
        return {f.name: _fit(value.get(f.name), f.dtype) for f in shape.fields} if isinstance(value, dict) else None
    if isinstance(shape, pl.List):
        return [_fit(item, shape.inner) for item in (value if isinstance(value, list) else [value])]
    return None if isinstance(value, dict | list) else value


def boolean(text: pl.Expr) -> pl.Expr:
    """A JSON boolean; null for anything else."""
    return pl.when(text == "true").then(True).when(text == "false").then(False)


def whole(text: pl.Expr) -> pl.Expr:
    """A whole number; null for anything else."""
    return text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
