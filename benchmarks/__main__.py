"""`python -m benchmarks`: measure the stages beside their peers and floors, and print the tables."""

import json
import os
import tempfile
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console

from benchmarks.measure import MeasureError
from benchmarks.workspace import Workspace

NAMES = ("normalise", "build", "extract", "gate", "similar")
WIDTH = 150


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice([*NAMES, "all"]))
@click.option("--size", type=click.IntRange(100), help="Units of the benchmark; none: its default.")
@click.option("--full", is_flag=True, help="The sizes that the aims are about; takes an hour and tens of GB of disk.")
@click.option(
    "--runs", type=click.IntRange(1), default=3, show_default=True, help="Runs of what takes seconds; medians are shown."
)
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Keep generated inputs here for later runs; none: a temporary folder."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file too.")
def main(names: tuple[str, ...], size: int | None, full: bool, runs: int, folder: Path | None, json_file: Path | None) -> None:
    """Run the benchmarks NAMES (none or `all`: every one) and print a table for each; one that fails does not stop the others.

    Units: mailbox copies (normalise, extract), activities (build, gate), open deals (similar).
    """
    chosen = NAMES if not names or "all" in names else names
    console = Console(width=WIDTH)
    console.print(f"{os.cpu_count()} cores; load of the last minute {os.getloadavg()[0]:.1f}", highlight=False)
    figures, failed = {}, []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
        work = Workspace((folder or Path(scratch)).resolve(), runs)
        work.folder.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            benchmark = import_module(f"benchmarks.{name}")
            try:
                report = benchmark.run(size or (benchmark.FULL if full else benchmark.DEFAULT), work)
            except MeasureError as error:
                console.print(f"{name}: {error}", highlight=False, markup=False)
                failed.append(name)
                continue
            report.show(console)
            figures[name] = report.as_dict()
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1))
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
