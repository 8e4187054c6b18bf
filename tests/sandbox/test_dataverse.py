"""Dataverse: change tracking, paging, columns, annotations, errors."""

from pathlib import Path

import orjson
import pytest

from tests.sandbox.world import API, TRACKED, account, client, ids, page, round_of, write

ONE, TWO, THREE = (account(n)["accountid"] for n in (1, 2, 3))


def test_first_round_pages_and_later_rounds_list_changes_then_removals(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "dataverse/accounts.jsonl": [account(1), account(2), account(3)],
            "changes/001/dataverse/accounts.jsonl": [
                {"id": ONE.upper(), "@removed": {"reason": "deleted"}},
                account(2, name="Renamed"),
                account(4),
            ],
        },
    )
    sandbox, http = client(folder)
    first = page(http, f"{API}/accounts", TRACKED)
    assert len(first["value"]) == 2 and "@odata.deltaLink" not in first
    rows, link = round_of(http, f"{API}/accounts", TRACKED)
    assert ids(rows, "accountid") == [ONE, TWO, THREE]
    idle, link = round_of(http, link, TRACKED)
    assert idle == []
    assert sandbox.advance() == {"advanced": True, "step": 1, "steps": 1}
    body = page(http, link, {"prefer": "odata.track-changes"})
    assert body["@odata.context"].endswith("#accounts/$delta")
    assert ids(body["value"], "accountid") == [TWO, account(4)["accountid"], f"-{ONE}"]
    assert body["value"][0]["name"] == "Renamed"
    assert body["value"][2]["@odata.context"].endswith("#accounts/$deletedEntity")
    assert round_of(http, body["@odata.deltaLink"], TRACKED)[0] == []
    assert sandbox.advance()["advanced"] is False


def test_a_round_goes_on_as_it_began_and_a_restarted_sandbox_knows_its_links(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "dataverse/accounts.jsonl": [account(1), account(2), account(3)],
            "changes/001/dataverse/accounts.jsonl": [account(3, name="Later"), account(4)],
        },
    )
    sandbox, http = client(folder)
    link = page(http, f"{API}/accounts", TRACKED)["@odata.nextLink"]
    sandbox.advance()
    rows, after = round_of(http, link, TRACKED)
    assert [row["name"] for row in rows] == ["Account 3"]
    assert [row["name"] for row in round_of(http, after, TRACKED)[0]] == ["Later", "Account 4"]
    held, link = round_of(http, f"{API}/accounts", TRACKED)
    assert len(held) == 4
    restarted, http = client(folder)
    assert restarted.tenant.step == 0
    assert round_of(http, link, TRACKED)[0] == []
    assert restarted.tenant.step == 1


def test_select_keeps_key_and_etag_and_annotations_as_preferred(tmp_path: Path) -> None:
    lookup = "Microsoft.Dynamics.CRM.lookuplogicalname"
    label = "OData.Community.Display.V1.FormattedValue"
    row = account(1, revenue=0, _ownerid_value="u", industrycode=3)
    row = {"@odata.etag": 'W/"7"', **row, f"_ownerid_value@{lookup}": "systemuser", f"industrycode@{label}": "Consulting"}
    line = orjson.dumps(row).decode().replace('"revenue":0', '"revenue":4990.0000000000')
    _, http = client(write(tmp_path, {"dataverse/accounts.jsonl": [line]}))
    url = f"{API}/accounts?$select=revenue,_ownerid_value,industrycode,not_there"
    reply = http.get(url, headers={"prefer": f'odata.include-annotations="{lookup}"'})
    assert b'"revenue":4990.0000000000' in reply.content
    (kept,) = reply.json()["value"]
    assert kept.keys() == {"@odata.etag", "accountid", "revenue", "_ownerid_value", f"_ownerid_value@{lookup}", "industrycode"}
    bare = page(http, f"{API}/accounts", {"prefer": "odata.maxpagesize=5"})["value"][0]
    assert not any("@" in name[1:] for name in bare) and bare["name"] == "Account 1"
    (everything,) = page(http, url, {"prefer": 'odata.include-annotations="*"'})["value"]
    assert everything[f"industrycode@{label}"] == "Consulting"


@pytest.mark.parametrize("option", ["filter", "orderby", "expand", "top"])
def test_change_tracking_refuses_other_options(tmp_path: Path, option: str) -> None:
    _, http = client(write(tmp_path, {"dataverse/accounts.jsonl": [account(1)]}))
    reply = http.get(f"{API}/accounts?${option}=x", headers=TRACKED)
    assert reply.status_code == 400
    expected = f'The "${{{option}}}" query parameter isn\'t supported when Change Tracking is enabled.'
    assert reply.json()["error"]["message"] == expected


def test_plain_list_has_no_delta_link_and_takes_top(tmp_path: Path) -> None:
    _, http = client(write(tmp_path, {"dataverse/accounts.jsonl.gz": [account(n) for n in range(5)]}))
    rows, link = round_of(http, f"{API}/accounts?$top=3", {"prefer": "odata.maxpagesize=2"})
    assert len(rows) == 3 and link is None
    assert page(http, f"{API}/contacts", {})["value"] == []


def test_dead_or_foreign_tokens_need_a_full_sync(tmp_path: Path) -> None:
    _, http = client(write(tmp_path, {"dataverse/accounts.jsonl": [account(1)]}))
    _, link = round_of(http, f"{API}/accounts", TRACKED)
    for url in (f"{API}/accounts?$deltatoken=919042%2108", link.replace("/accounts", "/contacts")):
        reply = http.get(url)
        assert reply.status_code == 400 and reply.json()["error"]["code"] == "0x80044352"


def test_whoami_definitions_and_unknown_tables(tmp_path: Path) -> None:
    _, http = client(write(tmp_path, {"dataverse/accounts.jsonl": []}))
    assert page(http, f"{API}/WhoAmI")["UserId"]
    tables = page(http, f"{API}/EntityDefinitions?$select=LogicalName,ChangeTrackingEnabled")["value"]
    assert {"activityparty", "opportunityclose"} <= {row["LogicalName"] for row in tables if row["ChangeTrackingEnabled"]}
    assert page(http, f"{API}/EntityDefinitions(LogicalName='account')")["EntitySetName"] == "accounts"
    reply = http.get(f"{API}/nothings")
    assert reply.status_code == 404 and reply.json()["error"]["code"] == "0x80060888"
    assert http.post(f"{API}/accounts").status_code == 405


def test_n13_one_guid_in_any_spelling_is_one_record(tmp_path: Path) -> None:
    rows = [account(1), {**account(1, name="Renamed"), "accountid": f"{{{ONE.upper()}}}"}, account(2)]
    rows.append({"id": f"{{{TWO}}}", "@removed": {"reason": "deleted"}})
    _, http = client(write(tmp_path, {"dataverse/accounts.jsonl": rows}))
    assert [row["name"] for row in round_of(http, f"{API}/accounts", TRACKED)[0]] == ["Renamed"]
