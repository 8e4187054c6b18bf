"""The whole way from HTTP to published marts on a tenant whose figures are computed by hand."""

import duckdb
import pytest

from tests import tiny_tenant as tiny


@pytest.fixture(scope="module")
def marts(tiny_home):
    with duckdb.connect(str(tiny_home / "published" / "current" / "marts.duckdb"), read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        yield con


def row(con, sql: str, *parameters) -> dict:
    found = con.execute(sql, parameters)
    names = [d[0] for d in found.description]
    rows = found.fetchall()
    assert len(rows) == 1, f"{len(rows)} rows for {sql}"
    return dict(zip(names, rows[0], strict=True))


def test_contact_counts_ratios_and_time(marts):
    cleo = row(marts, "select * from kpi_contact where contact_id = ?", tiny.CLEO)
    assert (cleo["emails_sent"], cleo["emails_received"], cleo["meetings_sent"], cleo["calls_made"]) == (2, 1, 1, 0)
    assert cleo["sent_received_ratio_by_us"] == 2.0 and cleo["sent_received_ratio_by_them"] == 0.5
    # two mails of ours 5 each, one read 2.5, a meeting of 30 minutes with Una and Bo
    assert cleo["time_spent_by_team_minutes"] == 5 + 5 + 2.5 + 60
    # two mails read 2.5 each, one written 5, the meeting once
    assert cleo["time_spent_by_customer_minutes"] == 2.5 + 2.5 + 5 + 30


def test_contact_responses(marts):
    cleo = row(marts, "select * from kpi_contact where contact_id = ?", tiny.CLEO)
    assert cleo["response_time_by_them_hours"] == 3.0
    # blocks of ours: 1 June answered, 10 June unanswered and older than the grace; Cleo's answer of 1 June is unanswered too
    assert cleo["response_rate_by_them"] == 0.5 and cleo["response_rate_by_us"] == 0.0
    assert (cleo["responses_awaited_from_us"], cleo["responses_awaited_from_them"]) == (0, 0)


def test_first_last_and_next_interaction(marts):
    cleo = row(marts, "select * from kpi_contact where contact_id = ?", tiny.CLEO)
    assert str(cleo["first_interaction_at"])[:19] == "2026-06-01 09:00:00"
    assert (str(cleo["last_interaction_at"])[:19], cleo["last_interaction_type"], cleo["last_interaction_by"]) == (
        "2026-06-15 10:00:00",
        "meeting",
        "us",
    )
    assert (str(cleo["next_interaction_at"])[:19], cleo["next_interaction_type"]) == ("2026-07-07 10:00:00", "meeting")


def test_bulk_mail_is_excluded_and_counted_as_such(marts):
    dan = row(marts, "select * from kpi_contact where contact_id = ?", tiny.DAN)
    assert (dan["emails_sent"], dan["calls_made"], dan["emails_excluded"]) == (1, 1, 1)


def test_account_sums_each_activity_once(marts):
    acme = row(marts, "select * from kpi_account where account_id = ?", tiny.ACME)
    assert (acme["emails_sent"], acme["emails_received"], acme["meetings_sent"], acme["calls_made"]) == (2, 1, 1, 1)
    assert (acme["team_people_90d"], acme["customer_people_90d"]) == (2, 2)


def test_opportunity_reads_its_owner_and_contact(marts):
    deal = row(marts, "select * from kpi_opportunity where opportunity_id = ?", tiny.DEAL)
    assert (deal["emails_sent"], deal["emails_received"], deal["meetings_sent"], deal["calls_made"]) == (2, 1, 1, 0)


def test_copies_in_two_mailboxes_are_one_activity(marts):
    assert row(marts, "select count(*) as n from activity where activity_type = 'email'")["n"] == 4
    assert row(marts, "select count(*) as n from activity where activity_type = 'meeting'")["n"] == 2


def test_daily_and_dense_views(marts):
    days = marts.execute(
        "select activity_date, emails_sent from relationship_activity_daily where record_id = ? and emails_sent > 0 order by 1",
        [tiny.CLEO],
    )
    assert [(str(d), n) for d, n in days.fetchall()] == [("2026-06-01", 1), ("2026-06-10", 1)]
    assert row(marts, "select count(*) as n from relationship_activity_60d where record_id = ?", tiny.CLEO)["n"] == 60


def test_nothing_that_was_not_asked_for_reached_the_disk(tiny_home):
    for file in tiny_home.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"BODY-MARKER" not in content and b"PREVIEW-MARKER" not in content, file
