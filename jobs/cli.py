"""The `rapport` command."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from jobs.errors import RapportError
from jobs.settings import Settings

PLAIN_WIDTH = 140
ELSEWHERE = {
    **dict.fromkeys(("status", "resync", "doctor", "import"), "jobs.extract.commands"),
    **dict.fromkeys(("versions", "rollback", "verify", "diff", "release", "contract"), "jobs.publish.commands"),
    **dict.fromkeys(("export", "forget"), "jobs.privacy.commands"),
    "sandbox": "sandbox.commands",
}


class Commands(click.Group):
    """A group whose commands in other modules are imported when they are used, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE:
            commands = import_module(ELSEWHERE[cmd_name]).commands
            return next(command for command in commands if command.name == cmd_name)
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def rapport() -> None:
    """Relationship analytics: from CRM and Exchange to published KPI marts."""


@rapport.command()
@click.option("--tenant", type=click.Path(path_type=Path), help="Tenant folder to serve; none: a generated company.")
@click.option("--as-of", help="Instant to compute for, ISO 8601; none: the tenant's own.")
@click.option("--home", type=click.Path(path_type=Path), help="Folder for lake, warehouse and published marts (RAPPORT_HOME).")
def demo(tenant: Path | None, as_of: str | None, home: Path | None) -> None:
    """Serve a tenant in the sandbox, run every DAG once and show the marts."""
    from jobs.demo import demo as run_demo

    console = Console(highlight=False)
    run_demo(tenant, as_of, home, console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH))


@rapport.command()
@click.argument("dag", nargs=-1, required=True)
@click.option("--as-of", help="Instant to compute for, ISO 8601.")
def run(dag: tuple[str, ...], as_of: str | None) -> None:
    """Run DAGs in this process, one after the other, with the configured connections."""
    from jobs.orchestrate import run_dags

    conf = {name: {"as_of": as_of} for name in dag if not name.startswith("extract_")} if as_of else {}
    run_dags(list(dag), Settings().home.resolve(), conf=conf)


@rapport.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def airflow(arguments: tuple[str, ...]) -> None:
    """Run an Airflow command (standalone, backfill, dags, ...) on Rapport's DAGs and its own metadata database."""
    from jobs.orchestrate import airflow_environment

    for name, value in airflow_environment(Settings().home.resolve(), "airflow").items():
        os.environ.setdefault(name, value)
    # `standalone` starts its parts by the name `airflow`, and .venv/bin need not be on the user's path.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    from airflow.__main__ import main as airflow_main

    if arguments[:1] == ("standalone",):
        from airflow.utils.db import upgradedb

        from jobs.orchestrate import create_pools

        upgradedb()
        create_pools()
    sys.argv = ["airflow", *arguments]
    airflow_main()


def main() -> None:
    """Entry point: a failure that the user can act on is one line on standard error and exit status 1."""
    try:
        rapport()
    except RapportError as error:
        stop(str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        stop(f"{error.strerror or error}{where}: free or mend the disk and run again; what was published is untouched")


def stop(text: str) -> NoReturn:
    """Say one line on standard error and exit with status 1."""
    click.echo(f"rapport: {text}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
