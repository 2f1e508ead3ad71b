"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from ..completing import complete_node, complete_target

_HELP = "A node's name, or its part before the @. Default: the only one."
NODE = Annotated[str, typer.Argument(metavar="NODE", help=_HELP, autocompletion=complete_node)]
"""Of the commands without a target. They have `NODE_OPTION`, too: it works with every command."""

NODE_OPTION = Annotated[str, typer.Option("--node", metavar="NODE", help=_HELP, autocompletion=complete_node)]
TARGET = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A registered name, a PID or alias, its number, or the address of a UDP server.",
        autocompletion=complete_target,
    ),
]
AS_JSON = Annotated[bool, typer.Option("--json", help="Print the data.")]
AS_JSON_LINES = Annotated[bool, typer.Option("--json", help="Print the data, an object a line.")]
CLUSTER = Annotated[
    bool,
    typer.Option(
        "--cluster", "-c", help="Of all nodes of the cluster that let others look into them (--cluster-inspect)."
    ),
]
YES = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask at a terminal.")]


def one_node(argument: str, option: str) -> str:
    """Returns the node that is given as an argument or as an option."""
    if argument and option and argument != option:
        raise typer.BadParameter(f"NODE is {argument!r}, and --node {option!r}: give one of them")
    return argument or option
