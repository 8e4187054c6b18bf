"""The stage itself, as the DAG calls it."""

import json
from pathlib import Path

import polars as pl

import jobs.normalise.job  # noqa: F401  (loaded before the clock starts)
from jobs.normalise import run
from jobs.settings import Settings


def normalise(home: str) -> dict[str, int]:
    """Bring the normalised lake of `home` up to date; gives its size."""
    counts = run(Path(home), Settings(_env_file=None, home=home), "benchmark").row_counts
    return {"activities": counts["activity"], "participants": counts["activity_participant"], "threads": count_threads(home)}


def count_threads(home: str) -> int:
    """Threads of the current snapshot."""
    root = Path(home) / "lake" / "normalised"
    files = json.loads((root / "snapshot.json").read_text())["tables"]["activity_thread"]
    frame = pl.scan_parquet([root / file for file in files], hive_partitioning=False)
    return frame.select(pl.col("thread_id").n_unique()).collect().item()
