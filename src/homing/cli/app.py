"""The application of typer: its commands are in `commands`, a module each."""

from __future__ import annotations

from typing import Annotated

import typer

from .commands import change
from .commands.bench import bench
from .commands.cert import cert
from .commands.config import config
from .commands.demo import demo
from .commands.logs import log_level, logs
from .commands.look import applications, events, inspect, pools, ps, routers, sockets, supervisors, tcp
from .commands.new import new
from .commands.nodes import nodes
from .commands.reload import reload
from .commands.run import run
from .commands.tap import replay, tap
from .commands.top import top
from .commands.trace import trace
from .commands.tree import tree

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _version(show: bool) -> None:
    if show:
        from .. import __version__

        typer.echo(f"homing {__version__}")
        raise typer.Exit


@app.callback()
def homing(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An actor runtime whose first-class citizen is the UDP socket."""


for command in (new, run, demo, bench, replay):
    app.command()(command)
app.add_typer(config, name="config")
app.add_typer(cert, name="cert")
for command in (
    tree,
    top,
    ps,
    sockets,
    tcp,
    nodes,
    inspect,
    logs,
    trace,
    applications,
    supervisors,
    pools,
    routers,
    events,
):
    app.command(rich_help_panel="Look into a node")(command)
for command in (log_level, change.send, change.exit, change.kill, change.reconfigure, tap, change.drain, reload):
    app.command(rich_help_panel="Change a node (homing run --allow)")(command)
