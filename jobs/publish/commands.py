"""The commands about published versions."""

from pathlib import Path
from typing import Any

import click

from jobs.errors import RapportError
from jobs.publish.versions import Published
from jobs.settings import PROJECT_ROOT, Settings


def _table(title: str, headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Aligned columns that are never wrapped, so that names can be copied."""
    lines = [headings, *(tuple("" if value is None else str(value) for value in row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(headings))]
    click.echo(title)
    for line in lines:
        click.echo("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())


def _store() -> Published:
    """What is published in the home; an error where nothing ever was."""
    store = Published(Settings().home)
    if not store.versions_folder.exists():
        raise RapportError(f"nothing is published in {store.home}: set RAPPORT_HOME, or run the DAG relationship_kpis")
    return store


def _given(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A reason in words."""
    if not value.strip():
        raise click.BadParameter("say why in a few words", context, parameter)
    return value.strip()


@click.command()
@click.option("--log", "entries", type=click.IntRange(0), default=0, help="Show the last N entries of the log of switches.")
def versions(entries: int) -> None:
    """List the kept versions, the current one, and a candidate that is held."""
    from jobs.publish.protocol import held_candidate

    store = _store()
    current = store.current_name()
    rows = [
        (
            "current" if v.name == current else "",
            v.name,
            v.manifest["published_at"][:19],
            v.manifest["completeness"],
            v.manifest["tier"],
            f"{sum(m['rows'] for m in v.manifest['marts'].values()):,}",
            v.manifest["run_id"],
        )
        for v in store.versions()
    ]
    _table(f"Versions in {store.root}", ("", "version", "published at", "completeness", "tier", "rows", "run"), rows)
    held = held_candidate(store.home)
    if held:
        click.echo(f"held since {held['held_at'][:19]}: {held['candidate']}")
        for reason in held["reasons"]:
            click.echo(f"  {reason}")
        click.echo("  publish it with `rapport release --reason ...`")
    if entries:
        log = [tuple(e[k] for k in ("at", "action", "version", "run_id", "reason")) for e in store.log()[-entries:]]
        _table("Log of switches", ("at", "action", "version", "run", "reason"), log)


@click.command()
@click.argument("version")
@click.option("--reason", required=True, callback=_given, help="Why; kept in the log.")
def rollback(version: str, reason: str) -> None:
    """Let readers see a kept VERSION again; the next run publishes normally."""
    from jobs.publish.protocol import rollback as roll_back

    settings = Settings()
    _store()
    done = roll_back(settings.home, settings, version, reason)
    click.echo(f"readers see {done.version} again (before: {done.previous})")


@click.command()
@click.option("--reason", required=True, callback=_given, help="Why the held candidate may be published; kept in the log.")
def release(reason: str) -> None:
    """Publish the candidate that a check held back."""
    from jobs.publish.protocol import release as release_held

    settings = Settings()
    click.echo(release_held(settings.home, settings, reason).summary())


@click.command()
@click.argument("version", required=False)
def verify(version: str | None) -> None:
    """Compare the files of VERSION (none: of every kept version) with its manifest."""
    from jobs.publish.versions import verify as verify_files

    store = _store()
    chosen = [store.version(version)] if version else store.versions()
    wrong = [text for v in chosen for text in verify_files(v)]
    for text in wrong:
        click.echo(text)
    if wrong:
        raise RapportError(
            f"{len(wrong)} files are not as published: roll back to a sound version, see docs/runbooks/rollback.md"
        )
    click.echo(f"as published: {', '.join(v.name for v in chosen)}")


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--mart", help="Show the rows of this mart that changed.")
@click.option("--rows", type=click.IntRange(1), default=20, show_default=True, help="How many of them.")
def diff(old: str, new: str, mart: str | None, rows: int) -> None:
    """Show which rows and columns changed from version OLD to version NEW."""
    from jobs.publish.diff import changed_rows, shape_changes
    from jobs.publish.diff import diff as diff_versions

    store = _store()
    before, after = store.version(old), store.version(new)
    if mart:
        headings, found = changed_rows(before, after, mart, rows)
        _table(mart, tuple(headings), found)
        return
    shown = [
        (
            d.mart,
            d.only_old,
            d.only_new,
            d.changed,
            ", ".join(f"{c} ({n})" for c, n in sorted(d.columns.items(), key=lambda i: -i[1])[:6]),
        )
        for d in diff_versions(before, after)
        if not d.equal
    ]
    _table(f"{before.name} and {after.name}", ("mart", "only old", "only new", "changed", "columns (values changed)"), shown)
    click.echo("marts that are not listed are equal but for their as-of")
    if reshaped := shape_changes(before, after):
        _table("Columns that changed and are not compared", ("mart", "column", "change"), reshaped)


@click.command()
@click.option("--write", is_flag=True, help="Write docs/contract.md instead of comparing with it.")
def contract(write: bool) -> None:
    """Compare docs/contract.md with the marts' yml."""
    from jobs.publish.catalogue import read_catalogue
    from jobs.publish.contract import render

    page: Path = PROJECT_ROOT / "docs" / "contract.md"
    text = render(read_catalogue(Settings().dbt_project_dir / "models" / "marts"))
    if write:
        page.write_text(text)
        click.echo(f"wrote {page}")
    elif not page.exists() or page.read_text() != text:
        raise RapportError(f"{page} is not what the yml says: run `rapport contract --write`")
    else:
        click.echo(f"{page} is what the yml says")


commands = [versions, rollback, release, verify, diff, contract]
