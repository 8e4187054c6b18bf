import json
from pathlib import Path
from typing import NamedTuple

import pytest

from jobs import build
from jobs.settings import Settings


class Built(NamedTuple):
    """The dbt project built on its sample: the warehouse, what dbt says of every node, and its manifest."""

    warehouse: Path
    nodes: list[dict]
    manifest: dict


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Models, seeds, data tests and unit tests on the sample, in one process; fails with the first node that does."""
    home = tmp_path_factory.mktemp("sample")
    nodes = build.dbt(["build"], home / "dev.duckdb", Settings(home=home, dbt_target="dev"), {})
    return Built(home / "dev.duckdb", nodes, json.loads((home / "warehouse" / "dbt" / "manifest.json").read_text()))
