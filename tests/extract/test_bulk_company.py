"""A company that is imported from exports is the company that the APIs show."""

import pytest

from jobs.extract.bulk import import_folder
from sandbox.company import generate
from tests.extract import exports
from tests.extract.world import normalised, world_of


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    folder = tmp_path_factory.mktemp("company") / "company"
    generate(folder, scale=0.01)
    return folder


@pytest.fixture(scope="module")
def by_api(company, tmp_path_factory):
    """The normalised tables of a world that was extracted."""
    world = world_of(company, tmp_path_factory.mktemp("api"))
    assert not world.crm().partial and not world.exchange().partial
    return normalised(world)


def without_labels(tables):
    """Exports hold no labels of options and lookups: the next run of the extractors brings them."""
    return {name: frame.drop(c for c in frame.columns if c.endswith("_label")) for name, frame in tables.items()}


EXPORTS = {
    "CDM, in place": exports.write_cdm,
    "CDM, append-only": lambda tenant, folder: exports.write_cdm(tenant, folder, append_only=True),
    "Parquet": lambda tenant, folder: exports.write_tables(tenant, folder, delta=False),
    "Delta": lambda tenant, folder: exports.write_tables(tenant, folder, delta=True),
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_import_gives_what_the_apis_give(company, by_api, tmp_path, kind):
    world = world_of(company, tmp_path / "home")
    EXPORTS[kind](company, tmp_path / "tables")
    exports.write_connect(company, tmp_path / "connect")
    for folder in ("tables", "connect"):
        done = import_folder(tmp_path / folder, world.home, world.settings, "import", world.clock.timing)
        assert done.rows > 500 and not done.skipped and not done.rejects
    ours, theirs = without_labels(normalised(world)), without_labels(by_api)
    assert ours.keys() == theirs.keys()
    assert [name for name, frame in theirs.items() if not frame.equals(ours[name])] == []
