"""The queries of docs/metrics.md run as they stand on published marts, and the page names every rule."""

import re
from pathlib import Path

import duckdb
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
QUERIES = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
RULES = {"N": 55, "L": 17, "K": 23, "W": 3, "A": 3, "H": 4, "S": 10, "G": 14}


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_query_runs_and_answers(tiny_home, number):
    with duckdb.connect(str(tiny_home / "published" / "current" / "marts.duckdb"), read_only=True) as con:
        rows = con.execute(QUERIES[number]).fetchall()
    # in the tiny tenant nobody of ours has answered a customer, and no deal was won
    assert bool(rows) == (number < 8)


def test_there_are_nine_questions_and_a_comparison():
    assert len(QUERIES) == 10


def test_page_has_every_rule_once():
    named = re.findall(r"^- \*\*([A-Z]\d+)\*\* ", PAGE, re.MULTILINE)
    assert [rule for rule in named if rule[0] != "R"] == [
        f"{part}{n}" for part, count in RULES.items() for n in range(1, count + 1)
    ]
