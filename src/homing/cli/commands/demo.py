"""`homing demo`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ... import gen
from ...gen.options import MOST_SECONDS
from ...node import run as run_node
from ...node.logs import PlainFormatter
from ...node.output import tell
from .. import server_demo
from ..completing import complete_server
from ..demo import demo as run_demo
from ..logs import log_to_stderr
from ..saying import fail, say

PORT = 2345
RATE = 2000


def demo(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Server of a well-known protocol, such as stun; --list names all. None: an echo server and a pool.",
            autocompletion=complete_server,
            show_default=False,
        ),
    ] = "",
    host: Annotated[str, typer.Option(help="Address to bind; 0.0.0.0 accepts other machines.")] = server_demo.LOCAL,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="UDP port; 0: any. Default: 2345 and the next, or that of NAME.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, max=MOST_SECONDS, help="Seconds until the demo stops; 0: run until Ctrl-C.")
    ] = 0,
    load: Annotated[
        bool, typer.Option("--load", help="Without NAME: send packets to both servers and count the answers.")
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option(min=1, max=200_000, help="Packets per second that --load sends; 2000 by default."),
    ] = None,
    uvloop: Annotated[bool, typer.Option("--uvloop", help="Run on uvloop, if it is installed.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Print the names of the servers, and exit.")] = False,
) -> None:
    """Run a supervised UDP echo server, and a second server in front of a pool of three workers. With NAME: run a
    server of a well-known protocol, and print the commands of its clients."""
    if list_:
        tell(server_demo.listed(), sys.stdout)
        return
    if name and (load or rate is not None):
        fail("demo", "--load and --rate are for the demo without NAME", 2)
    if not name and port == 65535:
        fail("demo", "the second server takes the next port; give --port 65534 or less", 2)
    clear_line = "\r\x1b[2K" if sys.stderr.isatty() else ""  # the line of counters is rewritten in place
    log_to_stderr("INFO", PlainFormatter(clear_line))
    if name:
        clean = _run(server_demo.show, f"{name}@localhost", uvloop, *_server(name, host, port, seconds))
    else:
        arguments = (host, PORT if port is None else port, seconds, (rate or RATE) if load else 0)
        clean = _run(run_demo, "demo@localhost", uvloop, *arguments)
    raise typer.Exit(0 if clean else 1)


def _server(name: str, host: str, port: int | None, seconds: float) -> tuple[Any, ...]:
    """Returns the arguments of `server_demo.show`."""
    try:
        module = server_demo.find(name)
        return module, seconds, *server_demo.arguments(module, host, port)
    except gen.HomingError as error:
        fail("demo", str(error), 2)


def _run(main: Callable[..., Any], node: str, uvloop: bool, *args: Any) -> bool:
    try:
        return bool(run_node(main, *args, name=node, uvloop=uvloop))
    except gen.HomingError as error:
        say(f"homing demo: {error}")
        if isinstance(error, OSError):
            say("homing demo: --port 0 takes any free port")
        raise typer.Exit(1) from None
