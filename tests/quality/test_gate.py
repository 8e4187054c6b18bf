"""The gate: clean data passes, and for every check there is a defect that it catches."""

import json
import shutil
import sys
from datetime import UTC, datetime

import duckdb
import pytest

from jobs.publish import publish
from jobs.publish.verdict import GateError
from jobs.publish.versions import Published
from jobs.quality.gate import EXPECTATIONS, gate
from jobs.quality.suites import read_suite, read_suites
from tests.quality import world


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A home with a clean candidate of every mart, one week of similar deals included."""
    home = tmp_path_factory.mktemp("clean")
    world.build(home, world.WEEK)
    world.settings(home)
    return home


@pytest.fixture(autouse=True)
def pages_only_where_they_are_looked_at(monkeypatch, request):
    """Spare the time of Data Docs in all tests but the one that opens them."""
    if "every_mart_has_a_suite" not in request.node.name:
        monkeypatch.setattr(sys.modules["jobs.quality.gate"], "_write_docs", lambda *_: None)


def judged(clean, tmp_path, defect="", suites=None, run=None, after=None, **more):
    """The verdict on a copy of the clean home with `defect` in its candidate, by the named suites alone."""
    home = tmp_path / "home"
    shutil.copytree(clean, home, symlinks=True)
    path = home / "warehouse" / "candidates" / "r1.duckdb"
    if defect:
        with duckdb.connect(str(path)) as con:
            con.execute("SET TimeZone = 'UTC'")
            con.execute(defect)
    if after:
        after(home)
    folder = EXPECTATIONS
    if suites:
        folder = tmp_path / "expectations"
        folder.mkdir()
        for file in [*EXPECTATIONS.glob("_*.yml"), *(EXPECTATIONS / f"{s}.yml" for s in suites)]:
            shutil.copy(file, folder)
    return gate(path, home, run or world.context(), world.settings(home, **more), expectations=folder)


def failed(verdict):
    return {(c.table, c.name) for c in verdict.failures}


def test_clean_data_passes_and_every_mart_has_a_suite(clean, tmp_path):
    verdict = judged(clean, tmp_path)
    assert [c.text() for c in verdict.failures] == [] and verdict.status == "pass"
    assert set(world.MARTS) <= {s.table for s in read_suites(EXPECTATIONS)}
    assert (verdict.folder / "docs" / "index.html").exists()
    assert json.loads((verdict.folder / "result.json").read_text())["status"] == "pass"


def broken_value(expectation):
    """A value that a column check must not accept: a null, one beyond the bound, or an unknown word."""
    if expectation.type == "expect_column_values_to_not_be_null":
        return "NULL"
    if expectation.type == "expect_column_values_to_be_in_set":
        return "'?'"
    low, high = expectation.kwargs.get("min_value"), expectation.kwargs.get("max_value")
    return str(low - 1 if low is not None else high + 1)


def test_every_column_check_catches_its_own_defect(clean, tmp_path):
    """One broken row for each column check of every mart and of every table of the lake."""
    suites = [s for s in read_suites(EXPECTATIONS) if s.schema != "raw"]
    defects, expected = [], set()
    with duckdb.connect(str(clean / "warehouse" / "candidates" / "r1.duckdb"), read_only=True) as con:
        kinds = {
            (schema, table, column): kind
            for schema, table, column, kind in con.execute(
                "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns()"
            ).fetchall()
        }
    for suite in suites:
        for expectation in suite.expectations:
            if expectation.type == "expect_no_rows":
                continue
            column, relation = expectation.kwargs["column"], f"{suite.schema}.{suite.table}"
            value = f"CAST({broken_value(expectation)} AS {kinds[suite.schema, suite.table, column]})"
            defects.append(f"INSERT INTO {relation} SELECT * REPLACE ({value} AS {column}) FROM {relation} LIMIT 1")
            expected.add((suite.name, expectation.name))
    verdict = judged(clean, tmp_path, ";\n".join(defects))
    assert expected - failed(verdict) == set() and len(expected) > 420
    assert verdict.status == "critical"


def test_every_upper_bound_catches_its_defect(clean, tmp_path):
    defects, expected = [], set()
    for suite in read_suites(EXPECTATIONS):
        for expectation in suite.expectations:
            high = expectation.kwargs.get("max_value")
            if high is not None and suite.table in world.MARTS:
                column = expectation.kwargs["column"]
                defects.append(f"UPDATE main.{suite.table} SET {column} = {high} + 1")
                expected.add((suite.name, expectation.name))
    suites = sorted({table for table, _ in expected})
    assert expected <= failed(judged(clean, tmp_path, ";\n".join(defects), suites)) and len(expected) > 30


SENT = "UPDATE kpi_contact SET emails_sent = emails_sent + 1, interactions_by_us = interactions_by_us + 1 WHERE contact_id = 'c1'"
# suite: {check: SQL that breaks it}; a check that several suites share is broken in one of them
DEFECTS = {
    "kpi_contact": {
        "key_unique": "INSERT INTO kpi_contact FROM kpi_contact WHERE contact_id = 'c1'",
        "record_exists": "UPDATE kpi_contact SET contact_id = 'gone' WHERE contact_id = 'c1'",
        "as_of_is_the_runs": "UPDATE kpi_contact SET as_of = as_of - INTERVAL 1 DAY WHERE contact_id = 'c1'",
        "ratio_times_inverse_is_one": "UPDATE kpi_contact SET sent_received_ratio_by_us = 2.1 WHERE contact_id = 'c1'",
        "interactions_are_the_sum_of_counts": "UPDATE kpi_contact SET calls_made = 1 WHERE contact_id = 'c1'",
        "hours_are_minutes_by_60": "UPDATE kpi_contact SET time_spent_by_team_hours = 0.3 WHERE contact_id = 'c1'",
        "first_last_and_next_are_in_order": "UPDATE kpi_contact SET last_interaction_at = as_of WHERE contact_id = 'c1'",
        "interactions_are_whole": "UPDATE kpi_contact SET last_interaction_type = NULL WHERE contact_id = 'c1'",
    },
    "kpi_window": {
        "record_exists": "UPDATE kpi_window SET record_id = 'gone' WHERE record_id = 'c1'",
        "windows_are_30_and_90": "UPDATE kpi_window SET window_days = 31 WHERE window_days = 30",
        "window_is_part_of_the_longer": "UPDATE kpi_window SET emails_received = 2, interactions_by_them = 2 WHERE window_days = 30",
    },
    "kpi_history": {"health_on_lifetime_rows_only": "UPDATE kpi_history SET score = 5 WHERE kpi_set = '30d'"},
    "dim_user": {"user_exists": "UPDATE dim_user SET user_id = 'gone' WHERE user_id = 'u1'"},
    "dim_contact": {"account_id_exists": "UPDATE dim_contact SET account_id = 'gone' WHERE contact_id = 'c1'"},
    "dim_opportunity": {
        "account_id_exists": "UPDATE dim_opportunity SET account_id = 'gone'",
        "contact_id_exists": "UPDATE dim_opportunity SET contact_id = 'gone'",
        "open_deals_have_no_close_date": "UPDATE dim_opportunity SET close_date = DATE '2026-01-01'",
    },
    "dim_date": {"no_day_is_missing": "DELETE FROM dim_date WHERE date = DATE '2026-06-03'"},
    "activity": {
        "status_fits_the_as_of": "UPDATE activity SET status = 'scheduled' WHERE activity_id = 'c1-1'",
        "ends_after_it_starts": "UPDATE activity SET ended_at = occurred_at - INTERVAL 1 SECOND WHERE activity_id = 'c1-1'",
        "machine_mail_says_why": "UPDATE activity SET is_bulk = true WHERE activity_id = 'c1-1'",
    },
    "activity_record_link": {"key_unique": "INSERT INTO activity_record_link FROM activity_record_link LIMIT 1"},
    "relationship_summary": {"positions_without_gaps": "UPDATE relationship_summary SET position = 3 WHERE position = 2 AND record_id = 'c1'"},
    "relationship_activity_daily": {"no_day_after_the_as_of": "UPDATE relationship_activity_daily SET activity_date = DATE '2026-07-06' WHERE record_id = 'c1'"},
    "relationship_activity_60d": {"exactly_60_days": "DELETE FROM relationship_activity_60d WHERE record_id = 'c1' AND activity_date = DATE '2026-06-06'"},
    "most_contacted": {
        "ranks_without_gaps": "DELETE FROM most_contacted WHERE rank = 2 AND record_id = 'a1'",
        "total_is_the_sum": "UPDATE most_contacted SET meeting_count = 1 WHERE rank = 1 AND record_id = 'a1'",
        "ranked_by_total": "UPDATE most_contacted SET email_count = 9, total_count = 9 WHERE rank = 3 AND record_id = 'a1'",
    },
    "most_contacted_by": {
        "ranks_without_gaps": "UPDATE most_contacted_by SET rank = 4 WHERE rank = 3 AND record_id = 'a1'",
        "total_is_the_sum": "UPDATE most_contacted_by SET meeting_count = 1 WHERE rank = 1 AND record_id = 'a1'",
        "ranked_by_total": "UPDATE most_contacted_by SET email_count = 9, total_count = 9 WHERE rank = 3 AND record_id = 'a1'",
    },
    "who_knows_whom": {
        "record_exists": "UPDATE who_knows_whom SET contact_id = 'gone' WHERE contact_id = 'c1'",
        "ranks_without_gaps": "UPDATE who_knows_whom SET rank = 1 WHERE contact_id = 'c1'",
        "band_fits_strength": "UPDATE who_knows_whom SET band = 'weak' WHERE contact_id = 'c1'",
        "one_way_is_capped": "UPDATE who_knows_whom SET is_one_way = true WHERE contact_id = 'c1'",
    },
    "relationship_alert": {
        "evidence_is_an_object": "UPDATE relationship_alert SET evidence = '[1]' WHERE alert = 'going_dark'",
        "since_is_before_the_as_of": "UPDATE relationship_alert SET since = as_of + INTERVAL 1 SECOND WHERE alert = 'going_dark'",
    },
    "opportunity_attention": {
        "ranks_without_gaps": "UPDATE opportunity_attention SET rank = 5 WHERE rank = 3",
        "high_alerts_are_alerts": "UPDATE opportunity_attention SET high_alert_count = 9 WHERE rank = 1",
    },
    "stakeholder_coverage": {"engaged_are_some_of_the_people": "UPDATE stakeholder_coverage SET engaged_people_90d_count = 3"},
    "relationship_health": {"grade_fits_score": "UPDATE relationship_health SET score = 59 WHERE record_id = 'c1'"},
    "similar_won_deal": {
        "ranks_without_gaps": "UPDATE similar_won_deal SET rank = 2 WHERE opportunity_id = 'o1'",
        "never_similar_to_itself": "UPDATE similar_won_deal SET similar_opportunity_id = opportunity_id WHERE opportunity_id = 'o1'",
        "distance_only_of_nearest": "UPDATE similar_won_deal SET match = 'fallback' WHERE opportunity_id = 'o1'",
    },
    "similar_deal_attribute": {"importances_sum_to_one": "UPDATE similar_deal_attribute SET importance = 0.6"},
    "lake_activity": {
        "key_unique": "INSERT INTO lake.activity FROM lake.activity LIMIT 1",
        "years_are_possible": "UPDATE lake.activity SET occurred_at = TIMESTAMPTZ '1980-01-01' WHERE activity_id = 'c1-1'",
        "activity_type_in_set": "UPDATE lake.activity SET activity_type = 'fax' WHERE activity_id = 'c1-2'",
        "source_state_in_set": "UPDATE lake.activity SET source_state = '?' WHERE activity_id = 'c1-2'",
        "activity_id_not_null": "UPDATE lake.activity SET activity_id = NULL WHERE activity_id = 'c1-3'",
    },
    "lake_activity_participant": {
        "address_or_party": "UPDATE lake.activity_participant SET address = NULL WHERE activity_id = 'c1-1' AND role = 'to'",
        "one_sender": "UPDATE lake.activity_participant SET role = 'sender' WHERE activity_id = 'c1-1'",
        "role_in_set": "UPDATE lake.activity_participant SET role = 'friend' WHERE activity_id = 'c1-2' AND role = 'to'",
        "response_in_set": "UPDATE lake.activity_participant SET response = 'maybe' WHERE activity_id = 'c1-2'",
    },
    "lake_activity_thread": {"key_unique": "INSERT INTO lake.activity_thread FROM lake.activity_thread LIMIT 1"},
    "lake_person_address": {
        "one_person": "UPDATE lake.person_address SET lead_id = 'l1' WHERE address = 'p1@client.example'",
        "side_in_set": "UPDATE lake.person_address SET side = 'both' WHERE address = 'p2@client.example'",
        "rule_not_null": "UPDATE lake.person_address SET rule = NULL WHERE address = 'p3@client.example'",
    },
    "lake_quarantine": {"reason_not_null": "INSERT INTO lake.quarantine VALUES ('graph', 'users', NULL, 'r')"},
    **{f"lake_crm_{t}": {"key_unique": f"INSERT INTO lake.crm_{t} FROM lake.crm_{t} LIMIT 1"} for t in ("account", "contact", "lead", "opportunity", "systemuser")},
}  # fmt: skip
CROSS_TABLE = {
    "numbers_are_finite": "UPDATE kpi_contact SET response_time_by_us_hours = 'NaN' WHERE contact_id = 'c1'; UPDATE who_knows_whom SET strength = 'inf' WHERE contact_id = 'c1'",
    "daily_sum_is_lifetime": SENT,
    "history_equals_lifetime": SENT,
    "dimension_and_kpi_have_the_same_records": "DELETE FROM dim_lead WHERE lead_id = 'l1'",
    "every_record_has_60_days_and_two_windows": "DELETE FROM kpi_window WHERE record_id = 'o2' AND window_days = 30",
    "history_has_three_sets_a_record": "DELETE FROM kpi_history WHERE record_id = 'a2' AND kpi_set = '90d'",
    "dense_days_equal_sparse_days": "UPDATE relationship_activity_60d SET calls_made = 1 WHERE record_id = 'a3' AND activity_date = DATE '2026-06-30'",
    "links_and_activities_belong_together": "DELETE FROM activity_record_link WHERE activity_id = 'c1-1'",
    "interactions_are_activities": "UPDATE kpi_lead SET next_interaction_activity_id = 'gone' WHERE lead_id = 'l2'",
    "attention_lists_open_deals": "DELETE FROM opportunity_attention WHERE opportunity_id = 'o3'",
    "attention_counts_its_alerts": "DELETE FROM relationship_alert WHERE alert = 'no_next_step'",
    "colleagues_are_users": "UPDATE who_knows_whom SET user_id = 'u9' WHERE user_id = 'u1'",
    "history_repeats_health": "UPDATE relationship_health SET score = 71 WHERE record_id = 'c3'",
    "calendar_covers_every_date": "DELETE FROM dim_date WHERE date < DATE '2026-06-15'",
}  # fmt: skip


# their defects lie in facts about sources and versions, and stand in the tests below
TESTS_OF_THEIR_OWN = {
    "sources": {"source_age", "stream_age", "rows_are_conserved", "quarantine_rate", "unresolved_rate", "days_without_activity"},
    "cross_version": {
        "mart_emptied",
        "row_drop",
        "row_growth",
        "kpi_jump",
        "days_and_weeks_are_kept",
        "contract_is_kept",
        "weeks_are_as_written",
    },
    "raw_page_row": {"records_have_ids", "links_on_page_rows_only", "links_without_a_host"},
}


def rounds():
    """The defects in rounds of one a suite, so that no two are in the same table."""
    left = {suite: list(checks.items()) for suite, checks in DEFECTS.items()}
    while any(left.values()):
        yield {suite: checks.pop(0) for suite, checks in left.items() if checks}


@pytest.mark.parametrize("defects", list(rounds()), ids=lambda d: f"{len(d)} suites")
def test_every_rule_of_a_table_catches_its_defect(clean, tmp_path, defects):
    verdict = judged(clean, tmp_path, ";\n".join(sql for _, sql in defects.values()), list(defects))
    names = {suite: read_suite(EXPECTATIONS / f"{suite}.yml").name for suite in defects}
    assert {(names[suite], check) for suite, (check, _) in defects.items()} - failed(verdict) == set()


@pytest.mark.parametrize("checks", [list(CROSS_TABLE)[n::3] for n in range(3)], ids=" ".join)
def test_every_rule_over_tables_catches_its_defect(clean, tmp_path, checks):
    for check in checks:
        verdict = judged(clean, tmp_path / check, CROSS_TABLE[check], ["cross_table"])
        assert ("cross_table", check) in failed(verdict) and len(verdict.failures) <= 3


def test_no_rule_is_without_a_defect():
    broken = {(suite, check) for suite, checks in DEFECTS.items() for check in checks}
    anywhere = {check for _, check in broken}
    shared = {
        e.name
        for f in ("_measures", "_interactions", "_record", "_as_of")
        for e in read_suite(EXPECTATIONS / f"{f}.yml").expectations
    }
    elsewhere = {"basic_tier_has_no_responses", *CROSS_TABLE}
    for file in EXPECTATIONS.glob("[!_]*.yml"):
        rules = {e.name for e in read_suite(file).expectations if e.type == "expect_no_rows"}
        if file.stem in TESTS_OF_THEIR_OWN:
            assert rules == TESTS_OF_THEIR_OWN[file.stem]
            continue
        for name in rules - elsewhere:
            known = (file.stem, name) in broken
            assert known or (name in {*shared, "key_unique", "record_exists"} and name in anywhere), (file.name, name)


def test_kpi_spec_8_basic_tier_has_no_responses(clean, tmp_path):
    verdict = judged(clean, tmp_path, suites=["kpi_lead"], run=world.context(tier="basic"))
    assert failed(verdict) == {("kpi_lead", "basic_tier_has_no_responses")}


def marks(hours, **more):
    at = datetime(2026, 7, 6, tzinfo=UTC).timestamp() - hours * 3600
    return [
        {
            "source": "graph",
            "stream": "users",
            "last_complete_round_started_at": datetime.fromtimestamp(at, UTC),
            "parked_reason": None,
            **more,
        }
    ]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"watermarks": marks(48)}, set()),
        ({"watermarks": marks(-3)}, set()),
        ({"watermarks": marks(48.01)}, {"source_age", "stream_age"}),
        ({"watermarks": [*marks(48.01), *marks(1, stream="messages/u1")]}, {"stream_age"}),
        ({"watermarks": marks(1, last_complete_round_started_at=None)}, {"source_age", "stream_age"}),
        ({"watermarks": marks(48.01, parked_reason="403")}, set()),
        ({"watermarks": marks(48.01), "is_backfill": True}, set()),
        ({"watermarks": marks(48.01), "replayed": True}, set()),
    ],
)
def test_g6_source_age(clean, tmp_path, run, expected):
    verdict = judged(clean, tmp_path, suites=["sources"], run=world.context(**run))
    assert {name for _, name in failed(verdict)} == expected


def test_the_other_rules_about_sources(clean, tmp_path):
    lost = judged(clean, tmp_path / "1", suites=["sources"], after=lambda home: world.conservation(home, kept=439))
    assert failed(lost) == {("sources", "rows_are_conserved")} and lost.status == "critical"
    shifted = judged(clean, tmp_path / "5", suites=["sources"], after=lambda home: world.conservation(home, unbalanced_streams=2))
    assert failed(shifted) == {("sources", "rows_are_conserved")} and shifted.status == "critical"
    unreadable = judged(
        clean,
        tmp_path / "2",
        suites=["sources"],
        after=lambda home: world.conservation(home, kept=430, **{"quarantined:bad_time": 10}),
    )
    assert failed(unreadable) == {("sources", "quarantine_rate")} and unreadable.status == "pass"
    unknown = judged(
        clean, tmp_path / "3", "UPDATE lake.person_address SET contact_id = NULL WHERE address LIKE 'p1%'", ["sources"]
    )
    assert failed(unknown) == {("sources", "unresolved_rate")}
    busy = "INSERT INTO activity SELECT * EXCLUDE (i) REPLACE ('x' || i AS activity_id, TIMESTAMPTZ '2026-06-08 10:00:00+00' + to_days((i % 3)::int) AS occurred_at) FROM (FROM activity LIMIT 1), range(1200) r(i)"
    gap = judged(clean, tmp_path / "4", busy, ["sources"])
    assert failed(gap) == {("sources", "days_without_activity")}


RAW = """
    COPY (SELECT 'graph' AS source, 'users' AS stream, 1::bigint AS round, 'delta' AS round_kind, 0 AS page, n AS "row", if(n = 0, 'page', 'upsert') AS op,
                 if(n = 0, NULL, 'id' || n) AS record_id, '{}' AS payload, if(n = 0, '/v1.0/users?x', NULL) AS link_next, if(n = 0, 'delta', NULL) AS link_kind,
                 TIMESTAMPTZ '2026-07-05 22:00:00+00' AS received_at
          FROM range(3) r(n)) TO '{file}' (FORMAT parquet);
