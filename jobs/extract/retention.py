"""What maintenance does to the raw log: rows that nothing reads any more go after some days, and many small files become few."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.extract.compact import compact
from jobs.extract.errors import StreamBusy
from jobs.extract.files import stream_files, stream_folders, stream_name, write_durably
from jobs.extract.log import FULL_KINDS, StreamLog
from jobs.locks import held
from jobs.normalise.job import normalising
from jobs.settings import Settings

PLACE = ["round", "round_kind", "op", "link_kind", "received_at"]


@contextmanager
def maintaining(home: Path) -> Iterator[None]:
    """Hold the lock of maintenance; raises RapportError when another run holds it."""
    with held(home / "locks" / "maintenance.lock", f"maintaining {home}"):
        yield


def maintain(settings: Settings, run_id: str, now: datetime) -> dict[str, int]:
    """Drop what is replaced, then compact, under the maintenance lock and while nobody normalises.

    Returns `rows_dropped`, `files_before` and `files_after`. Raises RapportError while another run holds a lock.
    """
    home = settings.home
    with maintaining(home), normalising(home):
        dropped = drop_replaced(home, run_id, now - timedelta(days=settings.keep_raw_days)) if settings.keep_raw_days else 0
        return {"rows_dropped": dropped, **compact(home, run_id)}


def drop_replaced(home: Path, run_id: str, before: datetime) -> int:
    """Drop rows of Dataverse tables that were received before an instant and that a later complete listing has replaced.

    Such a listing shows every row of its table as it is, so no result depends on what came before it. Mail and meetings outlive
    their removal at the source, and stay. Returns how many rows were dropped; streams that a run is extracting are left alone.
    """
    dropped = 0
    for folder in stream_folders(home):
        named = stream_name(folder)
        if named is None or named[0] != "dataverse":
            continue
        try:
            with StreamLog(home, *named, run_id).locked():
                dropped += _drop(folder, before)
        except StreamBusy:
            continue
    return dropped


def _drop(folder: Path, before: datetime) -> int:
    files = stream_files(folder)
    listed = max((_last_listing(file) for file in files), default=0)
    dropped = 0
    for file in files[:-1]:
        rows = pq.read_table(file, columns=PLACE)
        is_kept = pc.or_(pc.greater_equal(rows["round"], listed), pc.greater_equal(rows["received_at"], pa.scalar(before)))
        kept = pc.sum(is_kept).as_py() or 0
        if kept == 0:
            file.unlink()
        elif kept < rows.num_rows:
            write_durably(file, pq.read_table(file).filter(is_kept))
        dropped += rows.num_rows - kept
    return dropped


def _last_listing(file: Path) -> int:
    """The last complete listing of the table that ends in a file, 0 for none."""
    rows = pq.read_table(file, columns=PLACE)
    ended = pc.and_(pc.equal(rows["op"], "page"), pc.is_in(rows["link_kind"], pa.array(["delta", "none"])))
    full = rows.filter(pc.and_(ended, pc.is_in(rows["round_kind"], pa.array(FULL_KINDS))))
    return pc.max(full["round"]).as_py() or 0
