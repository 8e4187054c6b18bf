"""A run through storms of refusals and random faults publishes, value by value, what an undisturbed run does."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.demo import demo_environment, read_tenant
from sandbox.company import generate
from sandbox.faults import HARMLESS
from sandbox.server import Server
from tests import tiny_tenant
from tests.conftest import rapport
from tests.end_to_end.test_killed_run import content, versions
from tests.extract.world import normalised, world_of

DAGS = ("extract_crm", "extract_exchange", "relationship_kpis")
SMALL_PAGES = {"RAPPORT_PAGE_SIZE": "2", "RAPPORT_CRM_PAGE_SIZE": "2"}
STORM = [
    {"fault": "throttled", "rate": 0.2, "retry_after": "decimal", "seconds": 0.05},
    {"fault": "throttled", "rate": 0.02, "retry_after": "date", "seconds": 1},
    {"fault": "global_rate", "requests": 60, "window": 0.5},
    {"fault": "slow", "rate": 0.2, "seconds": 0.01},
    {"fault": "mailbox_concurrency"},
]


def weather(rate: float) -> list[dict[str, Any]]:
    """A storm of 429s, and every fault that passes at a rate that makes `rate` of all."""
    others = [name for name in HARMLESS if name != "throttled"]
    return [*STORM, *({"fault": name, "rate": rate / len(others)} for name in others)]


def published(tenant: Path, home: Path, faults: list[dict[str, Any]], *dags: str, **more: str) -> tuple[str, Counter[str]]:
    """Content hash of the version that the demo's DAGs publish under faults, and how often each fault struck."""
    with Server(tenant) as server:
        server.sandbox.switch_on(faults, seed=5)
        done = rapport("run", *dags, **demo_environment(tenant, read_tenant(tenant), server.url, None, home), **more)
        struck = Counter()
        for count in server.sandbox.faults.counts():
            struck[count["fault"]] += count["struck"]
    assert done.returncode == 0, done.stdout + done.stderr
    return content(home), struck


def extracted(tenant: Path, home: Path, faults: list[dict[str, Any]]) -> dict[str, pl.DataFrame]:
    """The normalised tables of a tenant extracted under faults, in this process, where waiting takes no time."""
    world = world_of(tenant, home)
    world.sandbox.switch_on(faults, seed=5)
    assert not world.crm().partial and not world.exchange().partial
    assert not faults or sum(fault["struck"] > 0 for fault in world.sandbox.faults.counts()) > 12
    return normalised(world)


def test_a_company_extracted_in_a_storm_is_the_same_company(tmp_path):
    generate(tmp_path / "company", scale=0.01)
    refusals = [
        fault for fault in weather(0.3) if fault["fault"] not in ("global_rate", "slow") and fault.get("retry_after") != "date"
    ]
    calm, storm = (
        extracted(tmp_path / "company", tmp_path / "calm", []),
        extracted(tmp_path / "company", tmp_path / "storm", refusals),
    )
    assert calm.keys() == storm.keys()
    assert [name for name, frame in calm.items() if not frame.equals(storm[name])] == []


def test_small_company_in_a_storm(tmp_path, tiny_home):
    tenant = tiny_tenant.write(tmp_path / "tiny")
    found, struck = published(tenant, tmp_path / "home", weather(0.5), *DAGS, **SMALL_PAGES)
    assert struck["throttled"] >= 5 and len(+struck) >= 8
    assert found == versions(tiny_home)[0]["content_hash"]


@pytest.mark.long
@pytest.mark.parametrize(("scale", "sizes"), [(0.05, SMALL_PAGES), (1.0, {})], ids=["small", "whole"])
def test_generated_company_in_a_storm(tmp_path, scale, sizes):
    generate(tmp_path / "company", scale=scale)
    calm, _ = published(tmp_path / "company", tmp_path / "calm", [], *DAGS, "similar_won_deals")
    found, struck = published(tmp_path / "company", tmp_path / "storm", weather(0.05), *DAGS, "similar_won_deals", **sizes)
    assert struck["throttled"] > 100 and len(+struck) > 15
    assert found == calm
