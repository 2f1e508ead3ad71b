"""A process for each connection of a TCP server.

Rule 1: a process is started when its connection was made; the connection is not read before.
Rule 2: when the process has ended for good, its connection is closed, after the frames that the process has sent.
Rule 3: when the connection has ended and all that came was delivered, the process ends after it has handled that.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...act.supervisor.restart_limits import RestartWindow
from ...gen import (
    BadOption,
    DeliveryError,
    MailboxFull,
    ProcessID,
    ProcessOptions,
    TerminateShutdown,
    as_reason,
    is_orderly,
)
from ...gen.foreign import forget_frames, safe_repr, same
from ...gen.options import check_type
from ...node.mailbox.envelope import exit_signal
from ...node.processes.meta_process import MetaRunner
from ...node.processes.process import Process
from ...node.processes.spawning import spawn_now
from ..peers.actor import assign
from ..peers.messages import MessagePeerDown, MessagePeerUp
from ..peers.options import PeerOptions
from ..tcp.connection import Connection
from ..tcp.hub import Hub
from ..tcp.inflow import Inflow
from ..tcp.messages import CloseConnection
from ..tcp.reasons import ClosedHere
from .peer import TCPPeer
from .workers import UNSET

if TYPE_CHECKING:
    from .options import TCPServerOptions

_LEAST_NOTIFIED = 1024
"""Messages that may wait at `notify` however few connections there may be."""

_OF_DATAGRAMS = ("key", "accept", "rate", "burst")


def check_peers(options: TCPServerOptions) -> None:
    """Raises `BadOption` if the frames are to go to peers and somewhere else, or for an option of datagrams."""
    peers = options.peers
    if peers is None:
        return
    check_type("peers", peers, PeerOptions, "meta.PeerOptions or None")
    for name, unset in {"process": None, "worker": None, **UNSET}.items():
        if not same(getattr(options, name), unset):
            raise BadOption(name, getattr(options, name), "the frames go to peers=; leave this out")
    for name in _OF_DATAGRAMS:
        if getattr(peers, name) is not None:
            raise BadOption("peers", peers, f"{name} is for datagrams; leave it out")


class Peers:
    """The processes of the connections of one server."""

    def __init__(self, server: MetaRunner, hub: Hub, options: TCPServerOptions, peers: PeerOptions) -> None:
        self._server = server
        self._hub = hub
        self._options = replace(
            options, high_water=peers.queue, low_water=None, high_water_bytes=max(65536, peers.queue_bytes)
        )
        self._peers_options = peers
        wanted = ProcessOptions() if peers.worker_options is None else peers.worker_options
        self._spawning = replace(wanted, link_parent=True)
        self._peers: dict[Connection, TCPPeer] = {}
        hub.on_opened, hub.on_gone = self._opened, self._gone

    def _opened(self, connection: Connection) -> None:
        peer = self._peers[connection] = TCPPeer(self._server.id, connection)
        self._start(peer)

    def _start(self, peer: TCPPeer) -> None:
        peer.starting = True
        options = self._peers_options
        prepare, over = partial(self._prepare, peer), partial(self._start_over, peer)
        owner = self._server.owner
        task = spawn_now(self._server.core, owner, options.worker, options.worker_args, self._spawning, prepare, over)
        if task is not None and peer.starting:
            peer.task = task

    def _prepare(self, peer: TCPPeer, process: Process) -> None:
        """Called before `init`."""
        process.when_ended(partial(self._ended, peer, process))
        assign(process.behavior, peer)
        peer.process = process

    def _start_over(self, peer: TCPPeer, error: BaseException | None) -> None:
        peer.starting, peer.task = False, None
        if error is not None:
            self._not_started(peer, as_reason(error))
            return
        connection, process = peer.connection, peer.process
        if not process.alive:
            self._ended(peer, process)
            return
        if not peer.up:
            peer.up = True
            self._notify(MessagePeerUp(peer))
        if connection.inflow is None:
            connection.use(Inflow(self._server, process.id, self._options, self._hub.counters))
        else:
            connection.inflow.redirect(process.id)

    def _not_started(self, peer: TCPPeer, error: Exception) -> None:
        core = self._server.core
        if not is_orderly(error) and not core.stopping:
            text = "a process for %s could not be started: %s"
            core.log_failure(self._server.log, text, peer, safe_repr(error), fault=error)
        forget_frames(error)
        self._down(peer, error)

    def _ended(self, peer: TCPPeer, process: Process) -> None:
        """Called when a process of a connection has ended."""
        if process is not peer.process or peer.starting or process.reason is None:
            return
        if self._may_restart(peer, process.reason):
            self._start(peer)
        else:
            self._down(peer, process.reason)

    def _may_restart(self, peer: TCPPeer, reason: Exception) -> bool:
        options, core = self._peers_options, self._server.core
        if is_orderly(reason) or options.restart == "never" or core.stopping:
            return False
        if not (self._server.alive and self._server.owner.alive):
            return False
        if peer.connection.lost or peer.connection not in self._peers:
            return False
        window = peer.window or RestartWindow(options.intensity, options.period)
        peer.window = window
        return window.allowed(self._hub.now())

    def _down(self, peer: TCPPeer, reason: Exception) -> None:
        """Closes the connection of a process that has ended for good."""
        peer.reason = peer.reason or reason
        if self._peers.pop(peer.connection, None) is not None:
            self._close(peer.connection)
            if peer.connection.inflow is not None:
                self._hub.counters.dropped += peer.connection.inflow.close()
        if peer.up:
            peer.up = False
            self._notify(MessagePeerDown(peer, peer.reason))

    def _close(self, connection: Connection) -> None:
        """Closes a connection behind the frames that its process has sent, which wait in the server's mailbox."""
        alias = self._server.id
        try:
            if not connection.lost:
                self._server.core.delivery.send(alias, alias, CloseConnection(connection.number))
                connection.forsake()
                return
        except DeliveryError:
            pass  # the server ends, or its mailbox is full
        connection.abandon(ClosedHere())

    def _gone(self, connection: Connection) -> None:
        """Called when a connection has ended, before the message of that is in the mailbox."""
        peer = self._peers.pop(connection, None)
        if peer is not None:
            peer.reason = connection.end
            self._server.loop.call_soon(self._end, peer)

    def _end(self, peer: TCPPeer) -> None:
        """Ends a process once it has handled what waits there."""
        if peer.task is not None:
            peer.task.cancel()
        elif peer.process.alive:
            peer.process.put_runtime(exit_signal(self._server.owner.id, TerminateShutdown()), 0)

    def _notify(self, message: MessagePeerUp | MessagePeerDown) -> None:
        to = self._peers_options.notify
        if to is None:
            return
        core = self._server.core
        most = max(_LEAST_NOTIFIED, 4 * self._peers_options.most)
        local = to.name if isinstance(to, ProcessID) and to.node == core.name else to
        target = core.registry.routes.get(local)
        try:
            if target is not None and len(target.main or ()) >= most:
                raise MailboxFull(to, most)
            core.delivery.send(self._server.id, to, message)
        except DeliveryError as error:
            if not core.stopping:  # then the receiver may have ended before the peers
                self._server.warn("notify", "a message of peers could not be sent to notify: %s", error)

    def close(self, ends: list[Any]) -> None:
        """Ends all processes after the messages of their connections' ends: the server has ended."""
        by_number = {message.connection: message for message in ends}
        peers, self._peers = self._peers, {}
        for connection, peer in peers.items():
            message = by_number.get(connection.number)
            if message is not None and peer.task is None and peer.process.alive:
                try:
                    self._server.core.delivery.send(self._server.id, peer.pid, message)
                except DeliveryError:
                    pass  # it has ended, or its mailbox is full
            self._end(peer)
