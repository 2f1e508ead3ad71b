"""The commands."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from .. import __version__, gen
from ..node import run
from .bench import bench as run_bench
from .demo import demo as run_demo

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"homing {__version__}")
        raise typer.Exit


@app.callback()
def homing(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An actor runtime whose first-class citizen is the UDP socket."""


@app.command()
def demo(
    host: Annotated[str, typer.Option(help="Address to bind; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65534, help="UDP port of the echo server; the pool's is the next. 0: any two.")
    ] = 2345,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so many seconds; 0: run until Ctrl-C.")] = 0,
    load: Annotated[
        bool, typer.Option("--load", help="Send packets to both servers and show what comes back.")
    ] = False,
    rate: Annotated[int, typer.Option(min=1, max=200_000, help="Packets per second that --load sends.")] = 2000,
    uvloop: Annotated[bool, typer.Option("--uvloop", help="Run on uvloop, if it is installed.")] = False,
) -> None:
    """Run a supervised UDP echo server, and a second server in front of a pool of three workers."""
    clear_line = "\r\x1b[2K" if sys.stderr.isatty() else ""  # the line of counters is rewritten in place
    logging.basicConfig(level=logging.INFO, format=clear_line + "%(levelname)s %(name)s: %(message)s")
    try:
        clean = run(run_demo, host, port, seconds, rate if load else 0, name="demo@localhost", uvloop=uvloop)
    except gen.HomingError as error:
        typer.echo(f"homing demo: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if clean else 1)


@app.command()
def bench(
    seconds: Annotated[
        float, typer.Option(min=0.01, max=30, help="How long each UDP server is under load; the rest in proportion.")
    ] = 0.5,
) -> None:
    """Measure UDP and actors on this machine, beside bare asyncio and uvloop."""
    raise typer.Exit(0 if run_bench(seconds) else 1)
