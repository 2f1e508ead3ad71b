"""`homing nodes`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .look import FILTER, LIMIT
from .parts import NODE, NODE_OPTION, one_node


def nodes(
    node: NODE = "",
    filter: FILTER = "",
    limit: LIMIT = 50,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Then print a line for each node that comes up, drains or goes down.")
    ] = False,
    named: NODE_OPTION = "",
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the data; with --watch a snapshot, then the changes, an object a line."),
    ] = False,
) -> None:
    """Show the nodes of the cluster that a node is in, and its connections to them."""
    from ..saying import say
    from ..shell.asking import ask
    from ..shell.columns import CLUSTER_NODES
    from ..shell.output import show_json, show_stream, show_table

    node, fields = one_node(node, named), {"filter": filter, "limit": limit}
    if watch:
        from ..shell.node_changes import NodeChanges

        request = {"what": "watch", "interval": 1.0, "nodes": fields}
        show_stream("nodes", node, request, NodeChanges().text_of, as_json)
        return
    answer: dict[str, Any] = ask("nodes", node, {"what": "nodes", **fields})
    if as_json:
        show_json(answer)
        return
    show_table(CLUSTER_NODES, answer, "nodes", "nodes")
    if answer["cluster"] is None:
        say("(in no cluster; `homing run --cluster NAME` joins one)")
