"""Every fault of the sandbox, one at a time: what the client holds when it is over is what the tenant holds."""

import pytest

from jobs.extract.errors import SourceError
from sandbox.faults import FAULTS
from tests.extract.test_recovery import HEALED
from tests.extract.world import UNA, World, account, assert_holds_the_tenant, event, guid, mailbox, message

SWITCHES = {
    "big_page": {"stream": "accounts", "megabytes": 50},
    "column_missing": {"stream": "accounts", "column": "name"},
    "global_rate": {"requests": 1, "window": 600},
    "mailbox_concurrency": {"limit": 0},
    "server_error": {"times": 2},
    "unauthorized": {"times": 1},
}
PARKS = [*HEALED, "broken_line", "column_missing"]
"""Faults after which a later try, or a full round, is needed."""


def tenant():
    replies = [{"name": "In-Reply-To", "value": "<x@mid>"}]
    messages = [message(f"m{n}") for n in range(5)] + [message(f"s{n}", "Sent", internetMessageHeaders=replies) for n in range(3)]
    events = [event("master", "2026-06-01", type="seriesMaster"), *(event(f"e{n}") for n in range(3)), event("far", "2029-06-01")]
    events += [event(f"o{n}", type="occurrence", seriesMasterId="master") for n in range(2)]
    return {"dataverse/accounts.jsonl": [account(n) for n in range(5)], **mailbox(messages, events)}


def changes():
    gone = {"@removed": {"reason": "deleted"}}
    return {
        "dataverse/accounts.jsonl": [account(1, name="new"), account(9), {"id": guid(2), **gone}],
        f"graph/{UNA}/messages.jsonl": [message("m1", "Sent"), message("m9"), {"id": "m2", **gone}],
        f"graph/{UNA}/events.jsonl": [event("e1", subject="new"), event("e9"), {"id": "e2", **gone}],
    }


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_is_survived(tmp_path, name):
    world = World(tmp_path, tenant())
    world.given = {"page_size": 2, "crm_page_size": 2, "reconcile_days": 7 if name in PARKS else 0}
    world.sandbox.switch_on([{"fault": name, "rate": 0.5, **SWITCHES.get(name, {})}], seed=3)
    for step in (changes(), {}):
        for extract in (lambda: world.crm("accounts", "contacts"), world.exchange):
            try:
                extract()
            except SourceError as error:
                assert name in ("unauthorized", "forbidden", "global_rate"), error
        world.step(step)
        world.clock.pass_by(hours=2)
    (count,) = world.sandbox.faults.counts()
    assert count["struck"] > 0 or name == "change_tracking_off"  # asked for first, and then heeded
    world.sandbox.switch_on([])
    world.clock.pass_by(days=8 if name in PARKS else 2)
    assert not world.crm("accounts", "contacts").partial and not world.exchange().partial
    assert_holds_the_tenant(world)
