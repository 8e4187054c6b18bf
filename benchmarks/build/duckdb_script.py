"""The peer and the floor of building, on the files of the same snapshot."""

import json
from datetime import datetime
from pathlib import Path

import duckdb

SCRIPT = Path(__file__).with_name("marts.sql")
MEMORY_LIMIT = "6GB"
MARTS = (
    "activity_record_link", "kpi_account", "kpi_contact", "kpi_lead", "kpi_opportunity", "kpi_window", "relationship_activity_daily",
)  # fmt: skip
"""The marts that the script builds."""


def marts(home: str, as_of: str, out: str) -> dict[str, int]:
    """Build `MARTS` with the hand-written script into a DuckDB file; gives their row counts."""
    with _opened(home, f"{out}/marts.duckdb") as con:
        con.execute("SET VARIABLE as_of = $1::TIMESTAMPTZ", [datetime.fromisoformat(as_of)])
        con.execute(SCRIPT.read_text())
        return {name: con.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in MARTS}


def aggregate(home: str, out: str) -> dict[str, int]:
    """One aggregation over the activities and their participants: by address, how many, first and last."""
    with _opened(home, f"{out}/floor.duckdb") as con:
        con.execute(
            "CREATE TABLE by_address AS SELECT p.address, a.activity_type, count(*) AS activities, min(a.occurred_at) AS first_at, max(a.occurred_at) AS last_at "
            "FROM activity_participant AS p JOIN activity AS a USING (activity_id) GROUP BY ALL"
        )
        return {"rows": con.execute("SELECT count(*) FROM by_address").fetchone()[0]}


def _opened(home: str, file: str) -> duckdb.DuckDBPyConnection:
    """A database with the limits that dbt's profile sets and a view for each table of the snapshot."""
    con = duckdb.connect(file)
    con.execute(
        f"SET threads = 2; SET memory_limit = '{MEMORY_LIMIT}'; SET preserve_insertion_order = false; SET TimeZone = 'UTC'"
    )
    root = Path(home).resolve() / "lake" / "normalised"
    for name, files in json.loads((root / "snapshot.json").read_text())["tables"].items():
        paths = ", ".join(f"'{root / path}'" for path in files)
        con.execute(f"CREATE TEMP VIEW {name} AS FROM read_parquet([{paths}], hive_partitioning = false)")
    return con
