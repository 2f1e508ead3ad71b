"""The commands that change a node, if it was started with --allow: `homing send`, `exit`, `kill`, `reconfigure`,
`drain`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..saying import fail, printable
from .parts import AS_JSON, NODE, NODE_OPTION, TARGET, YES, one_node


def send(
    target: TARGET,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="The message: a text.")],
    node: NODE_OPTION = "",
    json_value: Annotated[bool, typer.Option("--json-value", help="MESSAGE is JSON; its value is sent.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Send a message to a process.

    Needs `homing run --allow`.
    """
    value: Any = message
    if json_value:
        try:
            value = json.loads(message)
        except (ValueError, RecursionError) as error:
            fail("send", f"the message is not JSON: {error}", 2)
    answer = _ask("send", node, {"what": "send", "target": target, "message": value})
    _done(answer, lambda _: f"sent to {target}", as_json)


def exit(  # noqa: A001 - the name of the command
    target: TARGET,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="normal, shutdown, kill, or any text: that is an abnormal end.")
    ] = "shutdown",
    node: NODE_OPTION = "",
    yes: YES = False,
    as_json: AS_JSON = False,
) -> None:
    """Send an exit signal to a process, which ends in order unless it traps exits.

    Needs `homing run --allow`.
    """
    _confirm(f"send an exit signal to {target}", yes)
    answer = _ask("exit", node, {"what": "exit", "target": target, "reason": reason})
    _done(answer, lambda _: f"exit signal sent to {target}", as_json)


def kill(target: TARGET, node: NODE_OPTION = "", yes: YES = False, as_json: AS_JSON = False) -> None:
    """End a process at once, without its `terminate`.

    Needs `homing run --allow`.
    """
    _confirm(f"kill {target}", yes)
    answer = _ask("kill", node, {"what": "kill", "target": target})
    _done(answer, lambda _: f"killed {target}", as_json)


def reconfigure(
    target: TARGET,
    options: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="Options of the UDP server.")],
    node: NODE_OPTION = "",
    as_json: AS_JSON = False,
) -> None:
    """Change options of a UDP server while it runs.

    Needs `homing run --allow`.
    """
    pairs = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals):
            fail("reconfigure", f"{option!r} is not KEY=VALUE", 2)
        pairs[key] = value
    answer = _ask("reconfigure", node, {"what": "reconfigure", "target": target, "options": pairs})
    _done(answer, _reconfigured, as_json)


def drain(
    node: NODE = "",
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Processes that still run then are killed. Default: the node's stop timeout."
        ),
    ] = None,
    named: NODE_OPTION = "",
    yes: YES = False,
    as_json: AS_JSON = False,
) -> None:
    """Stop a node in order: it reads its sockets no more, and handles what waits.

    Needs `homing run --allow`.
    """
    node = one_node(node, named)
    _confirm(f"drain and stop {node or 'the node'}", yes)
    answer = _ask("drain", node, {"what": "drain", "timeout": timeout})
    _done(answer, lambda one: f"draining; it stops within {one['timeout']:g} s", as_json)


def _ask(command: str, node: str, request: dict[str, Any]) -> dict[str, Any]:
    from ..shell.asking import ask, node_of

    return ask(command, node_of(request.get("target", ""), node), request)


def _done(answer: dict[str, Any], text_of: Callable[[dict[str, Any]], str], as_json: bool) -> None:
    from ..shell.output import show_done

    show_done(answer, lambda one: [text_of(one)], as_json)


def _reconfigured(answer: dict[str, Any]) -> str:
    from ..shell.values import size

    buffers = f"receive buffer {size(answer['receive_buffer'])}, send buffer {size(answer['send_buffer'])}"
    clamped = f"; the system granted less than asked for: {', '.join(answer['clamped'])}" if answer["clamped"] else ""
    return f"reconfigured {answer['address']}: {buffers}{clamped}"


def _confirm(question: str, yes: bool) -> None:
    """Asks whether to do it, if somebody is there to ask."""
    if not yes and sys.stdin.isatty() and not typer.confirm(printable(f"{question}?", "utf-8"), err=True):
        raise typer.Exit(1)
