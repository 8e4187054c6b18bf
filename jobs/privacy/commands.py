"""The commands about one person: `rapport export`, `rapport forget`. Whom they are about stands in a file, not in the shell's history."""

import json
import sys
from pathlib import Path

import click

from jobs import clock
from jobs.settings import Settings

FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.command()
@FILE
def export(file: Path) -> None:
    """Print as JSON all that is held about the person whom FILE names (CSV kind,value: user, contact or address)."""
    from jobs.privacy.erasure import held_about
    from jobs.privacy.person import read_person

    home = Settings().home
    json.dump(held_about(home, read_person(home, file)), sys.stdout, indent=1, ensure_ascii=False, default=str)
    click.echo()


@click.command()
@FILE
@click.option("--reference", required=True, help="Number of the request, for the receipt; no name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(file: Path, reference: str, yes: bool) -> None:
    """Erase the person whom FILE names from every layer, then rebuild and publish. It cannot be undone."""
    from jobs.orchestrate import forget_runs, run_dags
    from jobs.privacy.erasure import erase
    from jobs.privacy.person import read_person
    from jobs.publish.catalogue import read_catalogue
    from jobs.publish.protocol import opened_targets

    settings = Settings()
    home = settings.home.resolve()
    person = read_person(home, file)
    if not yes:
        click.confirm(f"erase {len(person.ids)} ids and {len(person.addresses)} addresses from {home}", abort=True)
    marts = read_catalogue(settings.dbt_project_dir / "models" / "marts")

    def republish() -> None:
        forget_runs(home)
        run_dags(["relationship_kpis"], home)
        with opened_targets(settings) as targets:
            for target in targets:
                target.forget_past()

    receipt = erase(home, person, marts, reference, republish, clock.now)
    click.echo(json.dumps(receipt))


commands = [export, forget]
