"""`homing logs` and `homing log-level`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ..completing import complete_target
from ..saying import printable
from .parts import AS_JSON, AS_JSON_LINES, NODE, NODE_OPTION, one_node

LEVELS = ["debug", "info", "warning", "error", "critical"]
DEFAULT = "default"


def logs(
    node: NODE = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new records, until Ctrl-C.")] = False,
    level: Annotated[
        str,
        typer.Option(
            metavar="LEVEL",
            help=f"Lowest level that is printed: {', '.join(LEVELS)}. `homing log-level` changes which are logged.",
            autocompletion=lambda incomplete: _levels(LEVELS, incomplete),
        ),
    ] = LEVELS[0],
    last: Annotated[int, typer.Option("--last", "-n", metavar="N", help="Most records of the past.")] = 50,
    target: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="Only records of this process or meta-process: a registered name, a PID or alias, or its number.",
            autocompletion=complete_target,
        ),
    ] = "",
    named: NODE_OPTION = "",
    as_json: AS_JSON_LINES = False,
) -> None:
    """Print the last log records of a node, and with --follow the new ones."""
    from ..shell.asking import node_of
    from ..shell.output import show_stream

    request = {"what": "logs", "follow": follow, "last": last, "target": target, "level": level.lower()}
    show_stream("logs", node_of(target, one_node(node, named)), request, _text, as_json)


def _text(item: Any) -> str:
    from ...observe.logs.formats import text_of

    if "suppressed" in item:
        return f"... {item['suppressed']:,} records are left out here: too many a second ..."
    return "\n".join(printable(line, sys.stdout.encoding) for line in text_of(item).split("\n"))


def log_level(
    level: Annotated[
        str,
        typer.Argument(
            metavar="LEVEL",
            help=f"Lowest level that is logged from now on: {', '.join(LEVELS)}; or {DEFAULT}: no level of its own.",
            autocompletion=lambda incomplete: _levels([*LEVELS, DEFAULT], incomplete),
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A registered name, a PID or alias, or its number. The level of a name lasts for the next process of"
            " that name. Default: the log of the whole program.",
            autocompletion=complete_target,
        ),
    ] = "",
    module: Annotated[str, typer.Option(metavar="NAME", help="A logger, mostly named like a module.")] = "",
    node: NODE_OPTION = "",
    as_json: AS_JSON = False,
) -> None:
    """Change the lowest level that a node logs: of one process, of one module, or of all.

    Needs `homing run --allow`.
    """
    from ..shell.asking import ask, node_of
    from ..shell.output import show_done

    request = {"what": "log_level", "level": level.lower(), "target": target, "module": module}
    show_done(ask("log-level", node_of(target, node), request), _changed, as_json)


def _changed(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['target'] or answer['module'] or 'the whole program'}: {answer['level']}"


def _levels(levels: list[str], incomplete: str) -> list[str]:
    return [level for level in levels if level.startswith(incomplete.lower())]
