"""Payloads of the raw log as typed columns.

Every scalar is read as text, so that a number where a text belongs breaks nothing; casts come later and turn what does not fit
into null (a broken part is ignored and the record kept, N52).
"""

from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.json

BATCH = 50_000
BLOCK_BYTES = 4 << 20
TEXT = pl.String
PERSON = pl.Struct({"emailAddress": pl.Struct({"name": TEXT, "address": TEXT})})
LOCAL_TIME = pl.Struct({"dateTime": TEXT, "timeZone": TEXT})
ANSWER = pl.Struct({"response": TEXT, "time": TEXT})


def decode(payload: pl.Series, fields: dict[str, Any], flags: tuple[str, ...] = ()) -> pl.DataFrame:
    """One column a field, null where the key is absent or its value has another shape than the field's.

    `flags`: text fields that hold JSON booleans in nearly all records, read as `true` and `false`.
    """
    parts = [payload.slice(start, BATCH) for start in range(0, len(payload), BATCH)]
    return pl.concat([pl.DataFrame(schema=fields), *(_decoded(part, fields, flags) for part in parts)])


def _decoded(part: pl.Series, fields: dict[str, Any], flags: tuple[str, ...]) -> pl.DataFrame:
    """Arrow reads at a third of the cost of the others, but only what has exactly the shape of the fields."""
    try:
        return _read_exactly(part, fields, flags)
    except pa.ArrowInvalid:
        return _mended(part.to_frame("payload"), pl.Struct(fields))


def _read_exactly(part: pl.Series, fields: dict[str, Any], flags: tuple[str, ...]) -> pl.DataFrame:
    """The fields of records none of which has a value of another shape; raises ArrowInvalid otherwise."""
    shape = pa.schema([(name, pa.bool_() if name in flags else _arrow_type(kind)) for name, kind in fields.items()])
    # One text with a record a line has the bytes of such a file.
    lines = part.fill_null("{}").str.join("\n").to_arrow()
    table = pa.json.read_json(
        pa.BufferReader(lines.buffers()[2]),
        pa.json.ReadOptions(block_size=BLOCK_BYTES),
        pa.json.ParseOptions(shape, newlines_in_values=False, unexpected_field_behavior="ignore"),
    )
    table.validate(full=True)
    if table.num_rows != len(part):
        raise pa.ArrowInvalid(f"{table.num_rows} records in {len(part)} payloads")
    return pl.DataFrame(pl.from_arrow(table)).select([pl.col(name).cast(kind) for name, kind in fields.items()])


def _arrow_type(kind: Any) -> pa.DataType:
    if isinstance(kind, pl.Struct):
        return pa.struct([(field.name, _arrow_type(field.dtype)) for field in kind.fields])
    return pa.list_(_arrow_type(kind.inner)) if isinstance(kind, pl.List) else pa.string()


def _mended(part: pl.DataFrame, shape: pl.Struct) -> pl.DataFrame:
    """Some row has a value of another shape: what cannot be read as text is taken out, row by row."""
    decoded = pl.col("payload").str.json_decode(shape)
    try:
        return part.select(decoded).unnest("payload")
    except pl.exceptions.ComputeError:
        texts = [orjson.dumps(_fit(orjson.loads(text), shape)).decode() for text in part.get_column("payload").to_list()]
        return pl.DataFrame({"payload": texts}, schema={"payload": pl.String}).select(decoded).unnest("payload")


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
