"""The requests that change a node: `send`, `exit`, `kill`, `drain`, `reconfigure`. They are refused unless allowed.

Each is logged: operators ask later who has ended a process.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from ..datagram import format_address
from ..gen import TerminateKill, TerminateNormal, TerminateReason, TerminateShutdown
from ..gen.foreign import safe_repr
from ..gen.options import MOST_SECONDS
from ..meta.udp_server.options import UDPServerOptions
from ..meta.udp_server.reconfigure import CHANGEABLE, Reconfigure, Reconfigured
from ..node.mailbox.envelope import Exit
from ..node.node import internals
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from ..node.servers import server_of
from .fields import TARGET, Field
from .option_values import parse
from .plain import as_json, shown
from .refusals import RequestRefused
from .targets import Found, find

if TYPE_CHECKING:
    from .observer import Observer

Query = dict[str, Any]

SEND_FIELDS = {"target": TARGET, "message": Field(kind="any", required=True, text="Any JSON: the message.")}


async def send(observer: Observer, query: Query) -> dict[str, Any]:
    """Sends a message, as JSON reads it, to a process or meta-process. The sender is the node."""
    found = find(observer.node, query["target"])
    observer.node.send(found.id, query["message"])
    _log(observer, found, "a message was sent to %s")
    return {"target": str(found.id), "waiting": found.waiting}


# --- the end of a process -----------------------------------------------------------------------------------

REASONS: dict[str, type[TerminateReason]] = {
    "normal": TerminateNormal,
    "shutdown": TerminateShutdown,
    "kill": TerminateKill,
}

EXIT_FIELDS = {
    "target": TARGET,
    "reason": Field(
        kind="text",
        default="shutdown",
        text="normal, shutdown, kill, or any other text. Any but the first two is an abnormal end.",
    ),
}


async def exit(observer: Observer, query: Query) -> dict[str, Any]:  # noqa: A001 - the name of the request
    """Sends an exit signal: the process ends once its running callback has returned, unless it traps the signal."""
    found, text = find(observer.node, query["target"]), query["reason"]
    known = REASONS.get(text)
    reason = TerminateReason(text) if known is None else known()
    if isinstance(found, MetaRunner):
        found.put_exit(Exit(observer.core.pid, reason, None), 1)
    else:
        observer.node.send_exit(found.id, reason)
    _log(observer, found, "an exit signal was sent to %s: %s", shown(text))
    return {"target": str(found.id), "reason": str(reason)}


KILL_FIELDS = {"target": TARGET}


async def kill(observer: Observer, query: Query) -> dict[str, Any]:
    """Ends a process at once; it cannot trap that."""
    found = find(observer.node, query["target"])
    if not isinstance(found, Process):
        raise RequestRefused("bad_request", f"{found.title} is no process; end it by exit")
    _log(observer, found, "killed: %s")
    observer.node.kill(found.id)
    return {"target": str(found.id)}


# --- the end of the node ------------------------------------------------------------------------------------

DRAIN_FIELDS = {
    "timeout": Field(
        kind="number",
        nullable=True,
        low=0,
        high=MOST_SECONDS,
        text="Seconds after which processes that still run are killed; null: the node's stop timeout.",
    )
}


async def drain(observer: Observer, query: Query) -> dict[str, Any]:
    """Stops the node in order: sockets are no longer read, waiting messages are handled, then the processes end.
    Answers at once; until the end, the node's state is "stopping"."""
    core, timeout = observer.core, query["timeout"]
    if timeout is None:
        timeout = core.options.stop_timeout
    core.log.warning("draining: the node stops within %g s, on request of an observer", timeout)
    stop = core.loop.create_task(internals(observer.node).stopping.stop(timeout), name="homing drain")
    observer.tasks.add(stop)
    stop.add_done_callback(observer.tasks.discard)
    return {"state": "stopping", "timeout": timeout}


# --- options of a UDP server --------------------------------------------------------------------------------

RECONFIGURE_FIELDS = {
    "target": TARGET,
    "options": Field(
        kind="object", required=True, text="Options of a UDP server by name: their new values, or texts of these."
    ),
}


async def reconfigure(observer: Observer, query: Query) -> dict[str, Any]:
    """Changes options of a UDP server: all of them, or none. The target is the server, or a process that has one."""
    node = observer.node
    server = server_of(observer.core, find(node, query["target"]))
    for name, value in query["options"].items():
        if name not in CHANGEABLE:
            _refuse(name, value)
        if name == "tap":
            raise RequestRefused("bad_request", "a tap writes a file: use the request tap, which HTTP does not offer")
    before: Reconfigured = await node.call(server.id, Reconfigure())
    changes = {name: parse(before.options, name, value) for name, value in query["options"].items()}
    now: Reconfigured = await node.call(server.id, Reconfigure(**changes))
    _log(observer, server, "options of %s were changed: %s", ", ".join(changes) or "none")
    return {
        "target": str(server.id),
        "address": format_address(now.local_address),
        "receive_buffer": now.receive_buffer,
        "send_buffer": now.send_buffer,
        "clamped": list(now.clamped),
        "options": {name: as_json(_told(getattr(now.options, name))) for name in sorted(CHANGEABLE)},
    }


def _refuse(name: str, value: Any) -> None:
    """Raises the error for an option that cannot be changed."""
    if name in UDPServerOptions.__dataclass_fields__:
        Reconfigure(**{name: value})  # raises: it is fixed
    like = difflib.get_close_matches(name, CHANGEABLE, 1)
    instead = f"did you mean {like[0]}?" if like else f"these can change: {', '.join(sorted(CHANGEABLE))}"
    raise RequestRefused("bad_request", f"a UDP server has no option {shown(name)}; {instead}")


def _told(value: Any) -> Any:
    return value if value is None or type(value) in (bool, int, float, str, tuple) else safe_repr(value, 256)


def _log(observer: Observer, found: Found, text: str, *args: object) -> None:
    observer.core.log.warning(f"on request of an observer: {text}", found.title, *args)
