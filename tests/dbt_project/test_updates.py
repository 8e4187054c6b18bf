"""A build that brings the last one up to date gives what a build from nothing gives, whatever changed in the lake."""

import shutil
from datetime import timedelta
from pathlib import Path
from random import Random

import duckdb
import pytest

from jobs import origin
from jobs.build import dbt_vars
from jobs.runs import instant_text
from jobs.settings import Settings
from tests.dbt_project import world

VARS = {"tier": "enhanced", "history_start": None}
TABLES = len(world.world(0, activities=1))


def settings_of(home: Path, **more) -> Settings:
    given = {"reporting_timezone": world.ZONE, "dbt_target": "ci", "dbt_vars": {"holidays": world.HOLIDAYS}}
    return Settings(home=home, **{**given, **more})


def build(settings: Settings, name: str, as_of) -> tuple[Path, bool]:
    candidate, _, is_update = origin.build_candidate(settings, name, dbt_vars(settings, as_of=instant_text(as_of), **VARS))
    return candidate, is_update


def content(warehouse: Path) -> dict[str, tuple]:
    """Rows and a hash of every table that may be published."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        tables = con.execute("select schema_name, table_name from duckdb_tables() where schema_name in ('main', 'restricted')")
        return {
            name: con.execute(
                f'select count(*), bit_xor(hash(t::varchar)), sum(hash(t::varchar)) from "{schema}"."{name}" as t'
            ).fetchone()
            for schema, name in tables.fetchall()
        }


def touched(warehouse: Path) -> tuple[int, int]:
    """Activities that an update worked out anew, and all that there are."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        models = ("int_touched_activity", "int_activity")
        return tuple(con.execute(f"select count(*) from intermediate.{model}").fetchone()[0] for model in models)


def days_agree(home: Path, seed: int, days: int, tables: int = 3) -> None:
    """Build day after day out of the day before, each beside a build from nothing; `tables` tables change twice a day."""
    random = Random(seed)
    settings, anew = settings_of(home), settings_of(home, most_updates=0)
    rows, as_of, steps = world.world(seed, activities=400), world.AS_OF - timedelta(days=1), []
    world.write(rows, home / "lake", "s0")
    candidate, is_update = build(settings, "first", as_of)
    assert not is_update
    for day in range(1, days + 1):
        shutil.move(candidate, home / "warehouse" / "base.duckdb")
        for part in ("a", "b"):
            since = f"s{day - 1}" if part == "a" else f"s{day - 1}b"
            later = world.next_day(random, rows, world.world(seed + 100 * day + (part == "b"), activities=450), tables)
            steps.insert(0, (since, world.changes(rows, later)))
            rows = later
        world.write(rows, home / "lake", f"s{day}", steps)
        as_of += timedelta(seconds=random.choice([0, 1, 86400, 8 * 86400]))
        candidate, is_update = build(settings, f"update-{day}", as_of)
        assert is_update
        full, is_update = build(anew, f"full-{day}", as_of)
        assert not is_update
        found, expected = content(candidate), content(full)
        assert {name for name in expected if found[name] != expected[name]} == set(), (seed, day)
        anew_again, everything = touched(candidate)
        assert 0 < anew_again < everything
        full.unlink()


def test_an_update_equals_a_build_from_nothing(tmp_path):
    days_agree(tmp_path, seed=15, days=1)


def test_an_update_after_every_table_changed_equals_a_build_from_nothing(tmp_path):
    days_agree(tmp_path, seed=4, days=1, tables=TABLES)


def test_an_update_of_figures_that_time_alone_moves_equals_a_build_from_nothing(tmp_path):
    world.write(world.world(5, activities=400), tmp_path / "lake", "s0")
    first, _ = build(settings_of(tmp_path), "first", world.AS_OF)
    shutil.move(first, tmp_path / "warehouse" / "base.duckdb")
    later = world.AS_OF + timedelta(days=8)
    candidate, is_update = build(settings_of(tmp_path), "update", later)
    assert is_update
    full, _ = build(settings_of(tmp_path, most_updates=0), "full", later)
    assert content(candidate) == content(full)


@pytest.mark.long
@pytest.mark.parametrize(("seed", "tables"), [*zip(range(40, 44), [3] * 4, strict=True), (44, TABLES), (45, TABLES)])
def test_many_updates_equal_builds_from_nothing(tmp_path, seed, tables):
    days_agree(tmp_path, seed, days=4, tables=tables)
