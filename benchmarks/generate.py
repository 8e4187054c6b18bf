"""The generators, as functions that a measured child calls."""

import shutil
from pathlib import Path

from benchmarks.lake import Lake
from benchmarks.raw_log import RawLog
from sandbox.company import generate


def raw_log(folder: str, copies: int, new_copies: int) -> None:
    """A raw log in `first/` and, in `day/`, the files that the day after adds."""
    world = RawLog(copies=copies, new_copies=new_copies)
    world.write(Path(folder) / "first")
    world.write_day(Path(folder) / "day")


def lake(folder: str, activities: int, new_activities: int) -> None:
    """A normalised lake with two manifests beside it: `base.json`, and `day.json` that has the activities of the day after too."""
    home, world = Path(folder), Lake(activities=activities)
    for name, write in (("base", lambda: world.write(home)), ("day", lambda: world.write_day(home, new_activities))):
        write()
        shutil.copyfile(home / "lake" / "normalised" / "snapshot.json", home / f"{name}.json")


def company(folder: str, copies: int) -> None:
    """A tenant folder of a fictitious company with about `copies` mail and calendar items."""
    generate(Path(folder), scale=copies / 60_000)
