"""What gates leave behind, and how much of it is kept: verdicts with their evidence, and candidates that nobody published."""

from datetime import datetime, timedelta
from pathlib import Path

from jobs import build
from jobs.publish import files
from jobs.publish.protocol import held_candidate, publish_lock
from jobs.publish.verdict import run_folder
from jobs.settings import Settings


def drop_old_gate_runs(settings: Settings, now: datetime) -> dict[str, int]:
    """Keep the verdicts of the last `keep_quality_runs` runs and candidates younger than `keep_candidate_days`.

    The held candidate stays with its verdict, however old: it waits for its release. Returns how many runs and
    candidates were dropped.
    """
    home = settings.home
    with publish_lock(home):
        held = held_candidate(home)
        kept = {run_folder(home, held["context"]["run_id"])} if held else set()
        dropped = _drop_runs(home, settings.keep_quality_runs, kept)
        oldest = now - timedelta(days=settings.keep_candidate_days)
        abandoned = _abandoned(home, Path(held["candidate"]) if held else None, oldest)
        for candidate in abandoned:
            build.drop_candidate(candidate)
    return {"runs": dropped, "candidates": len(abandoned)}


def _drop_runs(home: Path, keep: int, kept: set[Path]) -> int:
    """Drop the folders of all but the last `keep` runs; the last is the one that was checked last."""
    checked = sorted((home / "quality").glob("[!.]*"), key=lambda folder: (folder.stat().st_mtime, folder.name), reverse=True)
    doomed = [folder for folder in checked[keep:] if folder not in kept]
    for folder in doomed:
        files.remove_tree(folder)
    for leftover in (home / "quality").glob(".doomed-*"):
        files.remove_tree(leftover)
    return len(doomed)


def _abandoned(home: Path, held: Path | None, oldest: datetime) -> list[Path]:
    """Candidates that were last written before `oldest`: their runs failed, or were killed before they published."""
    folder = home / "warehouse" / "candidates"
    found = [*folder.glob("*.duckdb"), *folder.glob("*.partial")]
    return sorted(f for f in found if f != held and f.stat().st_mtime < oldest.timestamp())
