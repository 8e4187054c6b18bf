"""The folder that a run of the benchmarks works in: generated inputs, made once, and homes that share their files."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement, measure, measure_again


class Workspace:
    """A scratch folder; `generated` inputs stay for the benchmarks that follow in the same run. Cheap things are measured `runs` times."""

    def __init__(self, folder: Path, runs: int = 3) -> None:
        self.folder, self.runs = folder, runs

    def measured(self, take: Callable[[], Measurement]) -> Measurement:
        """The medians of up to `runs` runs of `take`, which sets its inputs up anew each time."""
        return measure_again(take, self.runs)

    def generated(self, name: str, target: str, **arguments: Any) -> Path:
        """The folder `name`, filled by the generator `target` ("module:function", given `folder`) unless it is there already."""
        folder = self.folder / name
        if not folder.exists():
            partial = folder.with_name(f"{name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            measure(target, folder=partial, **arguments)
            partial.rename(folder)
        return folder

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def link_tree(source: Path, target: Path) -> None:
    """Give `target` the files of `source` as hard links; only for files that are never changed in place."""
    shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)
