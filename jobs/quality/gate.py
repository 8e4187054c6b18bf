"""The gate: Great Expectations suites over a candidate, and the evidence of what they find.

A candidate and the facts about its run are offered to Great Expectations as one database; every check is data in
`expectations/`. What fails is looked up once more for its rows, a limited number of which is kept.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from jobs.publish import files
from jobs.publish.catalogue import Mart, literal, quote, read_catalogue
from jobs.publish.context import RunContext
from jobs.publish.verdict import Check, GateError, GateResult, fingerprint, run_folder
from jobs.publish.versions import Published, Version
from jobs.publish.writer import check_shape, open_candidate
from jobs.quality import facts
from jobs.quality.dialect import share, unshare
from jobs.quality.suites import Expectation, Suite, read_suites
from jobs.settings import PROJECT_ROOT, Settings

EXPECTATIONS = PROJECT_ROOT / "expectations"
EVIDENCE_ROWS = 1000
EXAMPLES = 5
Progress = Callable[[int, int, str], None]


def _quiet(done: int, total: int, note: str) -> None:
    """Report nothing."""


def gate(
    candidate: Path,
    home: Path,
    context: RunContext,
    settings: Settings,
    progress: Progress = _quiet,
    expectations: Path = EXPECTATIONS,
) -> GateResult:
    """Check a candidate; the verdict and its evidence are kept in `$RAPPORT_HOME/quality/<run>/`.

    Of `kpi_history` the run's own day is checked, of the weekly marts the weeks that the published version lacks; of
    older weeks the checksums alone (S9). Raises `GateError` when the gate itself cannot work.
    """
    marts = read_catalogue(settings.dbt_project_dir / "models" / "marts")
    suites = read_suites(expectations)
    with _opened(candidate, settings) as con:
        for mart in marts.values():
            check_shape(con, mart, f"candidate.{mart.schema}.{quote(mart.name)}")
        published = Published(home).current()
        try:
            _views(con, marts, context, published)
            facts.gather(con, home, marts, context, settings)
            facts.raw_view(con, home, published)
        except duckdb.Error as error:
            raise GateError(f"{candidate} cannot be checked: {' '.join(str(error).split())}; build it again") from error
        return _judge(con, candidate, suites, run_folder(home, context.run_id), context, progress)


@contextmanager
def _opened(candidate: Path, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    if not candidate.exists():
        raise GateError(f"{candidate} is missing: build the marts first")
    try:
        con = open_candidate(candidate, settings.threads)
    except duckdb.Error as error:
        raise GateError(f"{candidate} cannot be opened: {' '.join(str(error).split())}; build it again") from error
    with con:
        yield con


def _views(con: duckdb.DuckDBPyConnection, marts: dict[str, Mart], context: RunContext, published: Version | None) -> None:
    con.execute("CREATE SCHEMA restricted")
    con.execute("CREATE SCHEMA lake")
    for mart in marts.values():
        where = ""
        if mart.partition == "as_of_date":
            where = f" WHERE coalesce(as_of_date = DATE {literal(context.as_of_date)}, true)"
        elif (
            mart.partition
            and published
            and (known := [literal(f.stem) for f in published.mart_files(mart.name) if f.stem != "empty"])
        ):
            where = f" WHERE coalesce(CAST({quote(mart.partition)} AS VARCHAR) NOT IN ({', '.join(known)}), true)"
        con.execute(f"CREATE VIEW {mart.schema}.{quote(mart.name)} AS FROM candidate.{mart.schema}.{quote(mart.name)}{where}")
    lake = con.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'candidate' AND table_schema = 'lake'"
    ).fetchall()
    for (name,) in lake:
        con.execute(f"CREATE VIEW lake.{quote(name)} AS FROM candidate.lake.{quote(name)}")


def _judge(
    con: duckdb.DuckDBPyConnection, candidate: Path, suites: list[Suite], folder: Path, context: RunContext, progress: Progress
) -> GateResult:
    files.remove_tree(folder)
    (folder / "evidence").mkdir(parents=True)
    outcomes = _validate(con, suites, folder, context, progress)
    checks = []
    for suite in suites:
        for expectation in suite.expectations:
            met, trouble = outcomes[suite.name, expectation.name]
            checks.append(_check(suite, expectation) if met else _failure(con, suite, expectation, folder, trouble))
    result = GateResult(context.run_id, fingerprint(candidate), checks, folder)
    result.save()
    return result


def _validate(
    con: duckdb.DuckDBPyConnection, suites: list[Suite], folder: Path, context: RunContext, progress: Progress
) -> dict[tuple[str, str], tuple[bool, str]]:
    """Run the suites and write the Data Docs; (suite, expectation) to whether it was met, and what hindered the check."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    from jobs.quality import expectations  # noqa: F401  (registers expect_no_rows)

    gx_context = gx.get_context(mode="ephemeral")
    gx_context.variables.progress_bars = {"globally": False}
    outcomes = {}
    source = gx_context.data_sources.add_sql("candidate", connection_string=share(context.run_id, con))
    try:
        for done, suite in enumerate(suites):
            progress(done, len(suites), suite.name)
            if not _exists(con, suite):
                outcomes.update({(suite.name, e.name): (False, "there is no such table") for e in suite.expectations})
                continue
            asset = source.add_table_asset(suite.name, table_name=suite.table, schema_name=suite.schema)
            configured = gx.ExpectationSuite(suite.name, expectations=[e.configuration() for e in suite.expectations])
            definition = gx.ValidationDefinition(
                name=suite.name, data=asset.add_batch_definition_whole_table("candidate"), suite=gx_context.suites.add(configured)
            )
            outcome = gx_context.validation_definitions.add(definition).run(result_format="BOOLEAN_ONLY")
            for found in outcome.results:
                outcomes[suite.name, found.expectation_config.meta["name"]] = (
                    bool(found.success),
                    _trouble(found.exception_info),
                )
        _write_docs(gx_context, folder)
    finally:
        unshare(context.run_id)
    return outcomes


