"""`homing demo`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ... import gen
from ...gen.options import MOST_SECONDS
from ...node import run as run_node
from ...node.logs import PlainFormatter
from ..demo import demo as run_demo
from ..logs import log_to_stderr
from ..saying import say


def demo(
    host: Annotated[str, typer.Option(help="Address to bind; 0.0.0.0 accepts other machines.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65534, help="UDP port of the echo server; the pool's is the next. 0: any two.")
    ] = 2345,
    seconds: Annotated[
        float, typer.Option(min=0, max=MOST_SECONDS, help="Seconds until the demo stops; 0: run until Ctrl-C.")
    ] = 0,
    load: Annotated[bool, typer.Option("--load", help="Send packets to both servers and count the answers.")] = False,
    rate: Annotated[int, typer.Option(min=1, max=200_000, help="Packets per second that --load sends.")] = 2000,
    uvloop: Annotated[bool, typer.Option("--uvloop", help="Run on uvloop, if it is installed.")] = False,
) -> None:
    """Run a supervised UDP echo server, and a second server in front of a pool of three workers."""
    clear_line = "\r\x1b[2K" if sys.stderr.isatty() else ""  # the line of counters is rewritten in place
    log_to_stderr("INFO", PlainFormatter(clear_line))
    try:
        clean = run_node(run_demo, host, port, seconds, rate if load else 0, name="demo@localhost", uvloop=uvloop)
    except gen.HomingError as error:
        say(f"homing demo: {error}")
        raise typer.Exit(1) from None
    raise typer.Exit(0 if clean else 1)
