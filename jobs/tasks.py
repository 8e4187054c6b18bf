"""What the tasks of the DAGs do, as ordinary functions: they read settings, call one job and report its progress.

A run is a dict that goes from task to task: `run_id`, `as_of`, `as_of_date`, `is_backfill`, `snapshot`, `candidate`,
`stages` (name, seconds and counts of each stage so far) and `gate`.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Any

from jobs import build, origin, progress, runs
from jobs.settings import Settings

Run = dict[str, Any]


def extract_crm(connection: str, run_id: str) -> dict[str, Any]:
    """Extract the Dataverse tables; `connection` is an Airflow connection as JSON."""
    from jobs.extract.connection import Connection
    from jobs.extract.crm import extract_crm as extract

    settings = Settings()
    with progress.stage("extract Dataverse") as stage:
        report = extract(Connection.from_airflow_json(connection), settings.home, settings, run_id, stage.step)
        stage.note = report.summary()
    return report.as_dict()


def mailbox_groups(connection: str, crm: str | None, run_id: str, groups: int = 8) -> list[list[dict[str, Any]]]:
    """The mailboxes to read, dealt out to at most `groups` groups; empty without consent.

    `connection` and `crm` are the Airflow connections of Graph and Dataverse as JSON; Dataverse is asked for a security role.
    """
    from jobs.extract.connection import Connection
    from jobs.extract.exchange import list_mailboxes

    settings = Settings()
    with progress.stage("choose mailboxes") as stage:
        mailboxes = list_mailboxes(
            Connection.from_airflow_json(connection),
            settings.home,
            settings,
            run_id,
            crm=Connection.from_airflow_json(crm) if crm else None,
        )
        stage.note = f"{len(mailboxes)} mailboxes"
    dealt = [mailboxes[n::groups] for n in range(groups)]
    return [[mailbox.as_dict() for mailbox in group] for group in dealt if group]


def extract_mailboxes(connection: str, group: list[dict[str, Any]], run_id: str) -> dict[str, Any]:
    """Extract mail and calendar of one group of mailboxes."""
    from jobs.extract.connection import Connection
    from jobs.extract.exchange import Mailbox, extract_group

    settings = Settings()
    with progress.stage("extract Exchange") as stage:
        report = extract_group(
            Connection.from_airflow_json(connection), [Mailbox(**m) for m in group], settings.home, settings, run_id, stage.step
        )
        stage.note = report.summary()
    return report.as_dict()


def landed(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of the reports of an extract run."""
    return {
        "rows": sum(r["rows"] for r in reports),
        "removes": sum(r["removes"] for r in reports),
        "parked": [p for r in reports for p in r["parked"]],
    }


def begin(run_id: str, as_of: str | None, interval_end: datetime | None) -> Run:
    """Choose the as-of of a KPI run (`runs.choose_as_of`)."""
    settings = Settings()
    published = runs.published_manifest(settings.home)
    published_as_of = runs.parse_instant(published["as_of"]) if published else None
    return _run(run_id, _chosen(as_of, interval_end, settings, published_as_of), settings, published_as_of)


def _chosen(param: str | None, interval_end: datetime | None, settings: Settings, published_as_of: datetime | None) -> datetime:
    from jobs.extract.overview import watermarks

    return runs.choose_as_of(
        param=param,
        interval_end=interval_end,
        configured=settings.as_of,
        watermarks=watermarks(settings.home),
        published_as_of=published_as_of,
    )


def _run(run_id: str, as_of: datetime, settings: Settings, published_as_of: datetime | None) -> Run:
    return {
        "run_id": run_id,
        "as_of": runs.instant_text(as_of),
        "as_of_date": runs.as_of_date(as_of, settings.reporting_timezone).isoformat(),
        "is_backfill": published_as_of is not None and as_of < published_as_of,
        "stages": [],
    }


def _with_stage(run: Run, name: str, seconds: float, **facts: Any) -> Run:
    return {**run, "stages": [*run["stages"], {"stage": name, "seconds": round(seconds, 3), **facts}]}


def normalise(run: Run) -> Run:
    """Bring the normalised lake up to date with the raw log; what the run says of its marts already stays."""
    from jobs.normalise import run as normalise_raw

    settings = Settings()
    with progress.stage("normalise") as stage:
        report = normalise_raw(settings.home, settings, run["run_id"], stage.step)
        stage.note = f"{report.row_counts['activity']:,} activities"
    facts = {name: getattr(report, name) for name in ("snapshot_id", "tier", "history_start", "opt_out")}
    return _with_stage({**facts, **run}, "normalise", stage.seconds, rows=report.row_counts["activity"])


def build_marts(run: Run) -> Run:
    """Build the run's candidate with dbt (`origin.build_candidate`)."""
    settings = Settings()
    with progress.stage("build marts") as stage:
        variables = build.dbt_vars(settings, as_of=run["as_of"], tier=run["tier"], history_start=run["history_start"])
        candidate, models, is_update = origin.build_candidate(settings, run["run_id"], variables)
        stage.note = f"{models} models, {'brought up to date' if is_update else 'from nothing'}"
    return _with_stage({**run, "candidate": str(candidate)}, "build", stage.seconds, rows=models)


