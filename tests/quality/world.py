"""A whole candidate in miniature: every mart of the contract with rows that belong together, and the lake below it.

Four records of each kind, each with three emails; opportunity 4 is won. Tests break one thing and see which check tells.
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from jobs.publish import RunContext
from jobs.settings import Settings
from tests.publish.marts import write_project

AS_OF = datetime(2026, 7, 6, tzinfo=UTC)
SIX = "emails_sent I!, emails_received I!, meetings_sent I!, meetings_received I!, calls_made I!, calls_received I!"
SIDES = ("us", "them")
MEASURES = ", ".join(
    [
        SIX,
        "interactions_by_us I!, interactions_by_them I!",
        "time_spent_by_team_minutes F!, time_spent_by_customer_minutes F!, time_spent_by_team_hours F!, time_spent_by_customer_hours F!",
        "sent_received_ratio_by_them F, sent_received_ratio_by_us F",
        *(
            f"response_time_by_{x}_hours F, response_time_by_{x}_median_hours F, response_time_by_{x}_business_mean_hours F, "
            f"response_time_by_{x}_business_median_hours F, response_rate_by_{x} F, responses_awaited_from_{x} I!"
            for x in SIDES
        ),
        "emails_followed I!, email_open_rate F, attachment_view_rate F, link_click_rate F, email_reply_rate F, emails_excluded I!",
    ]
)
INTERACTIONS = (
    "first_interaction_at TS, last_interaction_at TS, last_interaction_type T, last_interaction_by T, last_interaction_activity_id T, "
    "next_interaction_at TS, next_interaction_type T, next_interaction_by T, next_interaction_activity_id T, "
    "team_people_90d I!, customer_people_90d I!"
)
RECORD = "record_type T!, record_id T!"
PERSON = "person_type T!, person_id T!, display_name T!, email_count I!, meeting_count I!, phone_call_count I!, total_count I!, last_interaction_at TS!"
BENCHMARK = ", ".join(
    f"{c} F"
    for c in (
        *(c.split()[0] for c in SIX.split(", ")),
        "activities", "time_spent_by_team_hours", "time_spent_by_customer_hours", "response_time_by_us_hours", "response_time_by_them_hours",
        "response_rate_by_us", "response_rate_by_them", "sent_received_ratio_by_us", "sent_received_ratio_by_them",
    )
)  # fmt: skip
KINDS = ("account", "contact", "lead", "opportunity")

# name: (key, columns); the columns that the contract promises
CONTRACT = {
    "dim_user": ("user_id", "user_id T!, name T, email T, business_unit_id T, business_unit T, is_enabled B!"),
    "dim_account": ("account_id", "account_id T!, name T, owner_id T, owner_name T, business_unit_id T, industry T, country T, revenue F, employees I, state T!, created_at TS"),
    "dim_contact": ("contact_id", "contact_id T!, name T, email T, job_title T, account_id T, account_name T, owner_id T, owner_name T, state T!, created_at TS"),
    "dim_lead": ("lead_id", "lead_id T!, name T, company T, email T, lead_source T, owner_id T, owner_name T, state T!, created_at TS"),
    "dim_opportunity": (
        "opportunity_id",
        "opportunity_id T!, name T, account_id T, account_name T, contact_id T, owner_id T, owner_name T, business_unit_id T, stage T, "
        "currency T, state T!, estimated_value F, actual_value F, estimated_close_date D, close_date D, created_at TS",
    ),
    "dim_date": ("date", "date D!, year I!, quarter I!, month I!, iso_week I!, iso_weekday I!, is_business_day B!"),
    "activity": (
        "activity_id",
        "activity_id T!, activity_type T!, status T!, occurred_at TS, ended_at TS, duration_minutes F, initiated_by T, thread_id T, regarding_type T, "
        "regarding_id T, is_automated B!, is_bulk B!, is_internal B!, is_all_day B!, is_private B!, is_followed B!, in_dataverse B!, in_exchange B!, "
        "machine_rule T, as_of TS!",
    ),
    "activity_record_link": ("activity_id record_type record_id", f"activity_id T!, {RECORD}, link_reason T!, is_counted B!, as_of TS!"),
    **{f"kpi_{kind}": (f"{kind}_id", f"{kind}_id T!, {MEASURES}, {INTERACTIONS}, as_of TS!") for kind in KINDS},
    "kpi_window": ("record_type record_id window_days", f"{RECORD}, window_days I!, {MEASURES}, as_of TS!"),
    "kpi_history": (
        "record_type record_id as_of_date kpi_set",
        f"{RECORD}, as_of_date D!, kpi_set T!, {MEASURES}, score I, state T, trend T, as_of TS!",
    ),
    "relationship_summary": ("record_type record_id position", f"{RECORD}, position I!, sentence T!, as_of TS!"),
    "relationship_activity_daily": ("record_type record_id activity_date", f"{RECORD}, activity_date D!, {SIX}, as_of TS!"),
    "relationship_activity_60d": ("record_type record_id activity_date", f"{RECORD}, activity_date D!, {SIX}, as_of TS!"),
    "most_contacted": ("record_type record_id rank", f"{RECORD}, rank I!, {PERSON}, as_of TS!"),
    "most_contacted_by": ("record_type record_id rank", f"{RECORD}, rank I!, {PERSON}, as_of TS!"),
    "who_knows_whom": (
        "contact_id user_id",
        "contact_id T!, user_id T!, rank I!, strength F!, band T!, emails_by_contact_count I!, emails_by_colleague_count I!, meeting_count I!, "
        "phone_call_count I!, is_one_way B!, last_interaction_at TS!, as_of TS!",
    ),
    "relationship_alert": ("record_type record_id alert", f"{RECORD}, alert T!, severity T!, since TS!, evidence T!, as_of TS!"),
    "opportunity_attention": (
        "opportunity_id",
        "opportunity_id T!, rank I!, alert_count I!, high_alert_count I!, worst_severity T, estimated_value F, last_interaction_at TS, as_of TS!",
    ),
    "stakeholder_coverage": ("opportunity_id role", "opportunity_id T!, role T!, people_count I!, engaged_people_90d_count I!, last_engaged_at TS, as_of TS!"),
    "relationship_health": (
        "record_type record_id",
        f"{RECORD}, score I, grade T, state T!, trend T!, previous_score I, activity_term F, recency_term F, engagement_term F, "
        "activities_count I!, last_activity_at TS, expected_interval_days I!, as_of TS!",
    ),
    "similar_won_deal": (
        "week_of opportunity_id rank",
        "week_of D!, opportunity_id T!, rank I!, similar_opportunity_id T!, match T!, distance F, activities I!, time_spent_by_team_hours F!, "
        "response_time_by_us_hours F, response_rate_by_them F, close_date D!, value F, reason T",
    ),
    "similar_deal_benchmark": (
        "week_of opportunity_id basis",
        f"week_of D!, opportunity_id T!, basis T!, match T!, similar_count I!, deal_age_days F!, {BENCHMARK}",
    ),
    "similar_deal_attribute": (
        "week_of attribute",
        "week_of D!, attribute T!, kind T, mode T!, importance F, mutual_information F, auc F, bin_count I, won_count I!, lost_count I!",
    ),
    "activity_subject": ("activity_id", "activity_id T!, subject T!"),
}  # fmt: skip
TYPES = {"T": "VARCHAR", "I": "BIGINT", "F": "DOUBLE", "B": "BOOLEAN", "D": "DATE", "TS": "TIMESTAMP WITH TIME ZONE"}
PARTITIONS = {
    "kpi_history": "as_of_date",
    "similar_won_deal": "week_of",
    "similar_deal_benchmark": "week_of",
    "similar_deal_attribute": "week_of",
}


def _spelled(columns: str) -> str:
    spelled = []
    for column in columns.split(", "):
        name, kind = column.split(" ")
        spelled.append(f"{name} {TYPES[kind.rstrip('!')]}{'!' if kind.endswith('!') else ''}")
    return ", ".join(spelled)


def _meta(name: str, key: str) -> dict:
    extra = {"restricted": True} if name == "activity_subject" else {}
    return {"key": key.split(" "), **extra, **({"partition": PARTITIONS[name]} if name in PARTITIONS else {})}


MARTS = {name: (_meta(name, key), _spelled(columns)) for name, (key, columns) in CONTRACT.items()}

FIGURES = """
    2 AS emails_sent, 1 AS emails_received, 0 AS meetings_sent, 0 AS meetings_received, 0 AS calls_made, 0 AS calls_received,
    2 AS interactions_by_us, 1 AS interactions_by_them, 12.5 AS time_spent_by_team_minutes, 10 AS time_spent_by_customer_minutes,
    0.21 AS time_spent_by_team_hours, 0.17 AS time_spent_by_customer_hours,
    0.5 AS sent_received_ratio_by_them, 2.0 AS sent_received_ratio_by_us,
    3.0 AS response_time_by_them_hours, 1.0 AS response_rate_by_them, 0 AS responses_awaited_from_us, 0 AS responses_awaited_from_them,
    0 AS emails_followed, 0 AS emails_excluded
