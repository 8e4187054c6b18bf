-- The marts' core by hand: activity_record_link, the four kpi_* marts, kpi_window and relationship_activity_daily, at the default
-- vars and reporting days in UTC. Left out: merged records, teams as owners or parties, calls without a colleague on them.
-- Given: a view for each table of the snapshot, and the variable as_of.

CREATE TEMP TABLE record AS
SELECT 'account' AS record_type, accountid AS record_id, createdon, NULL AS ownerid, NULL::DATE AS close_date FROM crm_account
UNION ALL SELECT 'contact', contactid, createdon, NULL, NULL FROM crm_contact
UNION ALL SELECT 'lead', leadid, createdon, ownerid, NULL FROM crm_lead
UNION ALL
SELECT 'opportunity', opportunityid, createdon, ownerid,
    CASE WHEN statecode > 0 AND coalesce(actualclosedate, closed_on) <= (getvariable('as_of') - INTERVAL 1 MICROSECOND)::DATE
        THEN coalesce(actualclosedate, closed_on) END
FROM crm_opportunity
LEFT JOIN (SELECT opportunityid, max(actualend)::DATE AS closed_on FROM crm_opportunityclose GROUP BY ALL) USING (opportunityid);
DELETE FROM record WHERE createdon >= getvariable('as_of');

CREATE TEMP TABLE connection_end AS
SELECT record1id_type AS record_type, record1id AS record_id, record2id_type AS party_type, record2id AS party_id
FROM crm_connection WHERE coalesce(statecode, 0) = 0 AND record1id_type IN ('lead', 'opportunity')
UNION
SELECT record2id_type, record2id, record1id_type, record1id
FROM crm_connection WHERE coalesce(statecode, 0) = 0 AND record2id_type IN ('lead', 'opportunity');

CREATE TEMP TABLE assigned AS
SELECT record_type, record_id, ownerid AS user_id FROM record WHERE ownerid IS NOT NULL
UNION SELECT record_type, record_id, party_id FROM connection_end WHERE party_type = 'systemuser';

CREATE TEMP TABLE deal_party AS
SELECT opportunityid AS opportunity_id, 'contact' AS party_type, parentcontactid AS party_id FROM crm_opportunity WHERE parentcontactid IS NOT NULL
UNION SELECT opportunityid, 'account', parentaccountid FROM crm_opportunity WHERE parentaccountid IS NOT NULL
UNION SELECT opportunityid, customerid_type, customerid FROM crm_opportunity WHERE customerid_type IN ('account', 'contact');

CREATE TEMP TABLE customer AS
SELECT record_type, record_id, party_type, party_id, min(place) AS place
FROM (
    SELECT record_type, record_id, record_type AS party_type, record_id AS party_id, 2 AS place FROM record WHERE record_type <> 'opportunity'
    UNION ALL SELECT 'account', accountid, 'contact', primarycontactid, 2 FROM crm_account WHERE primarycontactid IS NOT NULL
    UNION ALL SELECT 'account', parentcustomerid, 'contact', contactid, 2 FROM crm_contact WHERE parentcustomerid_type = 'account'
    UNION ALL SELECT 'opportunity', opportunity_id, 'contact', party_id, 2 FROM deal_party WHERE party_type = 'contact'
    UNION ALL SELECT record_type, record_id, party_type, party_id, 3 FROM connection_end WHERE party_type IN ('account', 'contact', 'lead')
)
SEMI JOIN record USING (record_type, record_id)
GROUP BY ALL;

