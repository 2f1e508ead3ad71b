"""`homing config`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...gen import BadConfiguration
from ..saying import fail_configuration

config = typer.Typer(invoke_without_command=True, help="Print an example of a configuration file, or check a file.")


@config.callback()
def show(
    context: typer.Context,
    example: Annotated[
        bool, typer.Option("--example", help="Print a file with all options and their defaults.")
    ] = False,
) -> None:
    """Print an example of a configuration file, or check a file."""
    if example:
        from ..config.example import example as text

        typer.echo(text(), nl=False)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@config.command()
def check(file: Annotated[str, typer.Argument(help="The file, as for `homing run --config`.")]) -> None:
    """Check a file, and the environment variables HOMING_...; nothing is started."""
    from ..config.build import key_text
    from ..config.source import load

    try:
        loaded = load(file)
    except BadConfiguration as error:
        fail_configuration("config", error)
    for warning in loaded.warnings:
        typer.echo(f"homing config: {warning}", err=True)
    servers = ", ".join(key_text(("servers", name)) for name in loaded.configuration.names.values())
    typer.echo(f"{file} is valid{f'; it has options of {servers}' if servers else ''}")
    if loaded.configuration.app:
        typer.echo("[app] is checked when the program asks for its values")
