"""The sentence that says why two deals are similar."""

import polars as pl

from jobs.similar import Attribute, Rules, match_deals
from tests.similar.deals import WEEK, closed, deal, table

INDUSTRY = Attribute("industry", "category", "industry_label")
REVENUE = Attribute("account_revenue", "number")
COUNTRY = Attribute("country", "category")
ALL = (REVENUE, INDUSTRY, COUNTRY)


def reason(rows, rules=None):
    deals = table(rows, ALL).with_columns(industry_label=pl.when(pl.col("industry") == "7").then(pl.lit("Retail")))
    return match_deals(deals, ALL, WEEK, rules).pairs["reason"].unique(maintain_order=True).to_list()


def test_reason_names_what_both_have_in_the_words_of_the_crm():
    rows = [deal("open", "open", account_revenue=1234567.0, industry="7", country="France")]
    rows += closed(30, 0, account_revenue=1234567.0, industry="7", country="france")
    assert reason(rows) == ["Same account revenue (1,234,567), same industry (Retail) and same country (france)."]


def test_reason_shows_the_code_where_there_is_no_label():
    rows = [deal("open", "open", industry="9", country="a"), *closed(30, 0, industry="9", country="b")]
    assert reason(rows) == ["Same industry (9)."]


def test_reason_leaves_out_numbers_that_differ():
    won = [deal(f"w{n:02}", "won", account_revenue=float(100 * (n + 1)), industry="7", country="x") for n in range(30)]
    rows = [deal("open", "open", account_revenue=0.5, industry="7", country="x"), *won]
    texts = reason(rows, Rules(similar_top=30))
    assert texts[0] == "Same industry (Retail), same country (x) and similar account revenue (0.5 and 100)."
    assert texts[-1] == "Same industry (Retail) and same country (x)."


def test_reason_of_a_fallback_says_why():
    assert reason([deal("open", "open"), deal("w", "won")]) == ["Too few closed deals to compare; this is one of those won last."]
    assert reason([deal("open", "open"), *closed(30, 30, industry="7")]) == [
        "No won deal is near enough; this is one of those won last."
    ]


def test_reason_when_nothing_is_the_same():
    rows = [deal("open", "open", industry="1"), *closed(30, 0, industry="2")]
    assert reason(rows, Rules(similar_max_distance=1)) == ["No attribute is the same or nearly so."]
