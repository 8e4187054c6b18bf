"""A small mart catalogue and candidates to publish, as dbt would leave them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import yaml

from jobs.publish import RunContext
from jobs.publish.verdict import Check, GateResult, fingerprint, run_folder
from jobs.settings import Settings

MARTS = {
    "kpi_contact": (
        {"key": ["contact_id"]},
        "contact_id VARCHAR!, emails_sent BIGINT!, response_rate_by_us DOUBLE, as_of TIMESTAMP WITH TIME ZONE!",
    ),
    "kpi_account": ({"key": ["account_id"]}, "account_id VARCHAR!, emails_sent BIGINT!, as_of TIMESTAMP WITH TIME ZONE!"),
    "kpi_history": (
        {"key": ["record_type", "record_id", "as_of_date", "kpi_set"], "partition": "as_of_date"},
        "record_type VARCHAR!, record_id VARCHAR!, as_of_date DATE!, kpi_set VARCHAR!, emails_sent BIGINT!, as_of TIMESTAMP WITH TIME ZONE!",
    ),
    "similar_won_deal": (
        {"key": ["week_of", "opportunity_id", "rank"], "partition": "week_of"},
        "week_of DATE!, opportunity_id VARCHAR!, rank BIGINT!, distance DOUBLE",
    ),
    "activity_subject": ({"key": ["activity_id"], "restricted": True}, "activity_id VARCHAR!, subject VARCHAR!"),
}
DAY = datetime(2026, 7, 6, tzinfo=UTC)


def write_project(folder: Path, marts: dict[str, tuple[dict, str]] = MARTS) -> Path:
    """The yml of a dbt project with these marts; returns the project's folder."""
    models = folder / "models" / "marts"
    models.mkdir(parents=True, exist_ok=True)
    for file in models.glob("*.yml"):
        file.unlink()
    for name, (meta, columns) in marts.items():
        described = [
            {
                "name": column.split(" ")[0],
                "data_type": column.split(" ", 1)[1].rstrip("!"),
                "description": f"The {column.split(' ')[0]}.",
                "constraints": [{"type": "not_null"}] if column.endswith("!") else [],
            }
            for column in columns.split(", ")
        ]
        model = {"name": name, "description": f"One row a {name}.", "config": {"meta": meta}, "columns": described}
        (models / f"{name}.yml").write_text(yaml.safe_dump({"version": 2, "models": [model]}))
    return folder


def settings(home: Path, **more: object) -> Settings:
    """Settings of a test's own home, with its own project."""
    project = home / "dbt_project"
    if not project.exists():
        write_project(project)
    return Settings(_env_file=None, home=home, dbt_project_dir=project, **more)


def context(run_id: str, as_of: datetime = DAY, **more: object) -> RunContext:
    """A complete run at `as_of`."""
    stages = [{"stage": "normalise", "seconds": 1.5, "rows": 10}]
    return RunContext(
        run_id=run_id,
        as_of=as_of,
        as_of_date=(as_of - timedelta(microseconds=1)).date(),
        snapshot_id=f"snapshot-{run_id}",
        stages=stages,
        **more,
    )


def candidate(
    home: Path,
    run: RunContext,
    contacts: int = 3,
    sent: int = 1,
    past_days: tuple[date, ...] = (),
    weeks: tuple[date, ...] = (),
    marts: dict[str, tuple[dict, str]] = MARTS,
) -> Path:
    """A candidate whose contacts and accounts each sent `sent` emails; older days and weeks come from the lake."""
    path = home / "warehouse" / "candidates" / f"{run.run_id}.duckdb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("BEGIN")
        con.execute("CREATE SCHEMA restricted")
        for name, (meta, columns) in marts.items():
            spelled = columns.replace("!", " NOT NULL")
            con.execute(f"CREATE TABLE {'restricted' if meta.get('restricted') else 'main'}.{name} ({spelled})")
        instant = f"TIMESTAMPTZ '{run.as_of.isoformat()}'"
        con.execute(
            f"INSERT INTO kpi_contact BY NAME SELECT 'c' || i AS contact_id, {sent} AS emails_sent, 0.5 AS response_rate_by_us, {instant} AS as_of FROM range({contacts}) r(i) ORDER BY random()"
        )
        con.execute(
            f"INSERT INTO kpi_account BY NAME SELECT 'a' || i AS account_id, {sent} AS emails_sent, {instant} AS as_of FROM range(2) r(i)"
        )
        con.execute(
            f"INSERT INTO kpi_history BY NAME SELECT 'contact' AS record_type, 'c' || i AS record_id, DATE '{run.as_of_date}' AS as_of_date, 'lifetime' AS kpi_set, {sent} AS emails_sent, {instant} AS as_of FROM range({contacts}) r(i)"
        )
        con.execute("INSERT INTO restricted.activity_subject BY NAME SELECT 'x1' AS activity_id, 'A subject' AS subject")
        for day in past_days:
            con.execute(
                f"INSERT INTO kpi_history BY NAME FROM read_parquet('{home}/lake/history/kpi/as_of_date={day}/kpi_history.parquet', hive_partitioning = false)"
            )
        for week in weeks:
            con.execute(
                f"INSERT INTO similar_won_deal BY NAME FROM read_parquet('{home}/lake/history/similar/week_of={week}/similar_won_deal.parquet', hive_partitioning = false)"
            )
        con.execute("COMMIT")
    return path


def checked(home: Path, run: RunContext, path: Path, severity: str | None = None) -> Path:
    """Leave the gate's verdict on a candidate: passed, or failed once with `severity`."""
    found = [
        Check("kpi_contact", "contact_id_not_null", severity or "critical", "M", "keys", "look", unexpected=1 if severity else 0)
    ]
    GateResult(run.run_id, fingerprint(path), found, run_folder(home, run.run_id)).save()
    return path


def read(home: Path, query: str, file: str = "marts.duckdb") -> list[tuple]:
    """Ask the version that readers see."""
    with duckdb.connect(str(home / "published" / "current" / file), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(query).fetchall()
