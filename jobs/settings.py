"""Every setting of Rapport, read from `RAPPORT_*` environment variables and an optional `.env` file.

What analysts tune (weights, thresholds, windows) lives in dbt vars; `dbt_vars` overrides those from here.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """One object with every setting; list and object values are given as JSON."""

    model_config = SettingsConfigDict(env_prefix="RAPPORT_", env_file=".env", extra="ignore")

    home: Path = Field(Path("var"), description="Folder that holds lake, warehouse and published versions.")
    as_of: datetime | None = Field(None, description="The instant to compute for, UTC; empty: chosen per run.")
    reporting_timezone: str = Field("UTC", description="IANA zone of reporting days and business hours.")
    internal_domains: list[str] | None = Field(
        None, description="Team-side mail domains, exact; empty: derived from the users (N6)."
    )
    replayed_tenant: bool = Field(False, description="A captured tenant folder is served: no age checks, no waiting for rounds.")

    hash_key: SecretStr = Field(SecretStr(""), description="Key of subject_key; required for a real connection.")
    collect_subjects: bool = Field(False, description="Keep subject texts in the restricted table activity_subject.")
    copy_tolerance_seconds: int = Field(
        120, ge=0, description="Largest distance at which mail without message id joins (N16), seconds."
    )
    drop_deleted_mail: bool = Field(False, description="Drop a copy that a reconcile round finds in no folder (N54).")

    exchange_consent: dict[str, str] | None = Field(
        None, description="Who agreed to reading Exchange, when, and for which scope: keys who, when, scope."
    )
    mail_profile: Literal["Mail.Read", "Mail.ReadBasic.All"] = Field(
        "Mail.Read", description="Graph permission profile; ReadBasic has no list pass."
    )
    mailboxes: list[str] | None = Field(
        None, description="Addresses or ids of the mailboxes to read; empty: all users with a mailbox."
    )
    mailbox_group: str | None = Field(
        None, description="Object id of the Entra security group whose members' mailboxes are read."
    )
    mailbox_role: str | None = Field(None, description="Dataverse security role whose users' mailboxes are read.")
    skip_folders: list[str] = Field(default_factory=list, description="Well-known folder names that are not read at all.")
    hidden_folders: bool = Field(True, description="Read hidden mail folders too.")
    first_load_days: int = Field(
        365, ge=0, description="Mail older than this at the first round is dropped before landing, days; 0: no limit."
    )
    calendar_past_days: int = Field(400, ge=1, description="Calendar window before the round's start, days.")
    calendar_future_days: int = Field(180, ge=1, description="Calendar window after the round's start, days.")
    reconcile_days: int = Field(7, ge=0, description="Days between full-list reconcile rounds of a stream; 0: never.")
    page_size: int = Field(500, ge=1, description="Records a page asked of Graph (Prefer: odata.maxpagesize).")
    crm_page_size: int = Field(5000, ge=1, description="Records a page asked of Dataverse.")
    max_requests: int = Field(32, ge=1, description="Ceiling of the adaptive number of concurrent requests.")
    mailbox_requests: int = Field(4, ge=1, description="Concurrent requests to one mailbox; Exchange allows 4.")
    retry_budget_seconds: float = Field(
        900.0, gt=0, description="Total waiting time a stream may spend on retries in a run, seconds."
    )

    request_timeout_seconds: float = Field(
        300.0, gt=0, description="Longest time that one request to a source may take, seconds."
    )

    privacy_opt_out_file: Path | None = Field(None, description="CSV kind,value with kind user, contact, address or domain.")
    privacy_opt_out_flags: list[str] = Field(
        default_factory=list, description="Dataverse boolean columns (table.column) that opt a record out."
    )

    similarity_attributes: list[dict[str, str]] = Field(
        default_factory=list, description="Extra attributes of opportunities: {name, kind: number | category}."
    )
    history_days: int = Field(400, ge=1, description="Days that kpi_history and weekly partitions are kept.")
    max_source_age_hours: float = Field(48.0, gt=0, description="Oldest acceptable complete round of a source, hours (G6).")
    max_published_age_hours: float = Field(48.0, gt=0, description="Age of the published version that raises an alarm, hours.")
    max_drop_rate: float = Field(0.2, ge=0, le=1, description="Share of a mart's rows whose loss holds a version back (G5).")
    max_drop_rows: int = Field(20, ge=0, description="Rows that a mart must lose before its loss is judged (G5).")
    may_be_empty: list[str] = Field(
        default_factory=list, description="Marts whose last row may go without failing the gate (G5)."
    )
    drop_check_after_versions: int = Field(7, ge=0, description="Versions published before row counts are compared (G5).")
    max_kpi_jump_rate: float = Field(0.5, gt=0, description="Change of a KPI's total between versions that warns, share.")
    max_quarantine_rate: float = Field(0.01, ge=0, le=1, description="Share of quarantined records that warns.")
    max_unresolved_rate: float = Field(0.5, ge=0, le=1, description="Share of customer addresses without a record that warns.")
    keep_raw_days: int = Field(
        30, ge=0, description="Days that raw rows of Dataverse stay once a complete listing replaced them; 0: for ever."
    )
    keep_versions: int = Field(5, ge=1, description="Published versions kept.")
    keep_quality_runs: int = Field(60, ge=1, description="Runs whose verdict and evidence of the gate are kept.")
    keep_candidate_days: int = Field(2, ge=1, description="Days that a candidate which was not published is kept.")
    postgres_dsn: SecretStr | None = Field(None, description="PostgreSQL target, postgresql://...; empty: none.")
    postgres_switch_seconds: float = Field(
        120.0, gt=0, description="How long a switch waits for readers of PostgreSQL that hold the views, seconds."
    )
    postgres_reader_role: str = Field("rapport_bi", description="Role that is granted the stable schema kpi.")

    notify_webhook: SecretStr | None = Field(None, description="URL that notices are posted to as JSON; empty: none.")
    notify_smtp: SecretStr | None = Field(
        None, description="Mail server for notices, smtp://[user:password@]host[:port] or smtps://...; empty: none."
    )
    notify_email_from: str = Field("rapport@localhost", description="Sender address of notices by mail.")
    notify_runbooks: str = Field("docs/runbooks", description="Where people find the runbooks that notices name: folder or URL.")
    notify_email_to: list[str] = Field(default_factory=list, description="Addresses that get notices by mail.")

    dbt_project_dir: Path = Field(PROJECT_ROOT / "dbt_project", description="Folder of the dbt project.")
    dbt_target: str = Field("prod", description="dbt target: dev, ci or prod.")
    most_updates: int = Field(
        30, ge=0, description="Builds in a row that may bring the last one up to date instead of starting anew; 0: none."
    )
    dbt_vars: dict[str, Any] = Field(default_factory=dict, description="Overrides of dbt vars.")
    threads: int = Field(2, ge=1, description="Threads of DuckDB, dbt and Polars work.")

    @property
    def lake(self) -> Path:
        """Folder of raw, normalised and history layers."""
        return self.home / "lake"
