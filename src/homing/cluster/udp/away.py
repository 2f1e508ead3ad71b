"""The process of a UDP server whose receiver is on another node.

Its mailbox takes the place of the receiver's: the socket is not read while it is full, and `overflow` applies to it.
Its forwarder sends what waits there, as far as the flow has room.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

from ...act.actor import Actor, ActorHooks
from ...act.pool.forwarder import Drops
from ...datagram import MessageUDPError
from ...gen import PID, Alias, TerminateKill, TerminateShutdown
from ...gen.foreign import same
from ...gen.hooks import ProcessHooks
from ...meta.udp.options import flow_limits
from ...meta.udp_server.elsewhere import is_elsewhere
from ...node.mailbox.envelope import Exit, exit_signal
from ...node.processes.spawning import spawn
from .forwarding import ToReceiver
from .outflow import Outflow

if TYPE_CHECKING:
    from ...meta.udp_server.options import UDPServerOptions
    from ...node.processes.meta_process import MetaRunner
    from ...node.processes.process import Process
    from .exchange import Exchange

QUIET = 0.2
"""Seconds after the last datagram was sent to another node, in which its answer is expected: a stop waits for it."""


class UDPAwayHooks(ActorHooks):
    """Hooks of the process."""

    __slots__ = ()

    kind: ClassVar[str] = "away"
    forwards: ClassVar[bool] = True


class UDPAway(Actor):
    """Forwards the datagrams of a UDP server to a receiver of another node. It ends when the server does."""

    _runtime_hooks: ClassVar[type[ProcessHooks]] = UDPAwayHooks
    _away: Away

    def init(self, server: Alias, make: Callable[[Any], Away]) -> None:
        self.link(server)
        self._away = make(self._process)
        self._process.forwarder = ToReceiver(self._away)

    @property
    def away(self) -> Away:
        """The receiver."""
        return self._away

    def terminate(self, reason: Exception) -> None:
        self._away.close()

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns the counters of the flow."""
        facts = self._away.facts()["elsewhere"]
        return {item: facts[item] for item in items if item in facts} if items else facts


class Away:
    """The receiver of one server. drops: nothing; what is dropped while the mailbox is full is counted by the server.

    closing: the exit signal for which the process ends once everything that waits has been sent.
    """

    def __init__(self, exchange: Exchange, server: MetaRunner, options: UDPServerOptions, process: Process) -> None:
        self._exchange = exchange
        self._server = server
        self.process = process
        self.drops = Drops()
        self.closing: Exit | None = None
        self.pauses = 0
        self._last = -inf
        self.flow = self._open(options)

    def _open(self, options: UDPServerOptions) -> Outflow:
        to: Any = options.process
        limits = flow_limits(options, "pause")
        window = (limits.high_water, limits.low_water, limits.high_water_bytes)
        return Outflow(self._exchange, self._server, to.node, to, window, self.process.resume)

    @property
    def address(self) -> PID:
        """The PID of the process, to which datagrams are sent."""
        return self.process.id

    def fit(self, options: UDPServerOptions) -> bool:
        """Returns True if the receiver of `options` is on another node: it becomes this one's."""
        if options.peers is not None or options.worker is not None or not self.process.alive:
            return False
        if not is_elsewhere(options.process, self._server.core.name):
            return False
        self.adjust(options)
        return True

    def adjust(self, options: UDPServerOptions) -> None:
        """Forwards to the receiver of `options` from now on, with their limits."""
        flow, limits = self.flow, flow_limits(options, "pause")
        window = (limits.high_water, limits.low_water, limits.high_water_bytes)
        if not same(flow.to, options.process) or window != flow.limits:
            self.flow = self._open(options)
            flow.close()
            self._last = max(self._last, flow.last)
            self.process.resume()

    def is_proven(self, address: Any) -> bool:
        """Returns False: it has no peers."""
        return False

    def lost(self, report: MessageUDPError) -> None:
        """Does nothing: `on_error` gets the report."""

    def facts(self) -> dict[str, Any]:
        """Returns the state of the flow."""
        flow = self.flow
        return {
            "elsewhere": {
                "node": flow.node,
                "to": str(flow.to),
                "waiting_for": flow.state,
                "waiting": len(self.process.main or ()),
                "on_the_way": flow.on_the_way,
                "sent": flow.total,
                "lost": flow.lost,
                "unfit": flow.unfit,
                "pauses": self.pauses,
            }
        }

    def drain(self) -> None:
        """Does nothing: what waits is sent."""

    def drained(self) -> bool:
        """Returns False while datagrams wait, or the answers to the last ones may be on their way."""
        if self.flow.state in ("node", "receiver"):
            return True
        waits = bool(self.process.main) or self.flow.on_the_way > 0
        return not waits and self._exchange.core.loop.time() - max(self._last, self.flow.last) >= QUIET

    def retire(self) -> None:
        """Ends the process once all that waits was sent."""
        self.process.put_runtime(exit_signal(self.process.parent, TerminateShutdown()), 0)

    def when_ended(self, function: Callable[[Exception], None]) -> None:
        """Calls `function` with the reason when the process ends."""
        process = self.process
        process.when_ended(lambda: function(TerminateKill() if process.reason is None else process.reason))

    def close(self) -> None:
        """Ends the flow."""
        self.flow.close()
        self._exchange.forget_server(self._server.id)


async def start_away(
    exchange: Exchange, server: MetaRunner, options: UDPServerOptions, current: Callable[[], object]
) -> Away:
    """Starts the process, as a child of the server's owner. If it ends by itself, the server ends for the same reason,
    unless it has another receiver by then (`current`)."""
    make = partial(Away, exchange, server, options)
    pid = await spawn(server.core, server.owner, UDPAway, (server.id, make), None, None)
    behavior: Any = server.core.processes[pid].behavior
    away: Away = behavior.away
    away.when_ended(partial(_end_server, server, away, current))
    return away


def _end_server(server: MetaRunner, away: Away, current: Callable[[], object], reason: Exception) -> None:
    if current() is away:
        server.end(reason)
