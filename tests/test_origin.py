"""When a run may bring the last build up to date, and when it builds from nothing."""

import duckdb
import pytest

from jobs import origin
from jobs.origin import Origin
from jobs.settings import Settings

AS_OF = "2026-07-01T00:00:00Z"
MANIFEST = {"snapshot_id": "s3", "changes": [{"since": "s2", "file": "b"}, {"since": "s1", "file": "a"}]}


@pytest.fixture
def home(tmp_path):
    (tmp_path / "warehouse").mkdir()
    return tmp_path


def base(home, **facts) -> Origin:
    made = Origin(**{"snapshot_id": "s1", "as_of": AS_OF, "rules": "r", "updates": 2, **facts})
    origin.write(home / "warehouse" / "base.duckdb", made)
    return made


@pytest.mark.parametrize("snapshot_id", ["s1", "s2", "s3"])
def test_a_base_that_the_snapshot_reaches_back_to_is_brought_up_to_date(home, snapshot_id):
    made = base(home, snapshot_id=snapshot_id)
    assert origin.updatable(home, AS_OF, "r", MANIFEST, 30) == made
    assert origin.updatable(home, "2026-07-02T00:00:00Z", "r", MANIFEST, 3) == made


@pytest.mark.parametrize(
    ("facts", "as_of", "rules", "most"),
    [
        ({"snapshot_id": "s0"}, AS_OF, "r", 30),
        ({}, "2026-06-30T23:59:59Z", "r", 30),
        ({}, AS_OF, "changed", 30),
        ({}, AS_OF, "r", 2),
        ({"updates": 0}, AS_OF, "r", 0),
    ],
    ids=["unknown snapshot", "earlier as-of", "changed rules", "updated often enough", "never"],
)
def test_otherwise_a_build_starts_from_nothing(home, facts, as_of, rules, most):
    base(home, **facts)
    assert origin.updatable(home, as_of, rules, MANIFEST, most) is None


def test_a_base_that_says_nothing_is_not_used(home):
    assert origin.updatable(home, AS_OF, "r", MANIFEST, 30) is None
    duckdb.connect(str(home / "warehouse" / "base.duckdb")).close()
    assert origin.updatable(home, AS_OF, "r", MANIFEST, 30) is None


def test_rules_change_with_vars_and_code_but_not_with_what_a_run_computes_for(tmp_path):
    project = tmp_path / "dbt_project"
    for folder in ("models", "macros", "seeds"):
        (project / folder).mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: p")
    (project / "models" / "m.sql").write_text("select 1")
    settings = Settings(dbt_project_dir=project)
    rules = origin.rules_of(settings, {"as_of": AS_OF, "tier": "basic"})
    assert rules == origin.rules_of(settings, {"as_of": "2026-07-02T00:00:00Z", "snapshot": "x", "tier": "basic"})
    assert rules != origin.rules_of(settings, {"as_of": AS_OF, "tier": "enhanced"})
    (project / "models" / "m.sql").write_text("select 2")
    assert rules != origin.rules_of(settings, {"as_of": AS_OF, "tier": "basic"})
