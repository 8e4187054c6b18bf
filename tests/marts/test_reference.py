"""The models of people, health, alerts and summary agree with a second implementation on a random world of edge cases."""

import duckdb
import pytest

from jobs import build
from jobs.settings import Settings
from tests.marts import world
from tests.marts.reference import Reference

FOLDERS = [f"models/{layer}/{part}" for layer in ("intermediate", "marts") for part in ("people", "health", "alerts", "summary")]
MARTS = {
    "most_contacted": 3,
    "most_contacted_by": 3,
    "who_knows_whom": 2,
    "relationship_health": 2,
    "stakeholder_coverage": 2,
    "relationship_alert": 3,
    "opportunity_attention": 1,
    "relationship_summary": 3,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A random world and a warehouse in which the models were run on it."""
    home = tmp_path_factory.mktemp("home")
    rows = world.world(seed=7)
    warehouse = home / "world.duckdb"
    world.write(rows, str(warehouse))
    variables = {"as_of": world.AS_OF.isoformat(), "reporting_timezone": world.ZONE}
    build.dbt(["run", "--select", *FOLDERS], warehouse, Settings(home=home, dbt_target="dev"), variables)
    with duckdb.connect(str(warehouse), read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        yield rows, con


@pytest.mark.parametrize("mart", MARTS)
def test_mart_agrees_with_the_reference(built, mart):
    rows, con = built
    reference = Reference(rows)
    expected = reference.most_contacted(mart) if mart.startswith("most_contacted") else getattr(reference, mart)()
    key = MARTS[mart]
    columns = ", ".join(_columns(con, mart))
    found = con.execute(f"select {columns} from {mart}").fetchall()
    actual = {row[:key]: row[key:] for row in found}
    assert len(actual) == len(found), "key is not unique"
    assert len(actual) > 5
    different = {
        k: (expected.get(k), actual.get(k))
        for k in expected.keys() | actual.keys()
        if k not in expected or k not in actual or not all(map(_equal, expected[k], actual[k]))
    }
    assert not different


def test_random_world_reaches_every_alert(built):
    rows, _ = built
    assert {alert for _, _, alert in Reference(rows).relationship_alert()} == {
        "going_dark", "ghosted", "single_threaded", "no_next_step",
        "overdue_contact", "no_decision_maker", "close_date_passed", "declining",
    }  # fmt: skip


def _equal(expected, actual) -> bool:
    if isinstance(expected, float) and isinstance(actual, float):
        return abs(expected - actual) <= 1e-9
    return expected == actual


def _columns(con, mart: str) -> list[str]:
    described = [name for name, *_ in con.execute(f"describe {mart}").fetchall()]
    return [name for name in described if name != "as_of"]
