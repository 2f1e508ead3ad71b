"""A process for each connection of a TCP server: which options there are, and the table that the server starts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import BadOption, TerminateKill
from ...gen.foreign import same
from ...gen.options import check_type
from ...node.processes.meta_process import MetaRunner
from ...node.processes.process import Process
from ...node.processes.spawning import spawn
from ..peers.options import PeerOptions
from ..tcp.hub import Hub
from ..tcp.messages import MessageTCPDisconnect
from .peer_table import TCPLifecycle, TCPPeers
from .workers import UNSET

if TYPE_CHECKING:
    from .options import TCPServerOptions

_OF_DATAGRAMS = ("key", "accept", "rate", "burst")
_FIXED = ("worker", "worker_args", "worker_options")


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


def places_of(options: TCPServerOptions) -> int:
    """Returns the most connections that there may be."""
    return options.most_connections if options.peers is None else min(options.most_connections, options.peers.most)


class Peers:
    """The table of one server."""

    def __init__(self, process: Process, life: TCPLifecycle, given: PeerOptions | None) -> None:
        self._process = process
        self._life = life
        self._given = given

    def fit(self, options: TCPServerOptions) -> bool:
        """Returns True if `options` ask for these processes, maybe within other limits, which are then applied."""
        before, now = self._given, options.peers
        if before is None or now is None or not self._process.alive:
            return False
        if not all(same(getattr(before, name), getattr(now, name)) for name in _FIXED):
            return False
        self._given = now
        self._life.apply(options, now)
        return True

    def serve(self, hub: Hub) -> None:
        """Starts a process for each connection from now on."""
        hub.on_opened, hub.on_gone = self._life.opened, self._life.gone

    def close(self, ends: list[MessageTCPDisconnect]) -> None:
        """Ends all processes after the messages `ends` of their connections: the server has ended, or has others."""
        if self._process.alive:
            self._life.retire(ends)

    def when_ended(self, function: Callable[[Exception], None]) -> None:
        """Calls `function` with the reason when the table ends."""
        process = self._process
        process.when_ended(lambda: function(TerminateKill() if process.reason is None else process.reason))


async def start_peers(server: MetaRunner, hub: Hub, options: TCPServerOptions, current: Callable[[], object]) -> Peers:
    """Starts the table of a server, as a child of the server's owner. If it ends by itself, the server ends for the
    same reason, unless it has another one by then (`current`)."""
    pid = await spawn(server.core, server.owner, TCPPeers, (server, hub, options), None, None)
    process = server.core.processes[pid]
    behavior: Any = process.behavior
    peers = Peers(process, behavior.life, options.peers)
    peers.when_ended(partial(_end_server, server, peers, current))
    return peers


def _end_server(server: MetaRunner, peers: Peers, current: Callable[[], object], reason: Exception) -> None:
    if current() is peers:
        server.end(reason)
