"""The one check of a week before it is written (S9); later gates look at its checksum alone."""

from collections.abc import Mapping
from datetime import date

import duckdb

from jobs.publish.catalogue import Mart, quote
from jobs.publish.writer import check_shape
from jobs.similar.rules import SimilarError

TOLERANCE = "1e-9"
SHOWN = 5

RULES = {
    "similar_won_deal": {
        "a deal is never similar to itself": "opportunity_id = similar_opportunity_id",
        "match is nearest or fallback": "match NOT IN ('nearest', 'fallback')",
        "only a nearest deal has a distance, from 0 to 1": f"(match = 'nearest') <> coalesce(distance BETWEEN 0 AND 1 + {TOLERANCE}, false) OR (match = 'fallback' AND distance IS NOT NULL)",
        "a similar deal was closed before the week": "close_date >= week_of",
        "counts and hours are not negative": "activities < 0 OR time_spent_by_team_hours < 0 OR response_time_by_us_hours < 0",
        "rates lie in 0 to 1": "response_rate_by_them NOT BETWEEN 0 AND 1",
    },
    "similar_deal_benchmark": {
        "basis is whole_life or same_age": "basis NOT IN ('whole_life', 'same_age')",
        "some deal is averaged": "similar_count < 1",
        "an open deal has an age": "deal_age_days <= 0",
        "averages are not negative": "least(emails_sent, emails_received, meetings_sent, meetings_received, calls_made, calls_received, activities, time_spent_by_team_hours, time_spent_by_customer_hours) < 0",
        "rates lie in 0 to 1": f"response_rate_by_us NOT BETWEEN 0 AND 1 + {TOLERANCE} OR response_rate_by_them NOT BETWEEN 0 AND 1 + {TOLERANCE}",
    },
    "similar_deal_attribute": {
        "mode is learned, equal or fallback": "mode NOT IN ('learned', 'equal', 'fallback')",
        "importance and AUC lie in 0 to 1": f"importance NOT BETWEEN 0 AND 1 + {TOLERANCE} OR auc NOT BETWEEN 0 AND 1",
        "fallback has no importance": "(mode = 'fallback' OR attribute = '(all)') AND importance IS NOT NULL",
    },
}
"""Per mart: a rule, and the condition of rows that break it."""

WHOLE = {
    "ranks run from 1 without gaps": "SELECT opportunity_id FROM {similar_won_deal} GROUP BY ALL HAVING min(rank) <> 1 OR max(rank) <> count(*)",
    "a deal has one kind of match": "SELECT opportunity_id FROM {similar_won_deal} GROUP BY ALL HAVING count(DISTINCT match) > 1",
    "a similar deal is listed once": "SELECT opportunity_id, similar_opportunity_id FROM {similar_won_deal} GROUP BY ALL HAVING count(*) > 1",
    "nearer deals come first": "SELECT opportunity_id, rank FROM (SELECT *, lag(distance) OVER (PARTITION BY opportunity_id ORDER BY rank) AS before FROM {similar_won_deal}) WHERE round(before, 9) > round(distance, 9)",
    "a benchmark has both bases and no more deals than are similar": "SELECT opportunity_id FROM {similar_deal_benchmark} AS b LEFT JOIN (SELECT opportunity_id, count(*) AS listed FROM {similar_won_deal} GROUP BY ALL) AS s USING (opportunity_id) GROUP BY ALL HAVING count(*) <> 2 OR max(similar_count) > coalesce(max(listed), 0)",
    "importances sum to 1": f"SELECT any_value(mode) AS mode, sum(importance) AS total FROM {{similar_deal_attribute}} HAVING abs(sum(importance) - 1) > {TOLERANCE} AND sum(importance) <> 0",
}  # fmt: skip
"""Rules over several rows, and a query of what breaks them."""


def check_week(con: duckdb.DuckDBPyConnection, relations: Mapping[Mart, str], week_of: date) -> None:
    """Raise `SimilarError` with the first broken rule and some of its rows; `relations` hold one week of each weekly mart."""
    names = {mart.name: relation for mart, relation in relations.items()}
    for mart, relation in relations.items():
        check_shape(con, mart, relation)
        key = ", ".join(quote(c) for c in mart.key)
        empty = [quote(c.name) for c in mart.columns if not c.nullable]
        checks = {
            "rows belong to the week": f"SELECT {key} FROM {relation} WHERE week_of IS DISTINCT FROM DATE '{week_of}'",
            "the key is unique": f"SELECT {key} FROM {relation} GROUP BY ALL HAVING count(*) > 1",
            "needed values are there": f"SELECT {key} FROM {relation} WHERE {' OR '.join(f'{c} IS NULL' for c in empty)}",
            **{rule: f"SELECT {key} FROM {relation} WHERE {broken}" for rule, broken in RULES[mart.name].items()},
        }
        for rule, query in checks.items():
            _expect_none(con, query, week_of, mart.name, rule)
    for rule, query in WHOLE.items():
        _expect_none(con, query.format(**names), week_of, "similar deals", rule)


def _expect_none(con: duckdb.DuckDBPyConnection, query: str, week_of: date, subject: str, rule: str) -> None:
    broken = con.sql(query)
    rows = broken.order(", ".join(broken.columns)).limit(SHOWN).fetchall()
    if rows:
        count = broken.aggregate("count(*)").fetchone()[0]
        shown = "; ".join(" ".join(str(v) for v in row) for row in rows)
        raise SimilarError(
            f"week {week_of}, {subject}: {rule}: {count} rows break this, such as {shown}; the week is not written"
        )
