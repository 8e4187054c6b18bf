"""The floor of the gate: what looking at every value of the marts costs."""

import duckdb

from jobs.publish.catalogue import quote, read_catalogue
from jobs.settings import Settings


def scan(candidate: str, as_of: str) -> dict[str, int]:
    """Count the rows and the nulls of every column of every mart, one query a mart."""
    settings = Settings()
    rows = 0
    with duckdb.connect(candidate, read_only=True, config={"threads": settings.threads}) as con:
        for mart in read_catalogue(settings.dbt_project_dir / "models" / "marts").values():
            nulls = ", ".join(f"count({quote(column.name)})" for column in mart.columns)
            rows += con.execute(f"SELECT count(*), {nulls} FROM {mart.schema}.{quote(mart.name)}").fetchone()[0]
    return {"rows": rows}
