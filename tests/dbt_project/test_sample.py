"""`make dev`: the project builds on its sample alone, and what it builds makes sense."""

import duckdb
import pytest


@pytest.fixture(scope="module")
def con(sample):
    with duckdb.connect(str(sample.warehouse), read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        yield con


def test_every_model_data_test_and_unit_test_passes(sample):
    assert {node["status"] for node in sample.nodes} <= {"success", "pass", "no-op"}
    assert sum(node["status"] == "pass" for node in sample.nodes) > 200


def test_marts_of_the_sample_have_rows(con, sample):
    marts = [n["name"] for n in sample.manifest["nodes"].values() if n["resource_type"] == "model" and n["schema"] == "main"]
    empty = {m for m in marts if con.execute(f"select count(*) from {m}").fetchone()[0] == 0}
    assert empty == {"similar_won_deal", "similar_deal_benchmark", "similar_deal_attribute"}


def test_k12_dense_view_has_sixty_days_of_every_record(con):
    days = con.execute("select count(*) from relationship_activity_60d group by record_type, record_id").fetchall()
    assert set(days) == {(60,)}
    assert len(days) == con.execute("select count(*) from intermediate.int_record").fetchone()[0]


def test_g10_days_sum_up_to_the_lifetime(con):
    different = con.execute("""
        with summed as (select record_id, sum(emails_sent) sent, sum(calls_received) calls from relationship_activity_daily group by 1)
        select * from intermediate.int_record_kpi kpi left join summed using (record_id)
        where kpi.emails_sent <> coalesce(sent, 0) or kpi.calls_received <> coalesce(calls, 0)""").fetchall()
    assert not different


def test_dates_of_all_marts_are_in_the_calendar(con, sample):
    found = 0
    for node in sample.manifest["nodes"].values():
        for column in node.get("columns", {}).values():
            if node["schema"] == "main" and column.get("data_type") == "date":
                name = column["name"]
                missing = con.execute(
                    f"select {name} from {node['name']} where {name} not in (select date from dim_date)"
                ).fetchall()
                assert not missing, f"{node['name']}.{name}"
                found += 1
    assert found > 8


def test_rows_name_the_as_of(con, sample):
    for node in sample.manifest["nodes"].values():
        if node["schema"] == "main" and "as_of" in node.get("columns", {}):
            values = con.execute(f"select distinct as_of from {node['name']}").fetchall()
            assert [v.isoformat() for (v,) in values] == ["2026-07-06T00:00:00+00:00"], node["name"]


def test_rows_are_matched_by_hash(con, sample):
    plans = {
        node["name"]: con.execute(f"explain {node['compiled_code']}").fetchone()[1]
        for node in sample.manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    assert "HASH_JOIN" in plans["kpi_history"]
    slow = {name for name, plan in plans.items() if "NL_JOIN" in plan or "NESTED_LOOP_JOIN" in plan}
    assert not slow, "each pair of rows is compared: put what a left join asks of its left side into the key, with case"
