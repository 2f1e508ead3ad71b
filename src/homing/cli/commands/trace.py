"""`homing trace`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ..completing import complete_target
from .parts import AS_JSON_LINES, NODE_OPTION


def trace(
    target: Annotated[
        str,
        typer.Argument(
            metavar="[TARGET]",
            help="A process or UDP server: a registered name, a PID or alias, its number, or the address of a socket"
            " such as 127.0.0.1:2345 or :2345. Default: all sockets.",
            autocompletion=complete_target,
        ),
    ] = "",
    limit: Annotated[int, typer.Option(metavar="N", help="Traces after which it ends.")] = 100,
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="Time after which it ends.")] = 10.0,
    rate: Annotated[
        float, typer.Option(metavar="N", help="Most traces a second. Messages beyond are counted.")
    ] = 100.0,
    payload: Annotated[bool, typer.Option("--payload", help="Print the first 64 bytes of each packet.")] = False,
    node: NODE_OPTION = "",
    as_json: AS_JSON_LINES = False,
) -> None:
    """Follow single packets or messages: how long each waited, who handled it, what it sent and called, the reply.

    Ends by itself.
    """
    from ..shell.asking import node_of
    from ..shell.output import show_stream

    request = {"what": "trace", "limit": limit, "seconds": seconds, "rate": rate, "payload": payload}
    request["target"] = target or None
    show_stream("trace", node_of(target, node), request, lambda item: _text(item, seconds), as_json)


def _text(item: dict[str, Any], seconds: float) -> str:
    from ..saying import printable
    from ..traces import summary_line, trace_lines

    lines = [summary_line(item, seconds)] if item["item"] == "summary" else trace_lines(item)
    return "\n".join(printable(line, sys.stdout.encoding) for line in lines)
