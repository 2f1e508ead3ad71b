"""The commands that look into a node: `homing ps`, `sockets`, `inspect`, and one for each other table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from .parts import AS_JSON, CLUSTER, NODE, NODE_OPTION, TARGET, one_node

LIMIT = Annotated[int, typer.Option(metavar="N", help="Most rows.")]
FILTER = Annotated[str, typer.Option(metavar="TEXT", help="Only rows that contain this text, in either case.")]
REVERSE = Annotated[bool, typer.Option("--reverse", "-r", help="The opposite order.")]
LAST = Annotated[bool, typer.Option("--last", help="The last rows instead of the first.")]
SORT = Annotated[str, typer.Option("--sort", "-s", metavar="COLUMN", help="Order of the rows: a column, or id.")]


def ps(
    node: NODE = "",
    sort: SORT = "id",
    reverse: REVERSE = False,
    filter: FILTER = "",
    limit: LIMIT = 50,
    last: LAST = False,
    state: Annotated[str, typer.Option(metavar="STATE", help="Only processes in this state, such as running.")] = "",
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="Only processes of this kind: actor, pool, router or supervisor.")
    ] = "",
    application: Annotated[str, typer.Option(metavar="NAME", help="Only processes of this application.")] = "",
    named: NODE_OPTION = "",
    cluster: CLUSTER = False,
    as_json: AS_JSON = False,
) -> None:
    """Show the processes of a node: what waits for each, since when, and how busy it is."""
    from ..shell.columns import PROCESSES

    choices = {"state": state.replace("_", " "), "kind": kind, "application": application}
    query: dict[str, Any] = {name: value for name, value in choices.items() if value}
    query |= {"sort": _order(sort, PROCESSES), "reverse": reverse, "filter": filter, "limit": limit, "last": last}
    _table("ps", one_node(node, named), {"what": "processes", **query}, PROCESSES, cluster, as_json)


def sockets(
    node: NODE = "",
    sort: SORT = "id",
    reverse: REVERSE = False,
    filter: FILTER = "",
    limit: LIMIT = 50,
    last: LAST = False,
    named: NODE_OPTION = "",
    cluster: CLUSTER = False,
    as_json: AS_JSON = False,
) -> None:
    """Show the UDP sockets of a node: rates, queues, buffers, drops by cause."""
    from ..shell.columns import SOCKETS

    query = {"sort": _order(sort, SOCKETS), "reverse": reverse, "filter": filter, "limit": limit, "last": last}
    _table("sockets", one_node(node, named), query, SOCKETS, cluster, as_json)


def _command(what: str, columns: str, text: str) -> Callable[..., None]:
    """Returns the command `what`, which shows the table of that name. columns: the name of its columns."""

    def command(
        node: NODE = "",
        filter: FILTER = "",
        limit: LIMIT = 50,
        named: NODE_OPTION = "",
        cluster: CLUSTER = False,
        as_json: AS_JSON = False,
    ) -> None:
        from ..shell import columns as tables

        query = {"filter": filter, "limit": limit}
        _table(what, one_node(node, named), query, getattr(tables, columns), cluster, as_json)

    command.__name__, command.__doc__ = what, text
    return command


tcp = _command(
    "tcp", "TCP", "Show the TCP servers and clients of a node: connections, frames, what was refused and cut."
)
events = _command("events", "EVENTS", "Show the registered events of a node.")
pools = _command(
    "pools",
    "POOLS",
    "Show the pools of a node: what waits, is dropped, restarted. `homing inspect` shows one with its workers.",
)
routers = _command(
    "routers",
    "ROUTERS",
    "Show the routers of a node: what is forwarded, and fails. `homing inspect` shows one with its routes.",
)
supervisors = _command(
    "supervisors",
    "SUPERVISORS",
    "Show the supervisors of a node, and their restarts. `homing inspect` shows one with its children.",
)


def applications(
    node: NODE = "", limit: LIMIT = 50, named: NODE_OPTION = "", cluster: CLUSTER = False, as_json: AS_JSON = False
) -> None:
    """Show the loaded applications of a node."""
    from ..shell.columns import APPLICATIONS

    _table("applications", one_node(node, named), {"limit": limit}, APPLICATIONS, cluster, as_json)


def inspect(target: TARGET, node: NODE_OPTION = "", cluster: CLUSTER = False, as_json: AS_JSON = False) -> None:
    """Show everything about one process or meta-process: state, mailbox, socket, links, children, its own facts."""
    from ..shell.asking import ask, node_of, of_cluster
    from ..shell.detail import detail
    from ..shell.output import show, show_json, terminal_width

    request = {"what": "process", "target": target}
    if cluster:
        answer = ask("inspect", node, of_cluster(request))
    else:
        answer = ask("inspect", node_of(target, node), request)
    if as_json:
        show_json(answer)
    else:
        show(detail(answer, terminal_width()))


def _order(sort: str, columns: list[Any]) -> str:
    """Returns the order of the request that sorts by the column `sort`. Any other order is for the node to check."""
    return next((column.sort for column in columns if column.title == sort and column.sort), sort)


def _table(command: str, node: str, query: dict[str, Any], columns: list[Any], cluster: bool, as_json: bool) -> None:
    """Asks a node and prints the table. The request has the name of the command, if `query` has no other."""
    from ..shell.asking import ask, of_cluster
    from ..shell.output import show_json, show_table

    request = {"what": command, **query}
    answer, what = ask(command, node, of_cluster(request) if cluster else request), request["what"]
    if as_json:
        show_json(answer)
    else:
        show_table(columns, answer, what if what in answer else "groups", what)
