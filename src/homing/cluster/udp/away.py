"""The process of a UDP server whose receiver is on another node.

Its mailbox takes the place of the receiver's: the socket is not read while it is full, and `overflow` applies to it.
Its forwarder sends what waits there, as far as the flow has room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ...act.actor import Actor, ActorHooks
from ...act.pool.forwarder import Drops
from ...datagram import MessageUDPError
from ...datagram.message import MessageUDP
from ...gen import PID, Alias, TerminateKill, TerminateShutdown
from ...gen.foreign import same
from ...gen.hooks import ProcessHooks
from ...meta.udp.options import flow_limits
from ...meta.udp.outgoing import any_leased, take_datagrams
from ...meta.udp_server.elsewhere import is_elsewhere
from ...node.mailbox.envelope import Exit, exit_signal
from ...node.processes.spawning import spawn
from ...node.scheduling.forwarder import Forwarder
from .outflow import Outflow

if TYPE_CHECKING:
    from ...meta.udp_server.options import UDPServerOptions
    from ...node.processes.meta_process import MetaRunner
    from ...node.processes.process import Process
    from .exchange import Exchange

_TAKEN = 512
"""Most datagrams taken in one go."""

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
        self._process.forwarder = _ToReceiver(self._away)

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
        self.last = -QUIET
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
        return not waits and self._exchange.core.loop.time() - self.last >= QUIET

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


class _ToReceiver(Forwarder):
    """Takes the main lane of the process."""

    def __init__(self, away: Away) -> None:
        super().__init__()
        self._away = away
        self._process = away.process
        self.takes_now = True

    def take_now(self, messages: list[MessageUDP]) -> int:
        """Sends datagrams at once, as many as there is room for."""
        room = self._away.flow.room()
        done = self._put(messages if room >= len(messages) else messages[:room]) if room else 0
        self._process.handled += done
        return done

    def take_main(self, main: deque[Any]) -> int:
        """Sends the datagrams at the head of the main lane, as many as there is room for. Returns how many entries it
        took."""
        away = self._away
        room = away.flow.room()
        if room == 0:
            away.pauses += 1
            self._process.pause()
            return 0
        messages = take_datagrams(main, min(room, _TAKEN))
        if messages:
            return self._send(main, messages)
        entry = main.popleft()
        if type(entry) is tuple:
            self._process.behavior.handle_message(*entry)
        else:
            entry.handle(self._process)
        return 1

    def _send(self, main: deque[Any], messages: list[MessageUDP]) -> int:
        done = self._put(messages)
        if done < len(messages):
            sender = messages[0].id
            for message in reversed(messages[done:]):
                main.appendleft((sender, message))
            self._process.pause()
        return done

    def _put(self, messages: list[MessageUDP]) -> int:
        away = self._away
        done = away.flow.put(messages)
        if done:
            away.last = away.process.core.loop.time()
        if any_leased(messages):
            for message in messages[:done]:
                message.release()
        return done


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