def _exists(con: duckdb.DuckDBPyConnection, suite: Suite) -> bool:
    found = con.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_catalog = current_database() AND table_schema = ? AND table_name = ?",
        [suite.schema, suite.table],
    )
    return found.fetchone() is not None


def _trouble(exceptions: dict[str, Any]) -> str:
    """The message of the exception that kept an expectation from being evaluated."""
    single = exceptions if "exception_message" in exceptions else next(iter(exceptions.values()), {})
    message = single.get("exception_message") if isinstance(single, dict) else None
    return " ".join(str(message).split()) if message else ""


def _write_docs(gx_context: Any, folder: Path) -> None:
    for name in list(gx_context.get_site_names()):
        gx_context.delete_data_docs_site(name)
    gx_context.add_data_docs_site(
        "docs",
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "show_how_to_buttons": False,
            "site_section_builders": {"expectations": "None", "profiling": "None"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str((folder / "docs").resolve())},
        },
    )
    gx_context.build_data_docs()


def _check(suite: Suite, expectation: Expectation, **found: Any) -> Check:
    return Check(table=suite.name, name=expectation.name, **expectation.meta, **found)


def _failure(con: duckdb.DuckDBPyConnection, suite: Suite, expectation: Expectation, folder: Path, trouble: str) -> Check:
    """Count the rows that break an expectation and keep some; personal columns of the lake stay out of messages."""
    name = f"evidence/{suite.name}.{expectation.name}.parquet"
    kept = f"read_parquet({literal(folder / name)})"
    try:
        count = con.execute(f"SELECT count(*) FROM ({expectation.evidence})").fetchone()[0]
        con.execute(
            f"COPY (SELECT * FROM ({expectation.evidence}) LIMIT {EVIDENCE_ROWS}) TO {literal(folder / name)} (FORMAT parquet)"
        )
        rows = con.execute(f"SELECT * FROM {kept} LIMIT {EXAMPLES}")
        columns = [d[0] for d in rows.description]
        examples = [dict(zip(columns, row, strict=True)) for row in rows.fetchall()] if suite.schema == "main" else []
    except duckdb.Error as error:
        return _check(suite, expectation, unexpected=1, observed=f"cannot be checked: {' '.join(str(error).split())}")
    if count == 0:
        return _check(suite, expectation, unexpected=1, observed=f"cannot be checked: {trouble or 'no reason was given'}")
    return _check(suite, expectation, unexpected=count, examples=examples, evidence=name)
