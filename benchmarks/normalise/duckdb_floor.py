"""The floor of normalising: DuckDB reads the raw files, parses the JSON fields that the rules need, and writes them; nothing else."""

import json
from pathlib import Path

import duckdb

_PERSON = {"emailAddress": {"name": "VARCHAR", "address": "VARCHAR"}}
_MESSAGE = {
    **dict.fromkeys(("internetMessageId", "conversationId", "subject_key", "sentDateTime", "receivedDateTime", "@odata.type"), "VARCHAR"),
    "isDraft": "BOOLEAN",
    **dict.fromkeys(("from", "sender"), _PERSON),
    **{key: [_PERSON] for key in ("toRecipients", "ccRecipients", "bccRecipients", "replyTo")},
    "internetMessageHeaders": [{"name": "VARCHAR", "value": "VARCHAR"}],
}  # fmt: skip
_LISTED = {"internetMessageId": "VARCHAR", "singleValueExtendedProperties": [{"id": "VARCHAR", "value": "VARCHAR"}]}


def parse(home: str, out: str) -> dict[str, int]:
    """Write the parsed mail, the parsed list pass, and the other streams as they are, as zstd Parquet into `out`."""
    rows = f"read_parquet('{home}/lake/raw/**/*.parquet', hive_partitioning = false)"
    with duckdb.connect() as con:
        con.execute("SET threads = 2; SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
        for name, where, shape in (
            ("messages", "starts_with(stream, 'messages/')", _MESSAGE),
            ("listed", "starts_with(stream, 'messageHeaders/')", _LISTED),
        ):
            parsed = f"unnest(from_json(payload, '{json.dumps(shape)}'))"
            keys = "stream, record_id, received_at"
            _copy(con, f"SELECT {keys}, {parsed} FROM {rows} WHERE op = 'upsert' AND {where}", Path(out) / f"{name}.parquet")
        _copy(con, f"SELECT * FROM {rows} WHERE stream NOT LIKE 'message%'", Path(out) / "others.parquet")
        return {"messages": con.execute(f"SELECT count(*) FROM '{out}/messages.parquet'").fetchone()[0]}


def _copy(con: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    con.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
