"""Modes, candidates, fallback, distance and order (S1 to S5)."""

import random
from datetime import date, timedelta

import polars as pl
import pytest

from jobs.similar import Attribute, Rules, attributes_of, match_deals
from jobs.similar.attributes import BUILT_IN
from jobs.similar.match import training_start
from tests.similar.deals import BOTH, COLOUR, SIZE, WEEK, by_hand, closed, deal, random_rows, table

OPEN = deal("open", "open", size=5.0, colour="red")


def listed(rows, rules=None, attributes=BOTH, open_id="open"):
    """The ids that are similar to one open deal, in rank order, and the kind of match."""
    pairs = match_deals(table(rows, attributes), attributes, WEEK, rules).pairs.filter(pl.col("opportunity_id") == open_id)
    assert pairs["rank"].to_list() == list(range(1, pairs.height + 1))
    return pairs["similar_opportunity_id"].to_list(), pairs["match"].unique().to_list()


def test_s1_training_starts_three_calendar_years_before():
    assert training_start(date(2026, 7, 6)) == date(2023, 7, 6)
    assert training_start(date(2028, 2, 28)) == date(2025, 2, 28)


def test_s1_29_february_starts_on_the_28th():
    assert training_start(date(2044, 2, 29)) == date(2041, 2, 28)


def test_s1_a_deal_closed_on_the_first_training_day_takes_part_one_day_earlier_does_not():
    edge = (WEEK - date(2023, 7, 6)).days
    rows = [OPEN, *closed(29, 30, size=5.0, colour="red")]
    assert match_deals(table([*rows, deal("edge", "won", edge)]), BOTH, WEEK).mode == "learned"
    assert match_deals(table([*rows, deal("early", "won", edge + 1)]), BOTH, WEEK).mode == "fallback"


@pytest.mark.parametrize(
    ("won", "lost", "mode"),
    [(30, 30, "learned"), (30, 29, "equal"), (30, 0, "equal"), (29, 30, "fallback"), (29, 500, "fallback"), (0, 0, "fallback")],
)
def test_s2_mode(won, lost, mode):
    result = match_deals(table([OPEN, *closed(won, lost, size=5.0, colour="red")]), BOTH, WEEK)
    assert result.mode == mode
    assert result.attributes["mode"].unique().to_list() == [mode]
    assert result.attributes["won_count"].unique().to_list() == [won]
    assert result.attributes["lost_count"].unique().to_list() == [lost]


def test_s2_no_deals_at_all():
    result = match_deals(table([]), BOTH, WEEK)
    assert result.pairs.height == 0
    assert result.attributes["attribute"].to_list() == ["colour", "size"]
    assert result.attributes["importance"].to_list() == [None, None]


def test_s2_no_won_deal_no_rows():
    assert match_deals(table([OPEN, *closed(0, 40)]), BOTH, WEEK).pairs.height == 0


def test_s2_no_open_deal_no_rows():
    result = match_deals(table(closed(30, 30, size=1.0)), BOTH, WEEK)
    assert (result.mode, result.pairs.height) == ("learned", 0)


def test_s2_fallback_is_the_latest_won_of_any_age_then_by_id():
    old = [deal("old-b", "won", 5000), deal("old-a", "won", 5000), deal("new", "won", 1), deal("lost", "lost", 1)]
    assert listed([OPEN, *old]) == (["new", "old-a", "old-b"], ["fallback"])
    assert listed([OPEN, *old], Rules(similar_fallback_count=2)) == (["new", "old-a"], ["fallback"])


def test_s2_fallback_lists_at_most_100():
    rows = [OPEN, *(deal(f"w{n:03}", "won", 2000 + n) for n in range(120))]
    found, match = listed(rows)
    assert match == ["fallback"]
    assert found == [f"w{n:03}" for n in range(100)]


