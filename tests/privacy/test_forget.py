"""`rapport forget` with the real DAG and every target: whatever is left on disk and in PostgreSQL is searched for the person."""

import json
import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import polars as pl
import pytest

from jobs.publish.postgres import Postgres
from jobs.publish.versions import Published, verify
from tests import tiny_tenant as tiny
from tests.conftest import rapport
from tests.publish.conftest import postgres, postgres_server  # noqa: F401

READER = "rapport_bi"
CLEO = ("cleo@acme.example", "cleo them", tiny.CLEO)
BO = ("bo@ours.example", "bo us", tiny.BO, tiny.BO_MAILBOX)


def told(home: Path) -> dict[str, str]:
    """Everything below a home as text, in lower case: bytes of files, and the rows of Parquet files and DuckDB databases."""
    found = {}
    for file in (f for f in home.rglob("*") if f.is_file()):
        text = [file.read_bytes().decode("latin-1")]
        if file.suffix == ".parquet":
            text.append(str(pl.read_parquet(file, hive_partitioning=False).rows()))
        if file.suffix == ".duckdb":
            with duckdb.connect(str(file), read_only=True) as con:
                names = con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
                text += [str(con.execute(f'FROM "{schema}"."{name}"').fetchall()) for schema, name in names]
        found[str(file.relative_to(home))] = "\n".join(text).lower()
    return found


def told_by_postgres(dsn: str) -> dict[str, str]:
    """The same of every table and view of a database."""
    with adbc.connect(dsn) as con, con.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema::text, table_name::text FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        found = {}
        for schema, name in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{schema}"."{name}" AS t')
            found[f"{schema}.{name}"] = str(cursor.fetchall()).lower()
    return found


def naming(texts: dict[str, str], person: tuple[str, ...]) -> dict[str, list[str]]:
    return {name: hits for name, text in texts.items() if (hits := [needle for needle in person if needle in text])}


def loaded(home: Path, dsn: str) -> None:
    """Both versions of a home in PostgreSQL, the current one shown."""
    target = Postgres(dsn, READER)
    store = Published(home)
    with closing(target):
        for version in sorted(store.versions(), key=lambda v: v.manifest["published_at"]):
            entry = {
                "id": version.name,
                "at": version.manifest["published_at"],
                "action": "publish",
                "previous": None,
                "reason": None,
            }
            target.load(version)
            target.switch(version, entry)


@pytest.mark.long
def test_a_person_is_in_no_file_and_no_table_after_forget(tiny_home, tmp_path, postgres):  # noqa: F811
    home = Path(shutil.copytree(tiny_home, tmp_path / "home", symlinks=True))
    shutil.copytree(home / "airflow-inprocess", home / "airflow")
    loaded(home, postgres)
    for person in (CLEO, BO):
        assert naming(told(home), person) and naming(told_by_postgres(postgres), person)
    asked = tmp_path / "person.csv"
    asked.write_text(f"kind,value\ncontact,{tiny.CLEO}\nuser,{tiny.BO}\n")
    settings = {
        "RAPPORT_HOME": str(home),
        "RAPPORT_POSTGRES_DSN": postgres,
        "RAPPORT_AS_OF": tiny.AS_OF,
        "RAPPORT_REPLAYED_TENANT": "true",
    }

    done = rapport("forget", asked, "--reference", "request 7", "--yes", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    receipt = json.loads(done.stdout.splitlines()[-1])
    (version,) = Published(home).versions()
    assert receipt["version"] == version.name and receipt["versions"] == 2 and verify(version) == []
    assert json.loads(rapport("export", asked, **settings).stdout)["marts"] == {}

    cleaned = rapport(
        "airflow", "db", "clean", "--clean-before-timestamp", datetime.now(UTC).isoformat(), "--tables", "xcom,task_instance,task_instance_history", "--skip-archive", "--yes", **settings
    )  # fmt: skip
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    left, left_in_postgres = told(home), told_by_postgres(postgres)
    for person in (CLEO, BO):
        assert naming(left, person) == {} and naming(left_in_postgres, person) == {}
    assert "una@ours.example" in str(left) and "dan@acme.example" in left_in_postgres["kpi.dim_contact"]
    assert len([name for name in left_in_postgres if name.endswith(".kpi_contact")]) == 2
