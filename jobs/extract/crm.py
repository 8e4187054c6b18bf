"""Dataverse: the tables of the keep-list by change tracking; a table whose tracking is off is read whole every run."""

import asyncio
from pathlib import Path

from jobs.extract.client import Access, Budget, Client, Timing
from jobs.extract.connection import Connection
from jobs.extract.errors import StreamFailed
from jobs.extract.keep import LABEL, LOOKUP, TABLES, Record, Table, columns_of
from jobs.extract.landing import table_filter
from jobs.extract.streams import Progress, Reader, Report, Stream, refuse_if_all_unauthorised, require_hash_key, together
from jobs.settings import Settings

API = "/api/data/v9.2"


def base_path(client: Client) -> str:
    """Path below which the Web API lies."""
    return client.base_path + API


def first_target(client: Client, table: Table, settings: Settings) -> str:
    """The request that begins a full round of a table."""
    return f"{base_path(client)}/{table.entity_set}?$select={','.join(columns_of(table, settings))}"


def is_removal(record: Record) -> bool:
    """Whether a row of a change feed says that a record was deleted."""
    context = record.get("@odata.context")
    return isinstance(context, str) and context.endswith("/$deletedEntity")


def table_stream(client: Client, table: Table, settings: Settings, *, is_tracked: bool) -> Stream:
    """A table as a stream."""
    annotations = (LOOKUP + ("," + LABEL if table.labels else "")).replace("@", "")
    wishes = [f"odata.maxpagesize={settings.crm_page_size}", f'odata.include-annotations="{annotations}"']
    return Stream(
        name=table.entity_set,
        filter=table_filter(table, settings),
        prefer=",".join((["odata.track-changes"] if is_tracked else []) + wishes),
        first_target=lambda this, log: first_target(client, table, settings),
        is_removal=is_removal,
        is_tracked=is_tracked,
    )


async def untracked_tables(client: Client, settings: Settings) -> set[str]:
    """Logical names of tables whose change tracking is off; empty when the source does not say."""
    target = f"{base_path(client)}/EntityDefinitions?$select=LogicalName,ChangeTrackingEnabled"
    try:
        found = await client.collection(target, Access("", Budget(settings.retry_budget_seconds)))
    except StreamFailed:
        return set()
    return {
        str(each.get("LogicalName")) for each in found if isinstance(each, dict) and each.get("ChangeTrackingEnabled") is False
    }


def extract_crm(
    connection: Connection,
    home: Path,
    settings: Settings,
    run_id: str,
    progress: Progress | None = None,
    *,
    timing: Timing | None = None,
    tables: tuple[str, ...] = tuple(TABLES),
) -> Report:
    """Bring the raw log up to date with Dataverse, all tables at the same time.

    A table that cannot be read is parked and named in the report. Raises SourceError when nothing can be read: unreachable host,
    refused credentials, a missing setting, a home that cannot be written, another run on the same tables.
    """
    return asyncio.run(_extract(connection, home, settings, run_id, progress, timing or Timing(), tables))


async def _extract(
    connection: Connection,
    home: Path,
    settings: Settings,
    run_id: str,
    progress: Progress | None,
    timing: Timing,
    tables: tuple[str, ...],
) -> Report:
    async with Client(connection, settings, timing) as client:
        require_hash_key(client, settings)
        reader = Reader("dataverse", client, home, settings, run_id, timing, progress)
        untracked = await untracked_tables(client, settings)
        reader.expect(len(tables))
        await together(
            reader.read(table_stream(client, TABLES[name], settings, is_tracked=TABLES[name].logical_name not in untracked))
            for name in tables
        )
        refuse_if_all_unauthorised(reader)
        return reader.report