def test_s2_only_a_deal_without_candidate_falls_back():
    far = deal("far", "open", size=None, colour="none of them")
    rows = [OPEN, far, *closed(30, 30, size=5.0, colour="red"), deal("old", "won", 3000)]
    near, kind = listed(rows)
    assert (len(near), kind) == (10, ["nearest"])
    alone, kind = listed(rows, open_id="far")
    assert (len(alone), kind) == (31, ["fallback"])
    assert alone[-1] == "old", "fallback knows no training years"


def test_s2_candidates_are_training_deals_only():
    rows = [OPEN, *closed(30, 30, size=5.0, colour="red"), deal("a-twin", "won", 3000, size=5.0, colour="red")]
    assert "a-twin" not in listed(rows)[0]


def test_s2_lost_deals_are_no_candidates():
    rows = [OPEN, *closed(30, 40, size=5.0, colour="red")]
    assert all(found.startswith("w") for found in listed(rows)[0])


def test_s2_distance_of_exactly_one_half_is_near_enough():
    apart = [deal(f"w{n:02}", "won", size=5.0, colour="blue") for n in range(30)]
    rows = [OPEN, *apart]
    assert listed(rows)[1] == ["nearest"], "two equal weights, one attribute differs: 0.5"
    assert listed(rows, Rules(similar_max_distance=0.499999))[1] == ["fallback"]


def test_s2_the_limit_compares_nine_decimals():
    third = (SIZE, COLOUR, Attribute("shape", "category"))
    rows = [deal("open", "open", size=None, colour="a", shape="b")]
    rows += [deal(f"w{n:02}", "won", size=1.0, colour="b", shape="b") for n in range(30)]
    two_thirds = 0.6666666666
    assert listed(rows, Rules(similar_max_distance=two_thirds + 1e-10), third)[1] == ["fallback"]
    assert listed(rows, Rules(similar_max_distance=0.666666667), third)[1] == ["nearest"]


def test_s2_ties_go_to_the_latest_close_then_the_smallest_id():
    twins = [deal(f"w{n:02}", "won", 200 - n % 3, size=5.0, colour="red") for n in range(30)]
    found, _ = listed([OPEN, *twins])
    assert found == sorted(f"w{n:02}" for n in range(2, 30, 3))[:10]


def test_s2_distance_comes_before_close():
    others = [deal(f"w{n:02}", "won", 1, size=9.0, colour="red") for n in range(30)]
    found, _ = listed([OPEN, deal("z-twin", "won", 900, size=5.0, colour="red"), *others])
    assert found[0] == "z-twin"


def test_s2_a_deal_is_never_similar_to_itself():
    for seed in range(5):
        pairs = match_deals(table(random_rows(seed, BOTH)), BOTH, WEEK).pairs
        assert pairs.filter(pl.col("opportunity_id") == pl.col("similar_opportunity_id")).height == 0


def test_s3_numbers_of_zero_or_less_and_empty_texts_are_missing():
    rows = [deal("open", "open", size=0.0, colour="  "), *closed(30, 0, size=-3.0, colour="")]
    result = match_deals(table(rows), BOTH, WEEK)
    assert result.attributes["importance"].to_list() == [0, 0]


def test_s3_country_ignores_case_and_blanks_other_categories_keep_case():
    country = Attribute("country", "category")
    rows = [deal("open", "open", country=" FRANCE", colour="Red"), *closed(30, 0, country="France\t", colour="red ")]
    pairs = match_deals(table(rows, (country, COLOUR)), (country, COLOUR), WEEK).pairs
    assert pairs["distance"].to_list() == [0.5] * 10


def test_s3_extra_attributes_join_the_built_in_ones():
    names = [a.name for a in attributes_of([{"name": "new_region", "kind": "category"}])]
    assert names == [*(a.name for a in BUILT_IN), "new_region"]


@pytest.mark.parametrize(
    "entry", [{"name": "x"}, {"kind": "number"}, {"name": "x", "kind": "text"}, {"name": "country", "kind": "category"}]
)
def test_s3_a_wrong_extra_attribute_is_named(entry):
    with pytest.raises(Exception, match="similarity_attributes"):
        attributes_of([entry])


