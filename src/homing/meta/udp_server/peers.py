"""The peers of a UDP server as actors: a table that it starts and that ends with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...datagram import MessageUDPError
from ...gen import PID, BadOption, TerminateKill, TerminateShutdown
from ...gen.foreign import same
from ...gen.options import check_type
from ...node.mailbox.envelope import exit_signal
from ...node.processes.meta_process import MetaRunner
from ...node.processes.process import Process
from ...node.processes.spawning import spawn
from ..peers.counters import Counters
from ..peers.lifecycle import Lifecycle
from ..peers.options import FIXED, PeerOptions
from ..peers.process import UDPPeers
from ..sessions.keys import key_reader
from ..sessions.options import Sessions
from .workers import UNSET

if TYPE_CHECKING:
    from .options import UDPServerOptions

_ELSEWHERE = {"process": None, "worker": None, **UNSET}


def check_peers(options: UDPServerOptions) -> None:
    """Raises `BadOption` if the datagrams are to go to peers and somewhere else."""
    if options.peers is None:
        return
    check_type("peers", options.peers, PeerOptions, "meta.PeerOptions or None")
    for name, unset in _ELSEWHERE.items():
        if not same(getattr(options, name), unset):
            raise BadOption(name, getattr(options, name), "the datagrams go to peers=; leave this out")


def check_change(before: PeerOptions | None, now: PeerOptions | None) -> None:
    """Raises `BadOption` unless a server that runs can change its peers in this way."""
    if (before is None) != (now is None):
        raise BadOption("peers", now, "whether a server has peers is fixed when it is created; create another one")
    for name in FIXED:
        if not same(getattr(before, name, None), getattr(now, name, None)):
            raise BadOption("peers", now, f"its {name} is fixed when the server is created; create another one")


def with_key(options: PeerOptions, sessions: Sessions | None) -> PeerOptions:
    """Returns `options` with the key of the sessions, if there are any and the key is not the source's address."""
    if sessions is None or sessions.key == "source":
        return options
    return replace(options, key=key_reader(sessions))


class Peers:
    """The table of peers of one server. drops: its counters."""

    def __init__(self, process: Process, life: Lifecycle) -> None:
        self._process = process
        self._life = life
        self._given = life.options
        self.drops: Counters = life.counters

    @property
    def address(self) -> PID:
        """The PID of the table's process, to which datagrams are sent."""
        return self._process.id

    @property
    def process(self) -> Process:
        """The table's process."""
        return self._process

    @property
    def life(self) -> Lifecycle:
        """The peers, and their processes."""
        return self._life

    def is_proven(self, address: Any) -> bool:
        """Returns True for the address of a peer that was proven."""
        return any(peer.is_proven for peer in self._life.table.at(address))

    def fit(self, options: UDPServerOptions) -> bool:
        """Returns True if `options` ask for these peers, maybe with other limits, which are then applied."""
        before, now = self._life.options, options.peers
        if now is None or not self._process.alive:
            return False
        fixed = FIXED if options.sessions is None else [name for name in FIXED if name != "key"]
        if not all(same(getattr(before, name), getattr(now, name)) for name in fixed):
            return False
        self.adjust(options)
        return True

    def adjust(self, options: UDPServerOptions) -> None:
        """Applies the limits of `options` from now on."""
        if options.peers is not None and options.peers is not self._given:
            self._given = options.peers
            self._life.adjust(replace(options.peers, key=self._life.options.key))

    def lost(self, report: MessageUDPError) -> None:
        """Ends the peers at the address of an ICMP error."""
        if self._process.alive:
            self._life.lost(report)

    def facts(self) -> dict[str, Any]:
        """Returns its part of the server's inspection."""
        return self._life.facts()

    def retire(self) -> None:
        """Ends the table once all datagrams that wait at its peers have been handled. The server has another receiver
        by now."""
        self._process.put_runtime(exit_signal(self._process.parent, TerminateShutdown()), 0)

    def when_ended(self, function: Callable[[Exception], None]) -> None:
        """Calls `function` with the reason when the table ends."""
        process = self._process
        process.when_ended(lambda: function(TerminateKill() if process.reason is None else process.reason))


async def start_peers(server: MetaRunner, options: PeerOptions, current: Callable[[], object]) -> Peers:
    """Starts the table of a server, as a child of the server's owner. If it ends by itself, the server ends for the
    same reason, unless it has another one by then (`current`)."""
    pid = await spawn(server.core, server.owner, UDPPeers, (server.id, options), None, None)
    process = server.core.processes[pid]
    behavior: Any = process.behavior
    peers = Peers(process, behavior.life)
    peers.when_ended(partial(_end_server, server, peers, current))
    return peers


def _end_server(server: MetaRunner, peers: Peers, current: Callable[[], object], reason: Exception) -> None:
    if current() is peers:
        server.end(reason)
