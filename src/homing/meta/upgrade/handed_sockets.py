"""The sockets that a predecessor hands over."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

from ...datagram import Endpoint
from ...datagram.policy.budget import Budget
from ...datagram.sockets import inherited
from ...datagram.sockets.inherited import Inherited
from ...datagram.sockets.kernel import fullness
from ...datagram.sockets.multicast import leave
from ...datagram.sockets.snapshot import Snapshot
from ...gen import BadOption
from ...node import Node
from ...node.node import internals
from ..tcp_server.accepting import Acceptor
from ..tcp_server.server import acceptor_of
from ..udp_server.server import UDPServer, state_of
from ..udp_server.state import ServerState
from .channel import MOST_DESCRIPTORS, Channel
from .descriptors import check_room
from .groups import read_groups_untrusted
from .handed_connections import tcp_servers

_MOST_DROPS = 1000
"""Most sockets for which the successor receives the number of datagrams that the kernel has dropped: a message holds no
more. If there are more sockets, the successor reads the numbers itself, some moments later."""


def servers_of(node: Node) -> list[ServerState]:
    """Returns the states of all UDP servers of a node."""
    metas = internals(node).core.metas.values()
    return [state_of(meta.behavior) for meta in metas if isinstance(meta.behavior, UDPServer)]


def budgets_of(sockets: list[Inherited], endpoints: list[Endpoint]) -> dict[int, Budget]:
    """Returns the active amplification budgets of `endpoints`, by the number of their socket in `sockets`."""
    numbers = {one.lent: number for number, one in enumerate(sockets) if one.lent is not None}
    found = [one for one in endpoints if one.sock in numbers and one.budget.active]
    return {numbers[one.sock]: one.budget for one in found}


class HandedSockets:
    """The sockets to hand over: those of all UDP and TCP servers of a node, and those that the program was started
    with. They are kept open meanwhile, so that a restarted server finds its socket again: its address is still in use.

    Raises `NotAllowed` if there are not enough file descriptors.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        sockets = [endpoint.sock for endpoint in self._open()] + [one.sock for one in self._acceptors()]
        own = [sock for sock in sockets if inherited.lender_of(sock) is None]
        kept = inherited.kept()
        check_room(len(kept) + len(own), len(own), "handing over")
        self.all = [*kept, *_entries(own)]
        inherited.keep(self.all)
        self._snapshots: dict[Inherited, Snapshot] = {}
        self._groups: object = None
        self._forgotten = False

    def _open(self) -> list[Endpoint]:
        """Returns the open sockets of the servers, but not those of a fake network, which only this program has."""
        endpoints = [endpoint for state in servers_of(self._node) for endpoint in state.endpoints]
        return [one for one in endpoints if not one.closed and isinstance(one.sock, socket.socket)]

    def _acceptors(self) -> list[Acceptor]:
        """Returns what accepts the connections of the TCP servers that listen."""
        found = map(acceptor_of, tcp_servers(self._node))
        return [one for one in found if one.sock.fileno() >= 0]

    def _handed(self) -> list[Endpoint]:
        """Returns the endpoints whose sockets are handed over."""
        lent = [one.lent for one in self.all]
        return [endpoint for endpoint in self._open() if endpoint.sock in lent]

    def _handed_servers(self) -> list[ServerState]:
        handed = self._handed()
        return [state for state in servers_of(self._node) if any(endpoint in handed for endpoint in state.endpoints)]

    async def send(self, channel: Channel) -> None:
        """Sends all sockets."""
        for start in range(0, max(1, len(self.all)), MOST_DESCRIPTORS):
            part = self.all[start : start + MOST_DESCRIPTORS]
            await channel.send(
                "sockets",
                names=[one.name for one in part],
                left=len(self.all) - start - len(part),
                descriptors=[one.descriptor for one in part],
            )

    def leave(self, groups: object) -> None:
        """Stops reading from all sockets, also by servers that are started from now on. groups: the multicast groups
        that the successor will join, as it has sent them."""
        self._groups = groups
        options = {endpoint.sock: state.options for state in servers_of(self._node) for endpoint in state.endpoints}
        for one in self.all:
            if not one.usable:
                continue  # a socket that listens: the successor changes nothing that would have to be restored
            with one.borrowed() as sock:
                self._snapshots[one] = Snapshot(sock, None if one.lent is None else options.get(one.lent))
        handed_over = asyncio.Event()
        for one in self.all:
            one.handed_over = handed_over
        for state in self._handed_servers():
            state.suspend()
        for acceptor in self._acceptors():
            acceptor.pause()

    def freeze(self) -> dict[str, int] | None:
        """Stops counting the datagrams that the kernel drops. Returns how many it has dropped so far at each socket
        that has lost any, by the number of the socket; None if these are too many sockets for a message."""
        totals = {}
        for endpoint in self._handed():
            endpoint.kernel.freeze(True)
            totals[endpoint.sock] = endpoint.kernel.total_drops() or 0
        drops = [one.counted if one.lent is None else totals.get(one.lent, one.counted) for one in self.all]
        found = {str(number): dropped for number, dropped in enumerate(drops) if dropped}
        return found if len(found) <= _MOST_DROPS else None

    def budgets(self) -> dict[int, Budget]:
        """Returns the amplification budgets of the servers, by the number of the socket."""
        return budgets_of(self.all, self._handed())

    def waiting(self) -> bool:
        """Returns True while datagrams that were read still wait to be delivered."""
        readers = [reader for state in self._handed_servers() for reader in state.readers]
        return any(endpoint.backend.waiting for endpoint in self._handed()) or any(one.waiting for one in readers)

    def fullness(self) -> float:
        """Returns how full the fullest receive buffer is, from 0 to 1."""
        return max((fullness(endpoint.sock) for endpoint in self._handed()), default=0.0)

    def take_back(self) -> None:
        """Cancels the hand-over: restores the settings that the successor has changed, and reads again."""
        for one in self.all:
            self._restore(one)
        self._leave_groups()
        for endpoint in self._handed():
            endpoint.kernel.freeze(False)
            endpoint.join_again()
        for one in self.all:
            if one.handed_over is not None:
                self._take_effect(one)
                one.handed_over.set()
                one.handed_over = None
        if self._node.info().state == "running":
            for state in self._handed_servers():
                state.resume()
            for acceptor in self._acceptors():
                acceptor.resume()
        self.forget()

    def _restore(self, one: Inherited) -> None:
        snapshot = self._snapshots.pop(one, None)
        if snapshot is not None:
            try:
                with one.borrowed() as sock:
                    snapshot.restore(sock)
            except (OSError, BadOption) as error:
                self._node.log.error("%s could not be restored after a successor changed it: %s", one, error)

    def _leave_groups(self) -> None:
        """Leaves the groups that the successor may have joined, except those that servers here have joined as well."""
        own = {endpoint.sock: endpoint.kernel.interfaces for endpoint in self._handed()}
        for number, group, index in read_groups_untrusted(self._groups):
            if 0 <= number < len(self.all):
                one = self.all[number]
                interfaces = None if one.lent is None else own.get(one.lent)
                if interfaces is None or not interfaces.is_joined(group, index):
                    with suppress(BadOption), one.borrowed() as sock:  # the group may be of another family
                        leave(sock, group, index)
        for interfaces in own.values():
            interfaces.restore()

    def _take_effect(self, one: Inherited) -> None:
        """Sets the options of a server that was started meanwhile and uses the socket."""
        try:
            one.take_effect()
        except (OSError, BadOption) as error:
            self._node.log.error("%s does not have the options of its server: %s", one, error)

    def forget(self) -> None:
        """Stops keeping the sockets open. A second call does nothing."""
        if not self._forgotten:
            self._forgotten = True
            inherited.discard(self.all)


def _entries(sockets: list[socket.socket]) -> list[Inherited]:
    """Returns duplicates of `sockets`. Raises `OSError`; then none stays open."""
    found: list[Inherited] = []
    try:
        for sock in sockets:
            found.append(Inherited(os.dup(sock.fileno()), ""))
            found[-1].lent = sock
    except OSError:
        for one in found:
            one.close()
        raise
    return found
