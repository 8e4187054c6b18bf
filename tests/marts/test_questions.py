"""The queries of docs/metrics.md run as they stand on published marts, and the page names every rule."""

import re
from pathlib import Path

import duckdb
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
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


def test_every_question_is_an_exposure_of_the_marts_that_its_query_reads():
    labels = re.findall(r"^\*\*(?:\d\. |And: )(.*?\?)\*\*", PAGE, re.MULTILINE)
    asked = {
        label.lower(): set(re.findall(r"\b(?:from|join) (\w+) as\b", query)) for label, query in zip(labels, QUERIES, strict=True)
    }
    exposures = yaml.safe_load((ROOT / "dbt_project" / "models" / "marts" / "summary" / "_questions.yml").read_text())[
        "exposures"
    ]
    assert {e["label"].lower(): set(re.findall(r"'(\w+)'", " ".join(e["depends_on"]))) for e in exposures} == asked


def test_page_has_every_rule_once():
    named = re.findall(r"^- \*\*([A-Z]\d+)\*\* ", PAGE, re.MULTILINE)
    assert [rule for rule in named if rule[0] != "R"] == [
        f"{part}{n}" for part, count in RULES.items() for n in range(1, count + 1)
    ]
