"""What is kept of copies for the next run, in portions."""

import polars as pl
import pytest

from jobs.normalise import portions
from jobs.normalise.portions import Portions, portion
from jobs.normalise.shelf import Shelf

EVERY = pl.lit(True)


def tables(*copies: int) -> dict[str, pl.DataFrame]:
    """A portion in which every copy has two mentions."""
    copy = pl.Series("copy", copies, dtype=pl.UInt32)
    return {
        "copy": pl.DataFrame({"copy": copy}).with_columns(fact=pl.col("copy").cast(pl.String)),
        "mention": pl.DataFrame({"copy": copy.append(copy)}).with_columns(name=pl.col("copy").cast(pl.String)),
    }


def series(*copies: int) -> pl.Series:
    return pl.Series("copy", copies, dtype=pl.UInt32)


def made(*parts: dict[str, pl.DataFrame]) -> Portions:
    return Portions([portion(part, Shelf()) for part in parts])


def copies_of(kept: Portions) -> list[list[int]]:
    return [part.collect().get_column("copy").to_list() for part in kept.each("copy", ["fact"])]


def test_a_little_stands_beside_what_is_much_larger() -> None:
    kept = made(tables(*range(10))).adding(tables(10), series(3), Shelf())
    assert copies_of(kept) == [[0, 1, 2, 4, 5, 6, 7, 8, 9], [10]]
    assert kept.rows("mention", ["copy", "name", "portion"], pl.col("copy").is_in([3, 9, 10])).sort("copy").rows() == [
        (9, "9", 0), (9, "9", 0), (10, "10", 1), (10, "10", 1)]  # fmt: skip


def test_rows_of_named_portions_alone_are_read() -> None:
    kept = made(tables(1), tables(2))
    assert kept.rows("copy", ["copy"], EVERY, pl.Series([1, 1])).rows() == [(2,)]
    assert kept.rows("copy", ["copy", "fact"], EVERY, pl.Series([], dtype=pl.UInt32)).is_empty()


def test_last_portions_of_about_the_size_are_put_together_and_what_is_gone_from_them_is_forgotten() -> None:
    kept = made(tables(*range(10)), tables(20, 21), tables(30)).adding(tables(40), series(5, 21), Shelf())
    assert sorted(map(sorted, copies_of(kept))) == [[0, 1, 2, 3, 4, 6, 7, 8, 9], [20, 30, 40]]
    assert kept.gone.to_list() == [5]


def test_a_portion_that_is_mostly_gone_is_put_together_with_what_is_new_wherever_it_lies() -> None:
    kept = made(tables(*range(4)), tables(*range(10, 20))).adding(tables(30), series(0, 1, 2), Shelf())
    assert sorted(map(sorted, copies_of(kept))) == [[3, 30], [*range(10, 20)]]
    assert kept.gone.to_list() == []


def test_a_full_portion_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "FULL_ROWS", 4)
    assert len(copies_of(made(tables(*range(4))).adding(tables(*range(4, 8)), series(), Shelf()))) == 2


def test_when_everything_is_gone_a_portion_without_rows_is_left() -> None:
    kept = made(tables(0, 1)).adding(tables(), series(0, 1), Shelf())
    assert (copies_of(kept), kept.gone.to_list()) == ([[]], [])
    assert copies_of(kept.adding(tables(2), series(), Shelf())) == [[2]]
