"""The page that readers rely on, written from the yml of the marts."""

from collections.abc import Mapping

from jobs.publish.catalogue import Mart
from jobs.publish.context import CONTRACT_VERSION
from jobs.publish.records import RECORDS

HEAD = f"""# Contract of the published marts

Version {CONTRACT_VERSION}. This page is written from the yml of the marts by `rapport contract --write`; a test compares the two.

## What you may rely on

- **Where.** `published/current` names the version to read: `marts.duckdb` (schema `main`), `parquet/<mart>.parquet`
  (partitioned marts: `parquet/<mart>/<value>.parquet`, each file with its partition column). In PostgreSQL: schema `kpi`.
- **Whole.** A version is complete, checked and immutable. A reader sees one version or the next, never a mix. A DuckDB
  connection that is open goes on reading the version it opened; open it anew for the next one. Several statements about
  one version on PostgreSQL: one transaction `REPEATABLE READ`.
- **Fresh.** The as-of of the current version is at most 48 hours old (setting `max_published_age_hours`); the DAG
  `published_freshness` raises an alarm otherwise. `publication` tells as-of, completeness and the sources' watermarks.
- **Grain and key.** One row a key; key columns are never null. A column is null only where its table says so.
- **Types.** DuckDB's names; in PostgreSQL VARCHAR is `text` and DOUBLE is `double precision`. Instants are UTC with their
  zone. Ids are strings, GUIDs in lower case. Order of rows and columns carries no meaning: read by name.
- **Units.** `_hours`, `_minutes`, `_days`: numbers of these; `_rate`: 0 to 1; `_ratio`: a quotient, null when its
  denominator is 0; `_count`: whole numbers; `_at`: an instant; `_date`: a reporting day. Money is in the base currency where
  the source gives it.
- **Figures of different records are never added up:** one activity may count for several.
- **History.** `kpi_history` holds the days of the last `history_days` (400); the weekly marts hold the weeks. A day or a week,
  once published, changes only by a backfill of that day or an erasure. A column that is newer than a day is null in it.
- **Not for decisions about employees.** No mart ranks or scores colleagues; team figures are about records.

## How the contract changes

`contract_version` (major.minor) stands in the manifest, in `publication` and beside every history partition.

1. **Minor:** a new column or a new mart. It appears at the end of the PostgreSQL view; readers by name notice nothing.
2. **Major:** a column that goes, or changes its name, type, order, key or meaning. The gate refuses it under the same major
   version (check `contract_is_kept`). So:
   1. build the changed mart under a new name beside the old one, both from the same inputs;
   2. announce it in CHANGELOG.md with the date on which the old one goes, at least `deprecation_days` (90) ahead;
   3. when that day has come, raise the major version in `jobs/publish/context.py` and remove the old mart. PostgreSQL refuses
      to drop a view that a reader's own view stands on; the error names it.
3. **A column that the source drops** parks its stream; the published columns stay as they are.
"""


def render(marts: Mapping[str, Mart]) -> str:
    """The whole page as Markdown."""
    plain = [m for m in marts.values() if not m.restricted]
    restricted = [m for m in marts.values() if m.restricted]
    sections = [HEAD, "## Marts\n", *(_section(m) for m in plain)]
    sections += ["## About the version itself\n", *(_section(m) for m in RECORDS)]
    sections += [
        "## Restricted\n\nPublished apart: `restricted.duckdb` and `restricted/` (readable by the owner alone), schema `restricted` in "
        "PostgreSQL, which the reader role cannot read.\n",
        *(_section(m) for m in restricted),
    ]
    return "\n".join(sections).rstrip() + "\n"


def _section(mart: Mart) -> str:
    key = ", ".join(f"`{k}`" for k in mart.key)
    partition = f" Files by `{mart.partition}`." if mart.partition else ""
    rows = [
        f"| `{c.name}` | {c.data_type} | {'yes' if c.nullable else 'no'} | {c.description.replace('|', '/')} |"
        for c in mart.columns
    ]
    table = "\n".join(["| column | type | null | meaning |", "|---|---|---|---|", *rows])
    return f"### `{mart.name}`\n\n{mart.description} Key: {key}.{partition}\n\n{table}\n"