CREATE TEMP TABLE participant AS
WITH party AS (
    SELECT
        activity_id, coalesce(address, party_id) AS key, bool_or(party_type IN ('systemuser', 'team', 'queue')) AS is_ours,
        min(party_id) FILTER (party_type = 'systemuser') AS user_id, min(party_id) FILTER (party_type = 'contact') AS contact_id,
        min(party_id) FILTER (party_type = 'lead') AS lead_id, min(party_id) FILTER (party_type = 'account') AS account_id
    FROM activity_party
    GROUP BY ALL
),
resolved AS (
    SELECT
        p.activity_id, a.activity_type, p.address, coalesce(p.address, p.party_id) AS key, p.role, p.response, w.domain,
        CASE WHEN coalesce(party.is_ours, false) OR coalesce(w.side, 'them') = 'us' THEN 'us' ELSE 'them' END AS side,
        coalesce(party.user_id, w.user_id) AS user_id,
        CASE
            WHEN party.contact_id IS NOT NULL THEN {kind: 'contact', id: party.contact_id}
            WHEN party.lead_id IS NOT NULL THEN {kind: 'lead', id: party.lead_id}
            WHEN party.account_id IS NOT NULL THEN {kind: 'account', id: party.account_id}
            WHEN w.contact_id IS NOT NULL THEN {kind: 'contact', id: w.contact_id}
            WHEN w.lead_id IS NOT NULL THEN {kind: 'lead', id: w.lead_id}
            WHEN w.account_id IS NOT NULL THEN {kind: 'account', id: w.account_id}
            ELSE {kind: 'address', id: coalesce(p.address, p.party_id)}
        END AS outsider
    FROM activity_participant AS p
    JOIN activity AS a USING (activity_id)
    LEFT JOIN person_address AS w ON p.address = w.address
    LEFT JOIN party ON p.activity_id = party.activity_id AND coalesce(p.address, p.party_id) = party.key
),
placed AS (
    SELECT
        * EXCLUDE (outsider, response),
        CASE WHEN side = 'them' THEN outsider WHEN user_id IS NOT NULL THEN {kind: 'user', id: user_id} ELSE {kind: 'address', id: key} END AS person,
        CASE activity_type
            WHEN 'email' THEN role IN ('sender', 'to', 'cc') OR (role = 'delivered' AND side = 'us')
            WHEN 'meeting' THEN role IN ('organizer', 'required', 'optional', 'delivered')
            WHEN 'phone_call' THEN role IN ('from', 'callee')
            ELSE role = 'owner'
        END AS is_on,
        activity_type <> 'meeting' OR role = 'organizer' OR coalesce(response, 'none') <> 'declined' AS attends
    FROM resolved
)
SELECT activity_id, address, key, domain, side, user_id, person.kind AS person_type, person.id AS person_id, role, is_on, is_on AND attends AS took_part
FROM placed;

CREATE TEMP TABLE person AS
SELECT
    activity_id, side, person_type, person_id, bool_or(is_on) AS is_on, bool_or(took_part) AS took_part,
    bool_or(role = 'sender') AS is_sender, bool_or(role = 'organizer') AS is_organizer
FROM participant
GROUP BY ALL;

CREATE TEMP TABLE happened AS
WITH people AS (
    SELECT
        activity_id,
        count(*) FILTER (side = 'us' AND is_on) AS team_on, count(*) FILTER (side = 'them' AND is_on) AS customer_on,
        count(*) FILTER (side = 'us' AND took_part) AS team_took_part, count(*) FILTER (side = 'them' AND took_part) AS customer_took_part,
        min(side) FILTER (is_sender) AS sender_side, min(side) FILTER (is_organizer) AS organizer_side
    FROM person
    GROUP BY ALL
),
sided AS (
    SELECT
        a.*, coalesce(a.ended_at, a.occurred_at) AS done_at, coalesce(team_on, 0) AS team, coalesce(customer_on, 0) AS customers,
        coalesce(team_took_part, 0) AS team_took_part, coalesce(customer_took_part, 0) AS customer_took_part,
        CASE a.activity_type
            WHEN 'email' THEN sender_side
            WHEN 'meeting' THEN coalesce(organizer_side, CASE WHEN NOT list_contains(a.source_systems, 'graph') THEN 'us' END)
            WHEN 'phone_call' THEN CASE WHEN a.direction = 'incoming' THEN 'them' ELSE 'us' END
            ELSE 'us'
        END AS initiated_by
    FROM activity AS a
    LEFT JOIN people USING (activity_id)
)
SELECT
    activity_id, activity_type, occurred_at, done_at, occurred_at::DATE AS day, initiated_by, regarding_type, regarding_id,
    is_automated OR is_bulk AS is_machine, is_followed, open_count, link_click_count, attachment_count, attachment_open_count, reply_count,
    team, customers,
    CASE
        WHEN source_state = 'cancelled' THEN 'cancelled'
        WHEN occurred_at < getvariable('as_of') AND CASE activity_type
            WHEN 'email' THEN true WHEN 'meeting' THEN done_at <= getvariable('as_of') ELSE source_state = 'completed' END THEN 'completed'
        WHEN activity_type <> 'email' AND source_state = 'open' AND occurred_at >= getvariable('as_of') THEN 'scheduled'
        ELSE 'open'
    END AS status,
    CASE
        WHEN activity_type = 'email' AND initiated_by = 'us' THEN 5
        WHEN activity_type = 'email' AND initiated_by = 'them' AND team > 0 THEN 2.5
        WHEN activity_type = 'meeting' AND NOT (is_all_day OR duration_minutes >= 1440) THEN duration_minutes * team_took_part
        WHEN activity_type IN ('phone_call', 'task') AND team > 0 THEN duration_minutes
        ELSE 0
    END AS team_minutes,
    CASE
        WHEN activity_type = 'email' AND initiated_by = 'them' THEN 5
        WHEN activity_type = 'email' AND initiated_by = 'us' AND customers > 0 THEN 2.5
        WHEN activity_type = 'meeting' AND NOT (is_all_day OR duration_minutes >= 1440) AND customer_took_part > 0 THEN duration_minutes
        WHEN activity_type = 'phone_call' AND customers > 0 THEN duration_minutes
        ELSE 0
    END AS customer_minutes
