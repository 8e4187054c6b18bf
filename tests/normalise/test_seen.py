"""Places of messages ever seen: a day adds to them, and what there was stays as it is until much has come."""

import polars as pl

from jobs.normalise.seen import Seen


def places(*numbers: int) -> pl.Series:
    return pl.Series("place", numbers, dtype=pl.UInt64)


def test_a_day_leaves_most_as_it_is_and_many_days_are_put_together() -> None:
    first = Seen().adding(places(*range(100, 0, -1), 50))
    assert (len(first.most), first.is_same) == (100, False)
    day = first.adding(places(7, 300, 200, 300))
    assert day.is_same
    assert day.most is first.most
    assert day.later.to_list() == [200, 300]
    assert day.has(places(0, 1, 100, 200, 250, 300, 301)).to_list() == [False, True, True, True, False, True, False]
    later = day.adding(places(*range(400, 420)))
    assert not later.is_same
    assert later.most.to_list() == [*range(1, 101), 200, 300, *range(400, 420)]
    assert later.later.is_empty()


def test_nothing_is_among_none() -> None:
    assert Seen().has(places(1, 2)).to_list() == [False, False]
    assert Seen().has(places()).to_list() == []