"""
DAY = "DATE '2026-07-01'"
WORLD = f"""
    CREATE SCHEMA lake;
    CREATE TABLE kind AS SELECT unnest(['account', 'contact', 'lead', 'opportunity']) AS record_type;
    CREATE TABLE record AS SELECT record_type, record_type[1] || i AS record_id, i FROM kind, range(1, 5) r(i);
    CREATE TABLE lake.crm_account AS SELECT record_id AS accountid FROM record WHERE record_type = 'account';
    CREATE TABLE lake.crm_contact AS SELECT record_id AS contactid FROM record WHERE record_type = 'contact';
    CREATE TABLE lake.crm_lead AS SELECT record_id AS leadid FROM record WHERE record_type = 'lead';
    CREATE TABLE lake.crm_opportunity AS SELECT record_id AS opportunityid FROM record WHERE record_type = 'opportunity';
    CREATE TABLE lake.crm_systemuser AS SELECT 'u' || i AS systemuserid FROM range(1, 3) r(i);
    CREATE TABLE lake.activity AS
        SELECT record_id || '-' || n AS activity_id, 'email' AS activity_type, 'completed' AS source_state, false AS is_automated, false AS is_bulk,
               TIMESTAMPTZ '2026-07-01 09:00:00+00' + to_hours(n) AS occurred_at, TIMESTAMPTZ '2026-07-01 09:00:00+00' + to_hours(n) AS ended_at
        FROM record, range(1, 4) r(n);
    CREATE TABLE lake.activity_participant AS
        SELECT activity_id, activity_id || '@' || role AS address, NULL::varchar AS party_id, role, 'none' AS response
        FROM lake.activity, (SELECT unnest(['sender', 'to']) AS role);
    CREATE TABLE lake.activity_thread AS SELECT activity_id, activity_id AS thread_id FROM lake.activity;
    CREATE TABLE lake.person_address AS
        SELECT 'p' || i || '@client.example' AS address, 'them' AS side, NULL::varchar AS user_id, 'c' || (i % 4 + 1) AS contact_id,
               NULL::varchar AS lead_id, NULL::varchar AS account_id, 'contact' AS rule
        FROM range(200) r(i);
    CREATE TABLE lake.quarantine AS SELECT 'graph' AS source, 'messages/u1' AS stream, 'bad_time' AS reason, 'r1' AS run_id;
    INSERT INTO dim_user BY NAME SELECT systemuserid AS user_id, true AS is_enabled FROM lake.crm_systemuser;
    INSERT INTO dim_account BY NAME SELECT record_id AS account_id, 'active' AS state FROM record WHERE record_type = 'account';
    INSERT INTO dim_contact BY NAME SELECT record_id AS contact_id, 'a' || i AS account_id, 'active' AS state FROM record WHERE record_type = 'contact';
    INSERT INTO dim_lead BY NAME SELECT record_id AS lead_id, 'open' AS state FROM record WHERE record_type = 'lead';
    INSERT INTO dim_opportunity BY NAME
        SELECT record_id AS opportunity_id, 'a' || i AS account_id, 'c' || i AS contact_id, if(i = 4, 'won', 'open') AS state, if(i = 4, DATE '2026-06-01', NULL) AS close_date
        FROM record WHERE record_type = 'opportunity';
    INSERT INTO dim_date BY NAME
        SELECT d::date AS date, year(d) AS year, quarter(d) AS quarter, month(d) AS month, week(d) AS iso_week, isodow(d) AS iso_weekday, isodow(d) < 6 AS is_business_day
        FROM generate_series(DATE '2026-01-01', DATE '2026-12-31', INTERVAL 1 DAY) s(d);
    INSERT INTO activity BY NAME
        SELECT activity_id, activity_type, source_state AS status, occurred_at, ended_at, 0 AS duration_minutes, if(activity_id LIKE '%3', 'them', 'us') AS initiated_by,
               is_automated, is_bulk, false AS is_internal, false AS is_all_day, false AS is_private, false AS is_followed, false AS in_dataverse, true AS in_exchange, $as_of AS as_of
        FROM lake.activity;
    INSERT INTO activity_record_link BY NAME
        SELECT activity_id, record_type, record_id, 'participant' AS link_reason, true AS is_counted, $as_of AS as_of
        FROM record JOIN lake.activity ON activity_id LIKE record_id || '-%';
    {
    "".join(
        f'''
    INSERT INTO kpi_{k} BY NAME
        SELECT record_id AS {k}_id, {FIGURES}, TIMESTAMPTZ '2026-07-01 10:00:00+00' AS first_interaction_at, TIMESTAMPTZ '2026-07-01 12:00:00+00' AS last_interaction_at,
               'email' AS last_interaction_type, 'them' AS last_interaction_by, record_id || '-3' AS last_interaction_activity_id,
               2 AS team_people_90d, 1 AS customer_people_90d, $as_of AS as_of
        FROM record WHERE record_type = '{k}';
    '''
        for k in KINDS
    )
}
    INSERT INTO kpi_window BY NAME SELECT record_type, record_id, window_days, {
    FIGURES
}, $as_of AS as_of FROM record, (SELECT unnest([30, 90]) AS window_days);
    INSERT INTO relationship_health BY NAME
        SELECT record_type, record_id, if(i = 2, NULL, 70) AS score, if(i = 2, NULL, 'good') AS grade, if(i = 2, 'not_enough_info', 'good') AS state, 'steady' AS trend,
               0.5 AS activity_term, 0.5 AS recency_term, 0.5 AS engagement_term, 3 AS activities_count, 7 AS expected_interval_days, $as_of AS as_of
        FROM record WHERE record_type IN ('contact', 'lead');
    INSERT INTO kpi_history BY NAME
        SELECT record_type, record_id, DATE '2026-07-05' AS as_of_date, kpi_set, {
    FIGURES
}, if(kpi_set = 'lifetime', h.score, NULL) AS score,
               if(kpi_set = 'lifetime', h.state, NULL) AS state, if(kpi_set = 'lifetime', h.trend, NULL) AS trend, $as_of AS as_of
        FROM record CROSS JOIN (SELECT unnest(['lifetime', '30d', '90d']) AS kpi_set) LEFT JOIN relationship_health AS h USING (record_type, record_id);
    INSERT INTO relationship_summary BY NAME SELECT record_type, record_id, position, 'A sentence.' AS sentence, $as_of AS as_of FROM record, range(1, 3) r(position);
    INSERT INTO relationship_activity_daily BY NAME
        SELECT record_type, record_id, {
    DAY
} AS activity_date, 2 AS emails_sent, 1 AS emails_received, 0 AS meetings_sent, 0 AS meetings_received, 0 AS calls_made, 0 AS calls_received, $as_of AS as_of
        FROM record;
    INSERT INTO relationship_activity_60d BY NAME
        SELECT record_type, record_id, d::date AS activity_date, if(d::date = {DAY}, 2, 0) AS emails_sent, if(d::date = {
    DAY
}, 1, 0) AS emails_received,
               0 AS meetings_sent, 0 AS meetings_received, 0 AS calls_made, 0 AS calls_received, $as_of AS as_of
        FROM record, generate_series(DATE '2026-07-05' - 59, DATE '2026-07-05', INTERVAL 1 DAY) s(d);
    {
    "".join(
        f'''
    INSERT INTO {m} BY NAME
        SELECT record_type, record_id, rank, '{p}' AS person_type, '{p[0]}' || rank AS person_id, 'A person' AS display_name, 4 - rank AS email_count, 0 AS meeting_count, 0 AS phone_call_count,
               4 - rank AS total_count, TIMESTAMPTZ '2026-07-01 11:00:00+00' AS last_interaction_at, $as_of AS as_of
        FROM record, range(1, 4) r(rank) WHERE record_type <> 'contact';
    '''
        for m, p in (("most_contacted", "contact"), ("most_contacted_by", "user"))
    )
}
    INSERT INTO who_knows_whom BY NAME
        SELECT record_id AS contact_id, 'u' || n AS user_id, n AS rank, 90 - 50 * (n - 1) AS strength, if(n = 1, 'strong', 'medium') AS band, 1 AS emails_by_contact_count, 1 AS emails_by_colleague_count,
               0 AS meeting_count, 0 AS phone_call_count, false AS is_one_way, TIMESTAMPTZ '2026-07-01 11:00:00+00' AS last_interaction_at, $as_of AS as_of
        FROM record, range(1, 3) r(n) WHERE record_type = 'contact';
    INSERT INTO relationship_alert BY NAME
        SELECT 'opportunity' AS record_type, 'o1' AS record_id, alert, if(alert = 'no_next_step', 'medium', 'high') AS severity, TIMESTAMPTZ '2026-07-01' AS since, '{{"days": 5}}' AS evidence, $as_of AS as_of
        FROM (SELECT unnest(['no_next_step', 'going_dark']) AS alert);
    INSERT INTO opportunity_attention BY NAME
        SELECT record_id AS opportunity_id, i AS rank, if(i = 1, 2, 0) AS alert_count, if(i = 1, 1, 0) AS high_alert_count, if(i = 1, 'high', NULL) AS worst_severity, $as_of AS as_of
        FROM record WHERE record_type = 'opportunity' AND i < 4;
    INSERT INTO stakeholder_coverage BY NAME SELECT 'o1' AS opportunity_id, 'Champion' AS role, 2 AS people_count, 1 AS engaged_people_90d_count, $as_of AS as_of;
    INSERT INTO restricted.activity_subject BY NAME SELECT activity_id, 'A subject' AS subject FROM lake.activity;