FROM sided;

CREATE TEMP TABLE candidate AS
WITH matched AS (
    SELECT p.activity_id, r.record_type AS party_type, r.record_id AS party_id
    FROM participant AS p JOIN record_address AS r ON p.address = r.address
    WHERE p.side = 'them' AND p.is_on AND r.record_type <> 'systemuser'
    UNION
    SELECT p.activity_id, party.party_type, party.party_id
    FROM participant AS p JOIN activity_party AS party ON p.activity_id = party.activity_id AND p.key = coalesce(party.address, party.party_id)
    WHERE p.side = 'them' AND p.is_on AND party.party_type IN ('account', 'contact', 'lead')
)
SELECT activity_id, record_type, record_id, min(place) AS place
FROM matched JOIN customer USING (party_type, party_id)
GROUP BY ALL;

CREATE TABLE activity_record_link AS
WITH ours AS (SELECT DISTINCT activity_id FROM person WHERE side = 'us' AND is_on),
assigned_link AS (
    SELECT DISTINCT c.*
    FROM candidate AS c
    JOIN assigned AS t USING (record_type, record_id)
    JOIN person AS p ON c.activity_id = p.activity_id AND t.user_id = p.person_id
    WHERE p.person_type = 'user' AND p.is_on
),
link AS (
    SELECT activity_id, record_type, record_id, 1 AS place
    FROM happened JOIN record ON regarding_type = record_type AND regarding_id = record_id
    UNION ALL SELECT * FROM candidate SEMI JOIN ours USING (activity_id) WHERE record_type IN ('account', 'contact')
    UNION ALL SELECT * FROM assigned_link WHERE record_type = 'lead'
    UNION ALL
    SELECT l.*
    FROM assigned_link AS l
    JOIN happened AS a USING (activity_id)
    JOIN record AS r ON r.record_type = 'opportunity' AND l.record_id = r.record_id
    LEFT JOIN deal_party AS d ON l.record_id = d.opportunity_id AND a.regarding_type = d.party_type AND a.regarding_id = d.party_id
    WHERE l.record_type = 'opportunity' AND (a.regarding_id IS NULL OR d.party_id IS NOT NULL)
        AND (r.createdon IS NULL OR a.occurred_at >= r.createdon - INTERVAL 14 DAY)
        AND (r.close_date IS NULL OR a.occurred_at < (r.close_date + 15)::TIMESTAMP AT TIME ZONE 'UTC')
    UNION ALL
    SELECT p.activity_id, 'account', d.account_id, 4
    FROM participant AS p JOIN account_domain AS d ON p.domain = d.domain SEMI JOIN ours ON p.activity_id = ours.activity_id
    WHERE p.side = 'them' AND p.is_on
)
SELECT
    activity_id, record_type, record_id, ['regarding', 'participant', 'stakeholder', 'domain'][min(place)] AS link_reason,
    NOT any_value(is_machine) AS is_counted, getvariable('as_of') AS as_of
FROM link SEMI JOIN record USING (record_type, record_id) JOIN happened USING (activity_id)
GROUP BY activity_id, record_type, record_id;

