"""`homing run`: starts an application on a node, prints its UDP servers, and stops when the application has ended."""

from __future__ import annotations

import asyncio
import sys

from .. import gen
from ..gen.foreign import safe_repr
from ..node import Node
from ..node.logs import traceback_text
from ..node.output import tell
from .control import Control, NameInUse, open_control
from .directory import ControlError
from .snapshot import Snapshot, look
from .tree import count, number, printable
from .upgrade import Upgrade, offer, take_over

MOST_SERVERS = 20
"""Most UDP servers that the banner lists."""

SERVER_HEADER = ("UDP server", "receiver", "backend", "receive buffer", "send buffer")


async def serve(node: Node, application: gen.Application, control: bool, takeover: bool) -> int:
    """Runs the application until it ends, a signal stops the node, or a successor has taken over.

    takeover: take over from the running node of this name, if there is one.

    Returns the exit code. 0: the application ended in order. 1: it could not be started, it ended abnormally, or
    processes had to be killed.
    """
    stopped = asyncio.create_task(node.wait())
    upgrade = Upgrade(node)
    starting = _take_over(node, application, upgrade) if takeover else _start(node, application, control, upgrade)
    start = asyncio.create_task(starting)
    await asyncio.wait((start, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not start.done():  # an `init` may take longer than the stop timeout
        start.cancel()
        await asyncio.wait((start,))
    failure = None if start.cancelled() else start.exception()
    if start.cancelled() or failure is not None:
        return await _not_started(node, failure)
    name, where = start.result()
    snapshot = await look(node)
    say(banner(snapshot, where))
    node.ready(status(snapshot))
    ended = asyncio.create_task(node.application_wait(name))
    await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
    by_itself = ended.done() and node.info().state == "running"
    clean = await node.stop()
    await stopped
    return _ended(name, await ended, by_itself, clean)


async def _start(node: Node, application: gen.Application, control: bool, upgrade: Upgrade) -> tuple[str, str]:
    """Starts the application. Returns its name, and where the control socket is."""
    where = await _open_control(node) if control else "off (--no-control)"
    name = await _start_application(node, application)
    upgrade.refusal = offer(node) if control else "with --no-control no successor can take over"
    return name, where


async def _take_over(node: Node, application: gen.Application, upgrade: Upgrade) -> tuple[str, str]:
    """As `_start`, but takes over from the running node of this name, if there is one."""
    async with take_over(node) as taken:
        where = "" if taken.predecessor else await _open_control(node)
        name = await _start_application(node, application)
    if taken.predecessor:
        where = await _open_control(node, replace=True)
    upgrade.refusal = ""
    return name, where


async def _start_application(node: Node, application: gen.Application) -> str:
    name = await node.application_load(application)
    await node.application_start(name)
    return name


async def _open_control(node: Node, *, replace: bool = False) -> str:
    """Opens the control socket. If that fails the node runs without, unless another running node has its name."""
    try:
        opened: Control = await open_control(node, replace=replace)
    except NameInUse:
        raise
    except ControlError as error:
        return f"off: {error}"
    return f"{opened.path} (homing tree)"


async def _not_started(node: Node, error: BaseException | None) -> int:
    stopping = node.info().state != "running"  # a signal has stopped the node meanwhile
    clean = await node.stop()
    if stopping:
        say("stopped before it had started" + ("" if clean else ", by force"))
        return 0 if clean else 1
    if error is not None and not isinstance(error, gen.HomingError):
        say(traceback_text(error))
    say(f"homing run: not started: {error if isinstance(error, gen.HomingError) else safe_repr(error)}")
    return 1


def _ended(name: str, reason: Exception, by_itself: bool, clean: bool) -> int:
    orderly = gen.is_orderly(reason)
    if by_itself or not orderly:
        say(f"application {name} ended: {safe_repr(reason)}")
    say("stopped in order" if clean else "stopped by force: some processes did not end in time and were killed")
    return 0 if orderly and clean else 1


def say(text: str) -> None:
    """Prints `text` on stderr, without characters that would control the terminal."""
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    for line in text.split("\n"):
        tell(printable(line, encoding))


# --- the banner -------------------------------------------------------------------------------------------


def banner(snapshot: Snapshot, control: str) -> str:
    """Returns the text printed at the start: the node, its application, and the UDP servers."""
    node = snapshot["node"]
    facts = [
        ("node", node["name"]),
        *(("application", _application(item)) for item in snapshot["applications"] if item["state"] == "running"),
        ("processes", f"{node['processes']:,}"),
        ("OS process", f"{node['os_pid']}, Python {node['python']}, {node['loop']}"),
        ("control", control),
    ]
    return "\n".join(["", *(f"  {label:<12} {value}" for label, value in facts), "", *_servers(snapshot), ""])


def _application(item: Snapshot) -> str:
    name = f"{item['name']} {item['version']}".rstrip()
    return f"{name} ({item['mode']})" + (f": {item['description']}" if item["description"] else "")


def status(snapshot: Snapshot) -> str:
    """Returns the applications and UDP servers in one line, for `systemctl status`."""
    running = [_application(item) for item in snapshot["applications"] if item["state"] == "running"]
    listeners = [facts["listener"] for facts in _listening(snapshot)]
    more = [f"and {len(listeners) - MOST_SERVERS} more"] if len(listeners) > MOST_SERVERS else []
    return ", ".join([*running, *(f"UDP {listener}" for listener in listeners[:MOST_SERVERS]), *more])


def _rows(snapshot: Snapshot) -> list[Snapshot]:
    rows: list[Snapshot] = [process for item in snapshot["applications"] for process in item["processes"]]
    return rows + list(snapshot["processes"])


def _listening(snapshot: Snapshot) -> list[Snapshot]:
    """Returns the facts of the UDP servers."""
    metas = [meta for process in _rows(snapshot) for meta in process["metas"]]
    return [meta["facts"] for meta in metas if meta["facts"] and "listener" in meta["facts"]]


def _servers(snapshot: Snapshot) -> list[str]:
    """Returns the table of the UDP servers."""
    names = {process["pid"]: process["name"] for process in _rows(snapshot) if process["name"]}
    servers = [_server(facts, names) for facts in _listening(snapshot)]
    if not servers:
        return ["  no UDP server listens yet"]
    table = [SERVER_HEADER, *servers[:MOST_SERVERS]]
    widths = [max(len(row[column]) for row in table) for column in range(len(SERVER_HEADER))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
    more = len(servers) - MOST_SERVERS
    return lines if more <= 0 else [*lines, f"  ... and {count(more, 'UDP server', 'UDP servers')} more"]


def _server(facts: Snapshot, names: dict[str, str]) -> tuple[str, ...]:
    receiver = str(facts.get("process", ""))
    return (
        str(facts["listener"]),
        names.get(receiver, receiver),
        str(facts.get("backend", "")),
        _buffer(facts, "receive_buffer"),
        _buffer(facts, "send_buffer"),
    )


def _buffer(facts: Snapshot, name: str) -> str:
    asked = facts.get(f"{name}_asked")
    granted = f"{number(facts.get(name)):,}"
    return f"{granted} (default)" if asked is None else f"{granted} (asked {number(asked):,})"
