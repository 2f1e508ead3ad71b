"""`homing tree`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .parts import AS_JSON, CLUSTER, NODE, NODE_OPTION, one_node

MOST_CHILDREN = 20
"""Most children of a process that `homing tree` shows. The pools and supervisors of most programs have fewer."""


def tree(
    node: NODE = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Print all children of a process, not only the first 20.")
    ] = False,
    named: NODE_OPTION = "",
    cluster: CLUSTER = False,
    as_json: AS_JSON = False,
) -> None:
    """Show the processes of a node as a tree: applications, supervisors and their restarts, sockets."""
    from ..saying import say
    from ..shell.asking import ask, of_cluster
    from ..shell.columns import missing
    from ..shell.output import show_json, terminal_width, write
    from ..tree import render

    request = {"what": "tree", "children": None if everything else MOST_CHILDREN}
    answer = ask("tree", one_node(node, named), of_cluster(request) if cluster else request)
    if as_json:
        show_json(answer)
    else:
        write(render(answer, sys.stdout.encoding, terminal_width()))
        for line in missing(answer):
            say(f"({line})")
