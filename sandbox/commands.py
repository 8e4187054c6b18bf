"""The `rapport sandbox` command."""

from pathlib import Path

import click

from sandbox.server import create_app, serve


@click.command()
@click.option("--tenant", type=click.Path(path_type=Path), required=True, help="Tenant folder to serve.")
@click.option("--port", type=click.IntRange(1, 65535), default=8070, show_default=True, help="Loopback port.")
@click.option("--token", help="Bearer token that requests must bring; none: any caller on this machine.")
@click.option("--step", type=click.IntRange(0), default=0, help="Steps of changes/ that are applied at the start.")
def sandbox(tenant: Path, port: int, token: str | None, step: int) -> None:
    """Serve a tenant folder as Dataverse and Microsoft Graph on 127.0.0.1."""
    application = create_app(tenant, token=token, step=step)
    click.echo(f"serving {application.sandbox.tenant.description['name']}: http://127.0.0.1:{port}/dataverse and /graph")
    serve(application, port)


commands = [sandbox]
