"""The search over leaves gives what comparing every pair gives, on worlds where leaves split, tie and miss values."""

import numpy as np
import pytest

from jobs.similar import neighbours
from jobs.similar.neighbours import leaves, nearest, pair_distances


def world(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    columns = [rng.random(count), np.round(rng.random(count), 1), rng.integers(0, 4, count), rng.integers(0, 200, count)]
    values = np.column_stack(columns).astype(float)
    values[rng.random(values.shape) < [0, 0.1, 0.4][seed % 3]] = np.nan
    return values


IS_NUMBER = np.array([True, True, False, False])


@pytest.fixture(autouse=True)
def small_leaves(monkeypatch):
    monkeypatch.setattr(neighbours, "OPEN_LEAF", 8)
    monkeypatch.setattr(neighbours, "WON_LEAF", 16)


@pytest.mark.parametrize("seed", range(12))
def test_s5_search_equals_comparing_every_pair(seed):
    opened, won = world(seed, 60), world(seed + 50, 500)
    importance = np.array([[0.25] * 4, [0.7, 0.3, 0, 0], [0, 0, 0.5, 0.5], [0.01, 0.3, 0.29, 0.4]][seed % 4])
    found = nearest(opened, won, IS_NUMBER, importance, top=7, max_distance=0.4, threads=1 + seed % 3)
    for row in range(len(opened)):
        every = pair_distances(np.broadcast_to(opened[row], won.shape), won, IS_NUMBER, importance)
        order = np.lexsort((np.arange(len(won)), np.round(every, 9)))[:7]
        order = order[np.round(every[order], 9) <= 0.4]
        mine = found.open_row == row
        assert found.won_row[mine].tolist() == order.tolist()
        assert found.distance[mine] == pytest.approx(every[order], abs=1e-15)


def test_s2_many_equal_deals_keep_the_first_in_tie_order():
    same = np.array([[0.5, 0.5, 1, 1]])
    found = nearest(same, np.repeat(same, 3000, axis=0), IS_NUMBER, np.full(4, 0.25), top=10, max_distance=0.5)
    assert found.won_row.tolist() == list(range(10))


def test_s5_without_weights_everything_is_at_distance_zero():
    found = nearest(world(1, 3), world(2, 40), IS_NUMBER, np.zeros(4), top=5, max_distance=0.5)
    assert found.won_row.tolist() == list(range(5)) * 3
    assert not found.distance.any()


@pytest.mark.parametrize(("opened", "won"), [(0, 20), (5, 0), (0, 0)])
def test_s2_nobody_to_compare(opened, won):
    found = nearest(world(1, opened), world(2, won), IS_NUMBER, np.full(4, 0.25), top=5, max_distance=0.5)
    assert found.open_row.size == 0


@pytest.mark.parametrize("seed", range(6))
def test_leaves_hold_every_row_once_and_are_small(seed):
    values = world(seed, 700)
    found = leaves(values, IS_NUMBER, np.full(4, 0.25), 16)
    assert sorted(np.concatenate(found).tolist()) == list(range(700))
    assert max(len(rows) for rows in found) <= 16
    assert all((np.diff(rows) > 0).all() for rows in found)
