"""Commands on sources and the raw log: `rapport status`, `rapport resync`, `rapport doctor`, `rapport import`."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Column, Table

from jobs import clock
from jobs.extract import log, overview, parking
from jobs.extract.bulk import import_folder
from jobs.extract.client import Timing
from jobs.extract.doctor import FAIL, connections, examine
from jobs.extract.errors import SourceError
from jobs.extract.files import stream_folders, stream_name
from jobs.extract.resync import resync_stream
from jobs.settings import Settings


def _age(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never"
    hours = (now - at).total_seconds() / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} d"


def stream_status(now: datetime, settings: Settings) -> list[dict[str, Any]]:
    """One dict a stream: source, stream, rows, last success, its age and that of the cursor, and why it is parked."""
    rows = overview.row_counts(settings.home)
    states = {folder: log.read_state(folder) for folder in stream_folders(settings.home)}
    parked = {(mark.source, mark.stream): mark for mark in parking.parked(settings.home)}
    cursors = {stream_name(folder): state for folder, state in states.items() if state is not None}
    found = []
    for mark in overview.watermarks(settings.home):
        state = cursors.get((mark["source"], mark["stream"]))
        held = parked.get((mark["source"], mark["stream"]))
        found.append(
            {
                "source": mark["source"],
                "stream": mark["stream"],
                "rows": rows.get((mark["source"], mark["stream"]), 0),
                "last_success_at": mark["last_complete_round_started_at"],
                "last_success": _age(mark["last_complete_round_started_at"], now),
                "cursor_age": _age(state.received_at if state else None, now),
                "parked": mark["parked_reason"],
                "next_try": held.next_try if held else None,
            }
        )
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a stream, one a line.")
@click.option("--parked", "only_parked", is_flag=True, help="Only streams that are parked.")
def status(as_json: bool, only_parked: bool) -> None:
    """Show the streams of the raw log: last success, cursor age, rows, and what is parked."""
    streams = [each for each in stream_status(clock.now(), Settings()) if each["parked"] or not only_parked]
    if as_json:
        for each in streams:
            click.echo(orjson.dumps(each))
        return
    table = Table("source", Column("stream", overflow="fold"), "rows", "last success", "cursor age", "parked, next try")
    for each in streams:
        why = f"{each['parked']}" + (f", {each['next_try']:%Y-%m-%d %H:%M}" if each["next_try"] else "") if each["parked"] else ""
        table.add_row(each["source"], each["stream"], f"{each['rows']:,}", each["last_success"], each["cursor_age"], why)
    Console(highlight=False).print(table if streams else "no stream is parked" if only_parked else "the raw log is empty")


@click.command()
@click.argument("stream")
@click.option("--source", type=click.Choice(["dataverse", "graph"]), help="Needed where both sources have such a stream.")
def resync(stream: str, source: str | None) -> None:
    """Read STREAM whole again at the next run; a parked stream is tried again then.

    STREAM is a name as `rapport status` shows it, or the beginning of several, ending in *.
    """
    settings = Settings()
    names = [(each["source"], each["stream"]) for each in overview.watermarks(settings.home)]
    wanted = [
        (origin, name)
        for origin, name in names
        if source in (None, origin) and (name == stream or (stream.endswith("*") and name.startswith(stream[:-1])))
    ]
    if not wanted:
        raise SourceError(f"there is no stream {stream} in the raw log: `rapport status` lists them")
    for origin, name in wanted:
        resync_stream(settings.home, origin, name, settings, clock.now())
        click.echo(f"{origin} {name} is read whole at the next run")


@click.command()
def doctor() -> None:
    """Check connections, permissions, change tracking, mailboxes, clocks and disk space before the first run."""
    dataverse, graph, wrong = connections()
    checks = [*wrong, *examine(Settings(), dataverse, graph, Timing())]
    named = {(each.part, each.what) for each in wrong}
    table = Table("", "part", "checked", "what to know")
    for each in checks:
        if each in wrong or (each.part, each.what) not in named:
            table.add_row(each.status, each.part, each.what, each.detail)
    Console(highlight=False).print(table)
    failed = [each for each in checks if each.status == FAIL]
    if failed:
        raise SourceError(
            f"{len(failed)} of {len(checks)} checks failed; the first: {failed[0].part} {failed[0].what}: {failed[0].detail}"
        )


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
def import_(folder: Path) -> None:
    """Import FOLDER into the raw log: a backfill that does not go through the APIs.

    FOLDER holds files of Microsoft Graph Data Connect (JSON lines), a CDM folder of Synapse Link (model.json and CSV), or Parquet
    or Delta tables named after Dataverse tables.
    """
    settings, timing = Settings(), Timing()
    run_id = f"import-{timing.now():%Y%m%dT%H%M%S}"
    click.echo(import_folder(folder, settings.home, settings, run_id, timing).summary())


commands: list[click.Command] = [status, resync, doctor, import_]
