"""A home with the rows of a world as its raw log, and what the stage leaves in it."""

import json
from pathlib import Path
from typing import Any

import polars as pl

import jobs.normalise
from jobs.extract.files import stream_folder
from jobs.settings import Settings
from tests.normalise.world import World


def land(world: World, home: Path, batches: list[list[int]] | None = None) -> None:
    """Write the world's rows as the raw log of `home`: the rows of each batch (else of each round) of a stream in a file of its own."""
    frame = world.frame().with_row_index("number")
    numbers = batches or [part.get_column("number").to_list() for part in frame.partition_by("round", maintain_order=True)]
    for place, batch in enumerate(numbers):
        rows = frame.filter(pl.col("number").is_in(batch)).drop("number")
        for (source, stream), part in rows.partition_by("source", "stream", as_dict=True).items():
            folder = home / "lake" / "raw" / source / stream.replace("/", "-")
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{place:06}.parquet"
            if not file.exists() or pl.read_parquet(file).height != part.height:
                part.write_parquet(file)


def arrive(world: World, home: Path, batch: list[int], place: int) -> None:
    """Add the rows of a batch to the raw log of `home`, in a file of its own for each stream, after those of smaller places.

    Each file ends with the row of a page that another follows.
    """
    rows = world.frame().with_row_index("number").filter(pl.col("number").is_in(batch)).drop("number")
    for (source, stream), part in rows.partition_by("source", "stream", as_dict=True).items():
        folder = stream_folder(home, source, stream)
        folder.mkdir(parents=True, exist_ok=True)
        page = part.tail(1).with_columns(
            pl.lit(place, pl.Int32).alias("page"), pl.lit(0, pl.Int32).alias("row"), pl.lit("page").alias("op"),
            pl.lit(None, pl.String).alias("record_id"), pl.lit("{}").alias("payload"), pl.lit("next").alias("link_kind"),
        )  # fmt: skip
        pl.concat([part, page]).write_parquet(folder / f"{place:06}.parquet")


def run(world: World, home: Path, **settings: Any) -> dict[str, Any]:
    """Run the stage and return the manifest."""
    land(world, home)
    stage(home, **settings)
    return manifest_of(home)


def stage(home: Path, **settings: Any) -> None:
    jobs.normalise.run(home, Settings(_env_file=None, home=home, **settings), "run")


def manifest_of(home: Path) -> dict[str, Any]:
    return json.loads((home / "lake" / "normalised" / "snapshot.json").read_text())


def table(home: Path, name: str) -> pl.DataFrame:
    """A table of the current snapshot."""
    root = home / "lake" / "normalised"
    return pl.concat([pl.read_parquet(root / file, hive_partitioning=False) for file in manifest_of(home)["tables"][name]])


def changed(home: Path, entry: int = 0) -> dict[str, set[tuple[str, str]]]:
    """(column, key) of what an entry of the manifest's `changes` names, by table."""
    frame = pl.read_parquet(home / "lake" / "normalised" / manifest_of(home)["changes"][entry]["file"])
    told: dict[str, set[tuple[str, str]]] = {}
    for name, column, key in frame.iter_rows():
        told.setdefault(name, set()).add((column, key))
    return told