def test_s5_missing_on_either_or_both_sides_is_full_distance():
    for left, right in ((None, "red"), ("red", None), (None, None)):
        rows = [
            deal("open", "open", size=5.0, colour=left),
            *(deal(f"w{n:02}", "won", size=5.0, colour=right) for n in range(29)),
        ]
        rows.append(deal("w29", "won", size=5.0, colour="other"))
        pairs = match_deals(table(rows), BOTH, WEEK).pairs
        assert pairs["distance"].to_list() == [0.5] * 10


def test_s5_a_category_that_no_won_deal_has():
    rows = [deal("open", "open", size=5.0, colour="new"), *closed(30, 30, size=5.0, colour="red")]
    assert match_deals(table(rows), BOTH, WEEK).pairs["distance"].to_list() == [0.5] * 10


def test_s5_rank_of_an_open_deal_counts_smaller_values_and_half_of_equal_ones():
    rows = [
        deal("open", "open", size=2.5, colour="red"),
        *(deal(f"w{n:02}", "won", size=float(1 + n % 3), colour="red") for n in range(30)),
    ]
    pairs = match_deals(table(rows), BOTH, WEEK, Rules(similar_top=30)).pairs
    by_size = dict(zip(pairs["similar_opportunity_id"], pairs["distance"], strict=True))
    assert by_size["w00"] == pytest.approx(0.5 * (20 / 30 - 5 / 30), abs=1e-12)
    assert by_size["w01"] == pytest.approx(0.5 * (20 / 30 - 15 / 30), abs=1e-12)
    assert by_size["w02"] == pytest.approx(0.5 * (25 / 30 - 20 / 30), abs=1e-12)


def test_s5_a_deal_without_attributes_falls_back():
    rows = [deal("open", "open", size=None, colour=None), *closed(30, 30, size=5.0, colour="red")]
    assert listed(rows)[1] == ["fallback"]


@pytest.mark.parametrize("seed", range(12))
def test_s5_agrees_with_every_pair_computed_by_hand(seed):
    attributes = (*BOTH, Attribute("weight", "number"), Attribute("shape", "category"))
    rows = random_rows(seed, attributes, lost=50 if seed % 2 else 10)
    rules = Rules(similar_top=1 + seed, similar_max_distance=0.3 if seed % 3 else 0.5)
    result = match_deals(table(rows, attributes), attributes, WEEK, rules, threads=2)
    importance = dict(result.attributes.filter(pl.col("kind").is_not_null()).select("attribute", "importance").iter_rows())
    expected = by_hand(rows, attributes, importance, training_start(WEEK), rules)
    for open_id, pairs in expected.items():
        found = result.pairs.filter((pl.col("opportunity_id") == open_id) & (pl.col("match") == "nearest"))
        assert found["similar_opportunity_id"].to_list() == [deal_id for deal_id, _ in pairs]
        assert found["distance"].to_list() == pytest.approx([distance for _, distance in pairs], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_order_of_input_and_threads_change_nothing(seed):
    rows = random_rows(seed, BOTH)
    first = match_deals(table(rows), BOTH, WEEK)
    random.Random(seed + 100).shuffle(rows)
    again = match_deals(table(rows), BOTH, WEEK, threads=3)
    assert first.pairs.equals(again.pairs)
    assert first.attributes.equals(again.attributes)


def test_open_deals_do_not_move_each_other():
    rows = random_rows(1, BOTH)
    alone = [r for r in rows if r["state"] != "open"]
    one = next(r for r in rows if r["state"] == "open")
    whole = match_deals(table(rows), BOTH, WEEK).pairs.filter(pl.col("opportunity_id") == one["opportunity_id"])
    assert whole.equals(match_deals(table([*alone, one]), BOTH, WEEK).pairs)


def test_close_dates_of_open_deals_are_not_needed():
    rows = [OPEN, *closed(30, 30, size=5.0, colour="red")]
    assert rows[0]["close_date"] is None
    assert all(r["close_date"] == WEEK - timedelta(days=100) for r in rows[1:])
    assert listed(rows)[1] == ["nearest"]