"""


def raw_log(home, change=""):
    file = home / "lake" / "raw" / "graph" / "users" / "1.parquet"
    file.parent.mkdir(parents=True)
    with duckdb.connect() as con:
        con.execute(RAW.replace("{file}", str(file)))
        if change:
            con.execute(f"CREATE TABLE t AS FROM '{file}'; UPDATE t SET {change}; COPY t TO '{file}' (FORMAT parquet)")


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("", None),
        ("record_id = NULL WHERE \"row\" = 1", "records_have_ids"),
        ("link_kind = 'next' WHERE \"row\" = 1", "links_on_page_rows_only"),
        ("link_next = 'https://elsewhere.example/' WHERE \"row\" = 0", "links_without_a_host"),
    ],
)  # fmt: skip
def test_the_raw_log_keeps_its_boundaries(clean, tmp_path, change, check):
    verdict = judged(clean, tmp_path, suites=["raw_page_row"], after=lambda home: raw_log(home, change))
    assert failed(verdict) == ({("raw.page_row", check)} if check else set())


def test_every_column_check_of_the_raw_log_catches_its_own_defect(clean, tmp_path):
    checks = [e for e in read_suite(EXPECTATIONS / "raw_page_row.yml").expectations if e.type != "expect_no_rows"]

    def one_file_for_each(home):
        raw_log(home)
        file = home / "lake" / "raw" / "graph" / "users" / "1.parquet"
        with duckdb.connect() as con:
            for number, check in enumerate(checks):
                con.execute(f"CREATE OR REPLACE TABLE t AS FROM '{file}' LIMIT 1")
                con.execute(f'UPDATE t SET "{check.kwargs["column"]}" = {broken_value(check)}')
                con.execute(f"COPY t TO '{file.with_name(f'defect{number}.parquet')}' (FORMAT parquet)")

    verdict = judged(clean, tmp_path, suites=["raw_page_row"], after=one_file_for_each)
    assert {("raw.page_row", c.name) for c in checks} - failed(verdict) == set() and len(checks) == 14


@pytest.fixture(scope="module")
def published(clean, tmp_path_factory):
    """A home whose clean candidate is published, with 1,000 links more and as many log entries as G5 asks for."""
    home = tmp_path_factory.mktemp("published") / "home"
    shutil.copytree(clean, home, symlinks=True)
    path = home / "warehouse" / "candidates" / "r1.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("DELETE FROM similar_won_deal; DELETE FROM similar_deal_benchmark; DELETE FROM similar_deal_attribute")
        con.execute(
            "INSERT INTO activity_record_link SELECT * EXCLUDE (i) REPLACE ('x' || i AS activity_id) FROM (FROM activity_record_link LIMIT 1), range(1000) r(i)"
        )
    folder = tmp_path_factory.mktemp("one") / "expectations"
    folder.mkdir()
    shutil.copy(EXPECTATIONS / "dim_user.yml", folder)
    gate(path, home, world.context(), world.settings(home), expectations=folder)
    publish(path, home, world.context(), world.settings(home))
    for n in range(6):
        Published(home).record({"id": f"e{n}", "action": "publish", "version": f"v{n}", "run_id": None})
    shutil.copy(clean / "warehouse" / "candidates" / "r1.duckdb", path)
    return home


LINKS = "INSERT INTO activity_record_link SELECT * EXCLUDE (i) REPLACE ('x' || i AS activity_id) FROM (FROM activity_record_link LIMIT 1), range({}) r(i)"


@pytest.mark.parametrize(
    ("defect", "run", "expected", "status"),
    [
        (LINKS.format(1000), {}, set(), "pass"),
        (LINKS.format(791), {}, set(), "pass"),
        (LINKS.format(789), {}, {"row_drop"}, "hold"),
        (LINKS.format(789), {"is_backfill": True}, set(), "pass"),
        (LINKS.format(789), {"never_held": True}, set(), "pass"),
        (LINKS.format(1211), {}, {"row_growth"}, "pass"),
        (f"{LINKS.format(1000)}; DELETE FROM relationship_summary", {}, {"mart_emptied", "row_drop"}, "critical"),
        (f"{LINKS.format(1000)}; DELETE FROM relationship_alert; DELETE FROM who_knows_whom", {}, set(), "pass"),
        (f"{LINKS.format(1000)}; UPDATE relationship_activity_daily SET emails_sent = 20", {}, set(), "pass"),
        (f"{LINKS.format(1000)}; UPDATE kpi_contact SET time_spent_by_team_minutes = 99", {}, set(), "pass"),
    ],
)  # fmt: skip
def test_g5_row_counts(published, tmp_path, defect, run, expected, status):
    verdict = judged(published, tmp_path, defect, ["cross_version"], world.context(**run))
    assert ({name for _, name in failed(verdict)}, verdict.status) == (expected, status)


def test_kpi_jump_contract_and_weeks(published, tmp_path):
    jump = judged(
        published,
        tmp_path / "1",
        f"{LINKS.format(1000)}; UPDATE kpi_window SET time_spent_by_team_minutes = 12.5 * 1.6",
        ["cross_version"],
    )
    assert (
        failed(jump) == {("cross_version", "kpi_jump")}
        and jump.failures[0].examples[0]["column_name"] == "time_spent_by_team_minutes"
    )

    def damage(home):
        (home / "lake" / "history" / "similar" / "week_of=2026-06-29").mkdir(parents=True)

    weeks = judged(published, tmp_path / "2", LINKS.format(1000), ["cross_version"], after=damage)
    assert failed(weeks) == {("cross_version", "weeks_are_as_written")} and weeks.status == "critical"

    def narrower(home):
        marts = {**world.MARTS, "dim_user": (world.MARTS["dim_user"][0], "user_id VARCHAR!, name VARCHAR, is_enabled BOOLEAN!")}
        world.write_project(home / "dbt_project", marts)

    drop = f"{LINKS.format(1000)}; ALTER TABLE dim_user DROP email; ALTER TABLE dim_user DROP business_unit_id; ALTER TABLE dim_user DROP business_unit"
    changed = judged(published, tmp_path / "3", drop, ["cross_version"], after=narrower)
    assert (
        failed(changed) == {("cross_version", "contract_is_kept")}
        and "column_name=email, change=disappeared" in changed.failures[0].text()
    )
    major = judged(published, tmp_path / "4", drop, ["cross_version"], world.context(contract_version="2.0"), narrower)
    assert failed(major) == set()


def test_a_day_that_readers_have_does_not_vanish(published, tmp_path):
    def more_days(home):
        file = Published(home).current().folder / "manifest.json"
        manifest = json.loads(file.read_text())
        days = manifest["marts"]["kpi_history"]["files"]
        days.update(
            {
                f"parquet/kpi_history/{day}.parquet": days["parquet/kpi_history/2026-07-05.parquet"]
                for day in ("2026-07-04", "2020-01-01")
            }
        )
        file.chmod(0o644)
        file.write_text(json.dumps(manifest))

    lost = judged(published, tmp_path / "1", LINKS.format(1000), ["cross_version"], after=more_days)
    assert failed(lost) == {("cross_version", "days_and_weeks_are_kept")} and lost.status == "critical"
    assert [row["partition_value"].isoformat() for row in lost.failures[0].examples] == ["2026-07-04"]
    erased = judged(published, tmp_path / "2", LINKS.format(1000), ["cross_version"], world.context(never_held=True), more_days)
    assert failed(erased) == set()


def test_marts_that_may_be_empty(published, tmp_path):
    gone = f"{LINKS.format(1000)}; DELETE FROM restricted.activity_subject; DELETE FROM kpi_lead"
    for number, (more, expected) in enumerate(
        [
            ({}, ["kpi_lead"]),
            ({"may_be_empty": ["kpi_lead"]}, []),
            ({"collect_subjects": True}, ["activity_subject", "kpi_lead"]),
        ]
    ):
        verdict = judged(published, tmp_path / str(number), gone, ["cross_version"], **more)
        assert sorted(row["mart"] for c in verdict.failures if c.name == "mart_emptied" for row in c.examples) == expected


def test_evidence_is_kept_limited_and_named(clean, tmp_path):
    verdict = judged(
        clean,
        tmp_path,
        "INSERT INTO activity_record_link SELECT * EXCLUDE (i) REPLACE ('gone' || i AS record_id) FROM (FROM activity_record_link LIMIT 1), range(5000) r(i)",
        ["activity_record_link"],
    )
    check = next(c for c in verdict.failures if c.name == "record_exists")
    assert check.unexpected == 5000 and len(check.examples) == 5 and check.remedy and check.reason
    with duckdb.connect() as con:
        assert con.execute(f"SELECT count(*) FROM '{verdict.folder / check.evidence}'").fetchall() == [(1000,)]
    with pytest.raises(GateError, match=r"record_exists.*5000 rows: record_type=account, record_id=gone"):
        verdict.raise_critical()


def test_a_check_that_cannot_run_fails(clean, tmp_path):
    verdict = judged(clean, tmp_path, "DROP TABLE lake.activity_thread", ["lake_activity_thread", "lake_quarantine"])
    assert verdict.status == "critical" and "cannot be checked" in verdict.failures[0].observed


def test_a_candidate_that_is_no_database_is_named(clean, tmp_path):
    with pytest.raises(GateError, match=r"r1\.duckdb cannot be opened: .*; build it again"):
        judged(clean, tmp_path, after=lambda home: (home / "warehouse/candidates/r1.duckdb").write_bytes(b"x" * 9000))


def test_personal_columns_of_the_lake_stay_out_of_messages(clean, tmp_path):
    verdict = judged(clean, tmp_path, "INSERT INTO lake.person_address FROM lake.person_address LIMIT 1", ["lake_person_address"])
    assert verdict.failures[0].examples == [] and "client.example" not in verdict.failures[0].text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table: x\nexpectations:\n  - type: expect_magic\n", "type expect_magic is none of"),
        (
            "table: x\nexpectations:\n  - type: expect_no_rows\n    name: a\n    kwargs: {query: SELECT 1}\n    meta: {severity: critical}\n",
            "meta needs rule, reason, remedy",
        ),
        (
            "table: x\nexpectations:\n  - type: expect_no_rows\n    name: a\n    kwargs: {query: SELECT 1}\n    meta: {severity: loud, rule: a, reason: a, remedy: a}\n",
            "a severity of critical, hold, warn",
        ),
        ("table: x\nexpectations: [\n", "is not YAML"),
        ("table: x\ninclude: [nothing]\n", "is missing though a suite includes it"),
    ],
)
def test_a_suite_that_is_wrong_is_named(tmp_path, text, message):
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(GateError, match=message):
        read_suites(tmp_path)
