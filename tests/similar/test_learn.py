"""Bins, mutual information, importance and AUC (S4, S8), against sums written out."""

import math
import random

import numpy as np
import pytest

from jobs.similar import Rules
from jobs.similar.learn import (
    area_under_curve,
    bin_numbers,
    equal_importance,
    held_out_auc,
    learn,
    mutual_information,
    normalised,
    shares_won,
)
from tests.similar.deals import BOTH, COLOUR, SIZE

NAN = math.nan


def by_definition(bins: list[int | None], won: list[bool]) -> float:
    """Mutual information as S4 writes it, cell by cell."""
    pairs = [(b, w) for b, w in zip(bins, won, strict=True) if b is not None]
    occurring = sorted({b for b, _ in pairs})
    if not pairs:
        return 0.0
    cell = {(b, w): (pairs.count((b, w)) + 1) / (len(pairs) + 2 * len(occurring)) for b in occurring for w in (True, False)}
    of_bin = {b: cell[b, True] + cell[b, False] for b in occurring}
    of_class = {w: sum(cell[b, w] for b in occurring) for w in (True, False)}
    return len(pairs) / len(won) * sum(p * math.log(p / (of_bin[b] * of_class[w])) for (b, w), p in cell.items())


def test_s4_bins_are_of_equal_count_and_equal_values_share_one():
    values = np.array([10.0, 20, 30, 40, 50, 60, 70, 80, 90, 100])
    assert bin_numbers(values, values, SIZE, 5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    values = np.array([1.0, 1, 1, 1, 2, NAN, 3])
    assert bin_numbers(values, values, SIZE, 5).tolist() == [0, 0, 0, 0, 3, -1, 4]


def test_s4_mutual_information_of_a_table_by_hand():
    bins, won = np.array([0, 0, 0, 1, 1, 1, -1, -1]), np.array([1, 1, 0, 0, 0, 1, 1, 0], bool)
    p = {(0, 1): 3 / 10, (0, 0): 2 / 10, (1, 1): 2 / 10, (1, 0): 3 / 10}
    expected = 6 / 8 * sum(v * math.log(v / 0.25) for v in p.values())
    assert mutual_information(bins, won) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_s4_mutual_information_as_defined(seed):
    rng = random.Random(seed)
    bins = [rng.choice([None, 0, 1, 3, 7]) for _ in range(rng.randint(1, 80))]
    won = [rng.random() < 0.6 for _ in bins]
    found = mutual_information(np.array([-1 if b is None else b for b in bins]), np.array(won))
    assert found == pytest.approx(by_definition(bins, won), abs=1e-12)
    assert found >= 0


def test_s4_nothing_known_is_no_information():
    assert mutual_information(np.array([-1, -1]), np.array([True, False])) == 0
    assert mutual_information(np.array([2, 2, 2]), np.array([True, False, True])) == 0


def test_s4_importance_is_the_same_for_all_when_nothing_was_learned():
    assert normalised(np.array([0.0, 0.0, 0.0, 0.0])).tolist() == [0.25] * 4
    assert normalised(np.array([4e-10, 0.0])).tolist() == [0.5] * 2, "0 at nine decimals"
    assert normalised(np.array([6e-10, 0.0])).tolist() == [1, 0]


def test_s4_equal_weights_leave_out_attributes_without_values():
    assert equal_importance(np.array([[1, NAN, NAN], [NAN, 2, NAN]])).tolist() == [0.5, 0.5, 0]
    assert equal_importance(np.full((3, 2), NAN)).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_s4_a_planted_attribute_is_found_and_noise_is_not(seed):
    rng = np.random.default_rng(seed)
    won = rng.random(600) < 0.5
    planted = np.where(rng.random(600) < 0.9, won, ~won).astype(float)
    noise = np.column_stack([rng.random(600), rng.integers(0, 5, 600).astype(float), rng.random(600)])
    kinds = (COLOUR, SIZE, COLOUR, SIZE)
    result = learn(np.column_stack([planted, noise]), won, kinds, Rules())
    assert result.importance[0] > 0.9
    assert result.importance[1:].max() < 0.06
    assert result.auc[0] > 0.85
    assert result.held_out_auc > 0.85


def test_s8_noise_has_a_held_out_auc_of_a_guess():
    rng = np.random.default_rng(5)
    won = rng.random(2000) < 0.5
    values = np.column_stack([rng.random(2000), rng.integers(0, 8, 2000).astype(float)])
    result = learn(values, won, BOTH, Rules())
    assert 0.45 < result.held_out_auc < 0.55
    assert result.importance.sum() == pytest.approx(1)


def test_s8_shares_and_auc_by_hand():
    bins, won = np.array([0, 0, 0, 1, 1, -1]), np.array([1, 1, 0, 0, 0, 1], bool)
    shares = shares_won(bins, won, bins)
    assert shares.tolist() == [3 / 5, 3 / 5, 3 / 5, 1 / 4, 1 / 4, 0.5]
    pairs = [0.5, 1, 1] * 2 + [0, 1, 1]
    assert area_under_curve(shares, won) == pytest.approx(sum(pairs) / 9)


def test_s8_a_bin_that_was_not_seen_scores_one_half():
    bins, won = np.array([0, 2, 2]), np.array([1, 0, 0], bool)
    assert shares_won(bins, won, np.array([0, 1, 2, 3, -1])).tolist() == [2 / 3, 0.5, 1 / 4, 0.5, 0.5]


def test_s8_auc_compares_nine_decimals():
    won = np.array([True, False])
    assert area_under_curve(np.array([0.5 + 1e-10, 0.5]), won) == 0.5
    assert area_under_curve(np.array([0.5 + 1e-8, 0.5]), won) == 1


def test_s8_a_held_out_number_lies_at_most_in_the_last_bin():
    training = np.array([1.0, 2, 3, 4, 5])
    assert bin_numbers(np.array([0.5, 1, 1.5, 5, 99, NAN]), training, SIZE, 5).tolist() == [0, 0, 1, 4, 4, -1]
    assert bin_numbers(np.array([7.0]), np.array([NAN]), SIZE, 5).tolist() == [-1]


def test_s8_held_out_auc_step_by_step():
    rng = random.Random(3)
    colours = [float(rng.randrange(3)) if rng.random() < 0.9 else NAN for _ in range(70)]
    sizes = [float(rng.randrange(1, 9)) for _ in range(70)]
    won = [rng.random() < (0.8 if c == 1 else 0.4) for c in colours]
    scores = []
    for n in range(70):
        taught = [m for m in range(70) if m % 5 != n % 5]
        known = sorted(sizes[m] for m in taught)

        def size_bin(x: float, known: list[float] = known) -> int:
            return min(5 * sum(v < x for v in known) // len(known), 4)

        bins = [
            ([size_bin(sizes[m]) for m in taught], size_bin(sizes[n])),
            (
                [None if math.isnan(colours[m]) else int(colours[m]) for m in taught],
                None if math.isnan(colours[n]) else int(colours[n]),
            ),
        ]
        information = [by_definition(b, [won[m] for m in taught]) for b, _ in bins]
        score = 0.0
        for (learned, mine), mi in zip(bins, information, strict=True):
            same = [won[m] for m, b in zip(taught, learned, strict=True) if b == mine and mine is not None]
            score += mi / sum(information) * (sum(same) + 1) / (len(same) + 2)
        scores.append(round(score, 9))
    pairs = [
        (a > b) + 0.5 * (a == b) for a, w in zip(scores, won, strict=True) if w for b, v in zip(scores, won, strict=True) if not v
    ]
    found = held_out_auc(np.column_stack([sizes, colours]), np.array(won), BOTH, 5)
    assert found == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