def _context(run: Run, settings: Settings) -> Any:
    from jobs.extract.overview import watermarks
    from jobs.privacy.erasure import erasing
    from jobs.publish.context import RunContext

    marks = watermarks(settings.home)
    parked = [m for m in marks if m.get("parked_reason")]
    published = runs.published_manifest(settings.home)
    is_erasure = erasing(settings.home).exists()
    return RunContext(
        run_id=run["run_id"],
        as_of=runs.parse_instant(run["as_of"]),
        as_of_date=date.fromisoformat(run["as_of_date"]),
        reporting_timezone=settings.reporting_timezone,
        tier=run["tier"],
        snapshot_id=run["snapshot_id"],
        watermarks=marks,
        completeness="partial" if parked else "complete",
        parked=parked,
        history_start=run["history_start"],
        replayed=settings.replayed_tenant,
        is_backfill=run["is_backfill"],
        never_held=is_erasure or (published is not None and published["opt_out"] != run["opt_out"]),
        is_erasure=is_erasure,
        opt_out=run["opt_out"],
        stages=run["stages"],
    )


def begin_weeks(run_id: str, as_of: str | None, interval_end: datetime | None) -> Run:
    """Choose the instant whose latest Monday the weekly run reaches; its version carries the as-of of the current KPI marts.

    Raises `TooEarly` until KPI marts of the same contract are published, for the weekly candidate is a copy of them, and after a
    rollback, for the copy would be of what readers were taken away from.
    """
    from jobs.publish import CONTRACT_VERSION

    settings = Settings()
    published = runs.published_manifest(settings.home)
    if published is None:
        raise runs.TooEarly("nothing is published yet: run the DAG relationship_kpis once before similar_won_deals")
    if published["contract_version"] != CONTRACT_VERSION:
        raise runs.TooEarly(
            f"the KPI marts are of contract {published['contract_version']}, the code of {CONTRACT_VERSION}: run the DAG relationship_kpis first"
        )
    if (last := build.base_version(settings.home)) != published["version"]:
        raise runs.TooEarly(
            f"readers were rolled back from {last} to {published['version']}: mend the cause and run the DAG relationship_kpis first"
        )
    reached = _chosen(as_of, interval_end, settings, None)
    current = runs.parse_instant(published["as_of"])
    of_marts = {name: published[name] for name in ("snapshot_id", "opt_out")}
    return {**_run(run_id, current, settings, current), **of_marts, "reached": runs.instant_text(reached)}


def compute_weeks(run: Run) -> Run:
    """Compute the weeks that are missing, then a candidate with the current KPI marts and all weeks."""
    from jobs.extract.overview import watermarks
    from jobs.similar.weekly import fill_weeks

    settings = Settings()
    with progress.stage("similar won deals") as stage:
        variables = build.dbt_vars(settings, tier=run["tier"], history_start=run["history_start"])
        scratch = build.new_candidate(settings.home, f"{run['run_id']}-weeks", from_base=False)
        filled = fill_weeks(
            settings.home,
            settings,
            runs.parse_instant(run["reached"]),
            scratch,
            lambda args, more: build.dbt(args, scratch, settings, {**variables, **more}),
            watermarks(settings.home),
            stage.step,
        )
        build.drop_candidate(scratch)
        candidate = build.new_candidate(settings.home, run["run_id"], from_base=True)
        build.dbt(
            ["run", "--select", "path:models/marts/similar", "dim_date"],
            candidate,
            settings,
            {**variables, "as_of": run["as_of"]},
        )
        stage.note = filled.summary()
    return _with_stage({**run, "candidate": str(candidate)}, "similar", stage.seconds, rows=len(filled.written))


def gate(run: Run) -> Run:
    """Check the candidate; a critical failure deletes it and fails the task."""
    from jobs.quality.gate import gate as check

    settings = Settings()
    with progress.stage("gate") as stage:
        result = check(Path(run["candidate"]), settings.home, _context(run, settings), settings)
        stage.note = result.summary()
        if result.status == "critical":
            build.drop_candidate(Path(run["candidate"]))
            result.raise_critical()
    return _with_stage({**run, "gate": result.status}, "gate", stage.seconds)


def publish(run: Run) -> Run:
    """Publish the candidate, or put it on hold when the gate says so."""
    from jobs.publish import publish as publish_candidate
    from jobs.publish.verdict import read_result
    from jobs.quality import notify

    settings = Settings()
    with progress.stage("publish") as stage:
        context = _context(run, settings)
        published = publish_candidate(Path(run["candidate"]), settings.home, context, settings, stage.step)
        stage.note = published.summary()
    if published.status == "held" and (verdict := read_result(settings.home, run["run_id"])):
        notify.send(notify.held_notice(context, verdict), settings)
    elif context.parked:
        notify.send(notify.partial_notice(context), settings)
    return {**run, "version": published.version}


def maintain_raw(run_id: str) -> dict[str, int]:
    """Drop raw rows that nothing reads any more and compact the raw log; no result changes."""
    from jobs import clock
    from jobs.extract.retention import maintain

    with progress.stage("maintain raw log") as stage:
        done = maintain(Settings(), run_id, clock.now())
        stage.note = f"{done['files_before']:,} files are {done['files_after']:,}, {done['rows_dropped']:,} rows dropped"
    return done


def drop_gate_runs() -> dict[str, int]:
    """Drop old verdicts of the gate and candidates that nobody waits for."""
    from jobs import clock
    from jobs.quality.retention import drop_old_gate_runs

    with progress.stage("drop old gate runs") as stage:
        done = drop_old_gate_runs(Settings(), clock.now())
        stage.note = f"{done['runs']:,} verdicts, {done['candidates']:,} candidates"
    return done


def check_freshness() -> str:
    """The name of the published version; raises `StaleError` when it is older than promised."""
    from jobs import clock
    from jobs.quality import freshness

    with progress.stage("check freshness") as stage:
        stage.note = freshness.check_freshness(Settings(), clock.now())
    return stage.note