CREATE TEMP TABLE done AS
SELECT l.record_type, l.record_id, l.is_counted, coalesce(t.thread_id, a.activity_id) AS thread_id, a.*
FROM activity_record_link AS l JOIN happened AS a USING (activity_id) LEFT JOIN activity_thread AS t USING (activity_id)
WHERE a.status = 'completed';

CREATE TABLE relationship_activity_daily AS
SELECT
    record_type, record_id, day AS activity_date,
    count(*) FILTER (activity_type = 'email' AND initiated_by = 'us') AS emails_sent, count(*) FILTER (activity_type = 'email' AND initiated_by = 'them') AS emails_received,
    count(*) FILTER (activity_type = 'meeting' AND initiated_by = 'us') AS meetings_sent, count(*) FILTER (activity_type = 'meeting' AND initiated_by = 'them') AS meetings_received,
    count(*) FILTER (activity_type = 'phone_call' AND initiated_by = 'us') AS calls_made, count(*) FILTER (activity_type = 'phone_call' AND initiated_by = 'them') AS calls_received,
    getvariable('as_of') AS as_of
FROM done
WHERE is_counted AND activity_type <> 'task' AND initiated_by IS NOT NULL
GROUP BY record_type, record_id, day;

CREATE TEMP TABLE business_day AS
WITH calendar AS (
    SELECT unnest(generate_series((SELECT min(day)::TIMESTAMP FROM happened), getvariable('as_of')::TIMESTAMP, INTERVAL 1 DAY))::DATE AS day
)
SELECT
    day, isodow(day) <= 5 AS is_open, (day + TIME '09:00') AT TIME ZONE 'UTC' AS opens_at, (day + TIME '17:00') AT TIME ZONE 'UTC' AS closes_at,
    coalesce(sum(CASE WHEN isodow(day) <= 5 THEN 28800 ELSE 0 END) OVER (ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS seconds_before
FROM calendar;

CREATE TEMP TABLE block AS
WITH email AS (
    SELECT record_type, record_id, thread_id, initiated_by AS side, occurred_at, day, CASE initiated_by WHEN 'us' THEN 1 ELSE 2 END AS place
    FROM done
    WHERE is_counted AND activity_type = 'email' AND ((initiated_by = 'us' AND customers > 0) OR (initiated_by = 'them' AND team > 0))
),
begun AS (
    SELECT * FROM email
    QUALIFY lag(side) OVER (PARTITION BY record_type, record_id, thread_id ORDER BY occurred_at, place) IS DISTINCT FROM side
),
answered AS (
    SELECT *, lead(occurred_at) OVER thread AS answered_at, lead(day) OVER thread AS answered_day
    FROM begun
    WINDOW thread AS (PARTITION BY record_type, record_id, thread_id ORDER BY occurred_at, place)
)
SELECT
    record_type, record_id, side, occurred_at AS started_at, answered_at, epoch(answered_at) - epoch(occurred_at) AS seconds,
    b.seconds_before + CASE WHEN b.is_open THEN greatest(0, epoch(least(answered_at, b.closes_at)) - epoch(b.opens_at)) ELSE 0 END
    - a.seconds_before - CASE WHEN a.is_open THEN greatest(0, epoch(least(occurred_at, a.closes_at)) - epoch(a.opens_at)) ELSE 0 END AS business_seconds
FROM answered JOIN business_day AS a ON answered.day = a.day LEFT JOIN business_day AS b ON answered.answered_day = b.day;

CREATE TEMP TABLE span AS
SELECT * FROM (VALUES ('lifetime', NULL), ('30d', getvariable('as_of') - INTERVAL 30 DAY), ('90d', getvariable('as_of') - INTERVAL 90 DAY)) AS v (kpi_set, since);

CREATE TEMP TABLE measure AS
WITH counted AS (
    SELECT
        record_type, record_id, kpi_set,
        count(*) FILTER (activity_type = 'email' AND initiated_by = 'us') AS emails_sent, count(*) FILTER (activity_type = 'email' AND initiated_by = 'them') AS emails_received,
        count(*) FILTER (activity_type = 'meeting' AND initiated_by = 'us') AS meetings_sent, count(*) FILTER (activity_type = 'meeting' AND initiated_by = 'them') AS meetings_received,
        count(*) FILTER (activity_type = 'phone_call' AND initiated_by = 'us') AS calls_made, count(*) FILTER (activity_type = 'phone_call' AND initiated_by = 'them') AS calls_received,
        sum(team_minutes::DECIMAL(38, 12))::DOUBLE AS team_minutes, sum(customer_minutes::DECIMAL(38, 12))::DOUBLE AS customer_minutes,
        count(*) FILTER (is_tracked) AS followed, count(*) FILTER (is_tracked AND open_count >= 1) AS opened,
        count(*) FILTER (is_tracked AND link_click_count >= 1) AS clicked, count(*) FILTER (is_tracked AND reply_count >= 1) AS replied,
        count(*) FILTER (is_tracked AND attachment_count >= 1) AS attached, count(*) FILTER (is_tracked AND attachment_count >= 1 AND attachment_open_count >= 1) AS viewed
    FROM (SELECT *, activity_type = 'email' AND initiated_by = 'us' AND is_followed AS is_tracked FROM done WHERE is_counted AND done_at <= getvariable('as_of')) AS d
    JOIN span ON span.since IS NULL OR d.occurred_at >= span.since
    GROUP BY ALL
),
asked AS (
    SELECT
        *, coalesce(answered_at < getvariable('as_of') AND seconds <= 30 * 86400, false) AS is_answered,
        epoch(getvariable('as_of')) - epoch(started_at) > 7 * 86400 AS is_overdue
    FROM block JOIN span ON span.since IS NULL OR block.started_at >= span.since
),
answer AS (
    SELECT
        record_type, record_id, kpi_set, side, (sum(seconds) FILTER (is_answered))::DOUBLE / nullif(count(*) FILTER (is_answered), 0) / 3600 AS mean_hours,
        median(seconds) FILTER (is_answered) / 3600 AS median_hours,
        (sum(business_seconds) FILTER (is_answered))::DOUBLE / nullif(count(*) FILTER (is_answered), 0) / 3600 AS business_mean_hours,
        median(business_seconds) FILTER (is_answered) / 3600 AS business_median_hours,
        (count(*) FILTER (is_answered))::DOUBLE / nullif(count(*) FILTER (is_answered OR is_overdue), 0) AS rate,
        count(*) FILTER (NOT is_answered AND NOT is_overdue) AS awaited
    FROM asked
    GROUP BY ALL
),
excluded AS (
    SELECT record_type, record_id, kpi_set, count(*) AS emails_excluded
    FROM done JOIN span ON span.since IS NULL OR done.occurred_at >= span.since
    WHERE NOT is_counted AND activity_type = 'email'
    GROUP BY ALL
)
SELECT
    r.record_type, r.record_id, kpi_set, coalesce(emails_sent, 0) AS emails_sent, coalesce(emails_received, 0) AS emails_received,
    coalesce(meetings_sent, 0) AS meetings_sent, coalesce(meetings_received, 0) AS meetings_received, coalesce(calls_made, 0) AS calls_made,
    coalesce(calls_received, 0) AS calls_received, coalesce(emails_sent + meetings_sent + calls_made, 0) AS interactions_by_us,
    coalesce(emails_received + meetings_received + calls_received, 0) AS interactions_by_them, coalesce(team_minutes, 0) AS time_spent_by_team_minutes,
    coalesce(customer_minutes, 0) AS time_spent_by_customer_minutes, floor(coalesce(team_minutes, 0) * 100 / 60 + 0.5) / 100 AS time_spent_by_team_hours,
    floor(coalesce(customer_minutes, 0) * 100 / 60 + 0.5) / 100 AS time_spent_by_customer_hours,
    emails_received::DOUBLE / nullif(emails_sent, 0) AS sent_received_ratio_by_them, emails_sent::DOUBLE / nullif(emails_received, 0) AS sent_received_ratio_by_us,
    us.mean_hours AS response_time_by_us_hours, us.median_hours AS response_time_by_us_median_hours, us.business_mean_hours AS response_time_by_us_business_mean_hours,
    us.business_median_hours AS response_time_by_us_business_median_hours, us.rate AS response_rate_by_us, coalesce(us.awaited, 0) AS responses_awaited_from_us,
    them.mean_hours AS response_time_by_them_hours, them.median_hours AS response_time_by_them_median_hours, them.business_mean_hours AS response_time_by_them_business_mean_hours,
    them.business_median_hours AS response_time_by_them_business_median_hours, them.rate AS response_rate_by_them, coalesce(them.awaited, 0) AS responses_awaited_from_them,
    coalesce(followed, 0) AS emails_followed, opened::DOUBLE / nullif(followed, 0) AS email_open_rate, viewed::DOUBLE / nullif(attached, 0) AS attachment_view_rate,
    clicked::DOUBLE / nullif(followed, 0) AS link_click_rate, replied::DOUBLE / nullif(followed, 0) AS email_reply_rate, coalesce(emails_excluded, 0) AS emails_excluded
FROM record AS r CROSS JOIN span
LEFT JOIN counted USING (record_type, record_id, kpi_set)
LEFT JOIN (FROM answer WHERE side = 'them') AS us USING (record_type, record_id, kpi_set)
LEFT JOIN (FROM answer WHERE side = 'us') AS them USING (record_type, record_id, kpi_set)
LEFT JOIN excluded USING (record_type, record_id, kpi_set);

CREATE TEMP TABLE interaction AS
SELECT l.record_type, l.record_id, a.status, a.occurred_at, a.activity_type, a.initiated_by, a.activity_id
FROM activity_record_link AS l JOIN happened AS a USING (activity_id)
WHERE l.is_counted AND a.status IN ('completed', 'scheduled')
QUALIFY row_number() OVER (
    PARTITION BY l.record_type, l.record_id, a.status
    ORDER BY CASE a.status WHEN 'completed' THEN -epoch_us(a.occurred_at) ELSE epoch_us(a.occurred_at) END,
        list_position(['meeting', 'phone_call', 'email', 'task'], a.activity_type), coalesce(list_position(['them', 'us'], a.initiated_by), 3), a.activity_id
) = 1;

CREATE TEMP TABLE kpi AS
WITH first AS (SELECT record_type, record_id, min(occurred_at) AS at FROM done WHERE is_counted GROUP BY ALL),
people AS (
    SELECT
        record_type, record_id, count(DISTINCT (person_type, person_id)) FILTER (side = 'us') AS team, count(DISTINCT (person_type, person_id)) FILTER (side = 'them') AS customers
    FROM done JOIN person USING (activity_id)
    WHERE is_counted AND took_part AND occurred_at >= getvariable('as_of') - INTERVAL 90 DAY
    GROUP BY ALL
)
SELECT
    m.* EXCLUDE (kpi_set), f.at AS first_interaction_at,
    l.occurred_at AS last_interaction_at, l.activity_type AS last_interaction_type, l.initiated_by AS last_interaction_by, l.activity_id AS last_interaction_activity_id,
    n.occurred_at AS next_interaction_at, n.activity_type AS next_interaction_type, n.initiated_by AS next_interaction_by, n.activity_id AS next_interaction_activity_id,
    coalesce(p.team, 0) AS team_people_90d, coalesce(p.customers, 0) AS customer_people_90d, getvariable('as_of') AS as_of
FROM measure AS m
LEFT JOIN first AS f USING (record_type, record_id)
LEFT JOIN (FROM interaction WHERE status = 'completed') AS l USING (record_type, record_id)
LEFT JOIN (FROM interaction WHERE status = 'scheduled') AS n USING (record_type, record_id)
LEFT JOIN people AS p USING (record_type, record_id)
WHERE kpi_set = 'lifetime';

CREATE TABLE kpi_account AS SELECT record_id AS account_id, * EXCLUDE (record_type, record_id) FROM kpi WHERE record_type = 'account';
CREATE TABLE kpi_contact AS SELECT record_id AS contact_id, * EXCLUDE (record_type, record_id) FROM kpi WHERE record_type = 'contact';
CREATE TABLE kpi_lead AS SELECT record_id AS lead_id, * EXCLUDE (record_type, record_id) FROM kpi WHERE record_type = 'lead';
CREATE TABLE kpi_opportunity AS SELECT record_id AS opportunity_id, * EXCLUDE (record_type, record_id) FROM kpi WHERE record_type = 'opportunity';
CREATE TABLE kpi_window AS
SELECT record_type, record_id, CASE kpi_set WHEN '30d' THEN 30 ELSE 90 END AS window_days, * EXCLUDE (record_type, record_id, kpi_set), getvariable('as_of') AS as_of
FROM measure WHERE kpi_set <> 'lifetime';