"""
WEEK = """
    INSERT INTO similar_won_deal BY NAME
        SELECT DATE '2026-07-06' AS week_of, 'o' || i AS opportunity_id, 1 AS rank, 'o4' AS similar_opportunity_id, 'nearest' AS match, 0.2 AS distance, 3 AS activities,
               0.2 AS time_spent_by_team_hours, 1.0 AS response_rate_by_them, DATE '2026-06-01' AS close_date
        FROM range(1, 4) r(i);
    INSERT INTO similar_deal_benchmark BY NAME
        SELECT DATE '2026-07-06' AS week_of, 'o' || i AS opportunity_id, basis, 'nearest' AS match, 1 AS similar_count, 10 AS deal_age_days, 2 AS emails_sent, 1.0 AS response_rate_by_them
        FROM range(1, 4) r(i), (SELECT unnest(['whole_life', 'same_age']) AS basis);
    INSERT INTO similar_deal_attribute BY NAME
        SELECT DATE '2026-07-06' AS week_of, attribute, 'category' AS kind, 'learned' AS mode, 0.5 AS importance, 0.1 AS mutual_information, 0.7 AS auc, 3 AS bin_count, 30 AS won_count, 30 AS lost_count
        FROM (SELECT unnest(['industry', 'country']) AS attribute);
