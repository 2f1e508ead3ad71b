"""`homing top`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..saying import fail
from .parts import AS_JSON_LINES, CLUSTER, NODE, NODE_OPTION, one_node

if TYPE_CHECKING:
    from ..shell.top.view import View


def top(
    node: NODE = "",
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="Seconds between updates.")
    ] = 1.0,
    sort: Annotated[str, typer.Option("--sort", "-s", metavar="COLUMN", help="Order of the processes.")] = "",
    filter: Annotated[str, typer.Option(metavar="TEXT", help="Only rows that contain this text.")] = "",
    named: NODE_OPTION = "",
    cluster: CLUSTER = False,
    as_json: AS_JSON_LINES = False,
) -> None:
    """Watch the processes and sockets of a node: rates, queues, drops by cause.

    The key ? explains the others. With --json: a snapshot, then what changes.
    """
    node = one_node(node, named)
    if not as_json and not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        fail("top", "this is no terminal; `homing ps` and `homing sockets` print tables, `--json` data", 2)
    from ..shell.top.view import views

    try:
        tables = views(sort, filter)
    except ValueError as error:
        fail("top", str(error), 2)
    if as_json:
        _print(node, interval, tables, cluster)
    else:
        _show(node, interval, tables, cluster)


def _print(node: str, interval: float, tables: list[View], cluster: bool) -> None:
    from ..shell.output import show_stream

    request = {
        "what": "watch",
        "interval": interval,
        "cluster": cluster,
        **{view.what: view.fields() for view in tables},
    }
    show_stream("top", node, request, str, True)


def _show(node: str, interval: float, tables: list[View], cluster: bool) -> None:
    from ...observe.control.client import choose
    from ..shell.asking import failing

    with failing("top"):
        name, path = choose(node or None)
    try:
        from ..shell.top.app import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        fail("top", "this needs textual; pip install 'homing[cli]'", 1)
    for exported in ("COLUMNS", "LINES"):
        os.environ.pop(exported, None)  # textual would take them for the terminal's size, also when it has changed
    Top(name, path, interval, tables, cluster).run()
