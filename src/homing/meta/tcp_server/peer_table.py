"""The table of the connections that have processes of their own: the parent of these processes.

Rule 1: a process is started when its connection was made; the connection is not read before.
Rule 2: when the process has ended for good, its connection is closed, after the frames that the process has sent.
Rule 3: when the connection has ended and all that came was delivered, the process ends after it has handled that.
Rule 4: the table belongs to the server, not to the server's owner: it has no part in the end of that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from ...act.actor import Actor, ActorHooks
from ...gen import PID, DeliveryError, ProcessOptions, TerminateShutdown
from ...gen.hooks import ProcessHooks
from ...node.logs import RateLimited
from ...node.mailbox.envelope import exit_signal
from ...node.processes.meta_process import MetaRunner
from ...node.processes.process import Process
from ..peers.lifecycle import Lifecycle
from ..peers.options import PeerOptions
from ..tcp.connection import Connection
from ..tcp.hub import Hub
from ..tcp.inflow import Inflow
from ..tcp.messages import CloseConnection, MessageTCP, MessageTCPDisconnect
from ..tcp.reasons import ClosedHere
from .peer import TCPPeer

if TYPE_CHECKING:
    from .options import TCPServerOptions


class TCPLifecycle(Lifecycle):
    """The connections of one server, and their processes: as the peers of a UDP server, but for the times and rates,
    which are the server's."""

    kind: ClassVar[type[object]] = MessageTCP

    def __init__(self, process: Process, log: RateLimited, server: MetaRunner, hub: Hub, options: TCPServerOptions):
        peers = options.peers
        if peers is None:
            raise AssertionError(options)
        super().__init__(process, log, replace(peers, idle=None))
        self._server = server
        self._hub = hub
        self.all_proven = True  # by the handshake of TCP
        wanted = ProcessOptions() if peers.worker_options is None else peers.worker_options
        self._spawning = replace(self._spawning, mailbox_size=wanted.mailbox_size)  # the inflow bounds what waits
        self.apply(options, peers)

    def apply(self, options: TCPServerOptions, peers: PeerOptions) -> None:
        """Applies the bounds of `peers` to the connections that begin from now on."""
        self.options = replace(peers, idle=None)
        self._bounds = replace(
            options, high_water=peers.queue, low_water=None, high_water_bytes=max(65536, peers.queue_bytes)
        )

    def opened(self, connection: Connection) -> None:
        """Starts the process of a connection that was made."""
        self.add(TCPPeer(self._server.id, connection))

    def gone(self, connection: Connection) -> None:
        """Called when a connection has ended, before the message of that is in the mailbox."""
        peer: Any = self.table.get(connection.number)
        if peer is not None and peer.reason is None:
            peer.reason = connection.end
            self.table.leave(peer)
            self.core.loop.call_soon(self._end, peer)

    def _end(self, peer: Any) -> None:
        """Ends a process once it has handled what waits there."""
        if peer.task is not None:
            peer.task.cancel()
        elif not peer.starting and peer._process.alive:
            self._tell_to_close(peer)

    def _tell(self, peer: Any, reason: Exception) -> None:
        self._tell_to_close(peer)

    def _started(self, peer: Any) -> None:
        super()._started(peer)
        if peer.starting or peer.reason is not None or not peer._process.alive:
            return
        connection, pid = peer.connection, peer.pid
        if connection.inflow is None:
            connection.use(Inflow(self._server, pid, self._bounds, self._hub.counters))
        else:
            connection.inflow.redirect(pid)

    def _may_restart(self, peer: Any, reason: Exception) -> bool:
        return not peer.connection.lost and self._server.alive and super()._may_restart(peer, reason)

    def _lose(self, pid: PID, forget: Callable[[Process, PID], None] = Process.forget_preserved) -> None:
        before = self.counters.dropped["ended"]
        super()._lose(pid, forget)
        self._hub.counters.dropped_ended += self.counters.dropped["ended"] - before

    def _down(self, peer: Any, reason: Exception) -> None:
        """Closes the connection of a process that has ended for good."""
        super()._down(peer, reason)
        connection = peer.connection
        self._close(connection)
        if connection.inflow is not None:
            self._hub.counters.dropped += connection.inflow.close()

    def _close(self, connection: Connection) -> None:
        """Closes a connection behind the frames that its process has sent, which wait in the server's mailbox."""
        alias = self._server.id
        try:
            if not connection.lost:
                self.core.delivery.send(alias, alias, CloseConnection(connection.number))
                connection.forsake()
                return
        except DeliveryError:
            pass  # the server ends, or its mailbox is full
        connection.abandon(ClosedHere())

    def retire(self, ends: list[MessageTCPDisconnect]) -> None:
        """Ends all processes, after the messages `ends` of their connections; then the table."""
        by_number = {message.connection: message for message in ends}
        for peer in self.table.peers():
            message = by_number.get(peer.identity)  # type: ignore[call-overload]
            if peer.starting:
                self.end(peer, TerminateShutdown())
            elif message is not None and peer._process.alive:
                try:
                    self.core.delivery.send(self._server.id, peer.pid, message)
                except DeliveryError:
                    pass  # it has ended, or its mailbox is full
        self.close(exit_signal(self.process.parent, TerminateShutdown()))

    def facts(self) -> dict[str, Any]:
        """Returns the answer to an inspection."""
        found = super().facts()
        return {name: value for name, value in found.items() if name not in _OF_DATAGRAMS}


_OF_DATAGRAMS = frozenset(
    {
        *("proven", "unproven", "most_unproven", "idle", "received", "forwarded", "dropped_refused", "dropped_full"),
        *("dropped_no_key", "dropped_limited", "dropped_overflow", "dropped_not_started", "dropped_no_memory"),
        *("down_idle", "down_icmp", "down_evicted"),
    }
)
"""Facts of a table that are of datagrams: its server has those of frames."""


class TCPPeersHooks(ActorHooks):
    """Hooks of the process that has the table."""

    __slots__ = ()

    kind: ClassVar[str] = "peers"
    succeeds: ClassVar[bool] = True
    succeeds_orderly: ClassVar[bool] = True


class TCPPeers(Actor):
    """The table of a TCP server. It ends after the processes of the connections have, once the server has ended."""

    _runtime_hooks: ClassVar[type[ProcessHooks]] = TCPPeersHooks
    _life: TCPLifecycle

    def init(self, server: MetaRunner, hub: Hub, options: TCPServerOptions) -> None:
        self._life = TCPLifecycle(self._process, self._limited_log, server, hub, options)

    @property
    def life(self) -> TCPLifecycle:
        """The connections, and their processes."""
        return self._life

    def terminate(self, reason: Exception) -> None:
        self._life.end_all(reason)

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns `peers` (connections that have a process), counters of these, and the limits in force."""
        facts = self._life.facts()
        return {item: facts[item] for item in items if item in facts} if items else facts