"""
KEPT = {
    "received": 500,
    "unbalanced_streams": 0,
    "kept": 440,
    "superseded": 40,
    "removed": 12,
    "duplicate": 3,
    "quarantined:bad_time": 0,
    "ignored:draft": 5,
}


def settings(home: Path, **more: object) -> Settings:
    """Settings of a home whose project describes every mart of the contract."""
    if not (home / "dbt_project").exists():
        write_project(home / "dbt_project", MARTS)
    return Settings(_env_file=None, home=home, dbt_project_dir=home / "dbt_project", **more)


def context(run_id: str = "r1", **more: object) -> RunContext:
    """A run of the enhanced tier whose streams were read two hours before its as-of."""
    streams = (("dataverse", "accounts"), ("dataverse", "emails"), ("graph", "users"))
    read_at = datetime(2026, 7, 5, 22, tzinfo=UTC)
    marks = [{"source": s, "stream": t, "last_complete_round_started_at": read_at, "parked_reason": None} for s, t in streams]
    facts = {
        "run_id": run_id,
        "as_of": AS_OF,
        "as_of_date": date(2026, 7, 5),
        "tier": "enhanced",
        "snapshot_id": run_id,
        "watermarks": marks,
    }
    return RunContext(**{**facts, **more})


def build(home: Path, defect: str = "", run_id: str = "r1") -> Path:
    """A candidate of that world; `defect` is SQL that breaks something in it. NOT NULL is left to the gate."""
    path = home / "warehouse" / "candidates" / f"{run_id}.duckdb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("CREATE SCHEMA restricted")
        for name, (meta, columns) in MARTS.items():
            con.execute(f"CREATE TABLE {'restricted' if meta.get('restricted') else 'main'}.{name} ({columns.replace('!', '')})")
        con.execute(WORLD.replace("$as_of", "TIMESTAMPTZ '2026-07-06 00:00:00+00'"))
        con.execute("DROP TABLE kind; DROP TABLE record")
        if defect:
            con.execute(defect)
    conservation(home)
    return path


def conservation(home: Path, **counts: object) -> None:
    """The snapshot's account of the mail, `counts` changed."""
    file = home / "lake" / "normalised" / "snapshot.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"snapshot_id": "s1", "conservation": {"messages": {**KEPT, **counts}}}))
