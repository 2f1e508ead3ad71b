"""The idle TCP connections that a predecessor hands over, and that a successor continues with.

Both programs have them for a moment. The predecessor reads them no more, and ends them without a word to their peers
once the successor reads; if that fails, it reads them again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from ...datagram.sockets.forks import close_in_forks
from ...datagram.sockets.inherited import Inherited
from ...node import Node
from ...node.node import internals
from ..tcp.connection import Connection
from ..tcp.reasons import HandedOver
from ..tcp_server.server import TCPServer, acceptor_of, idle_connections_of
from .channel import MOST_DESCRIPTORS, Channel, close_all


def tcp_servers(node: Node) -> list[TCPServer]:
    """Returns the TCP servers of a node."""
    metas = internals(node).core.metas.values()
    return [meta.behavior for meta in metas if isinstance(meta.behavior, TCPServer)]


class HandedConnections:
    """The idle connections of a predecessor's servers, from now on not read."""

    def __init__(self, node: Node, sockets: Sequence[Inherited]) -> None:
        places = {id(one.lent): number for number, one in enumerate(sockets) if one.lent is not None}
        self._all: list[tuple[Connection, int]] = []
        for server in tcp_servers(node):
            place = places.get(id(acceptor_of(server).sock))
            if place is None:
                continue
            for connection in idle_connections_of(server):
                connection.pause(True)
                self._all.append((connection, place))

    async def send(self, channel: Channel) -> None:
        """Sends them, each with the number of the socket that it was accepted from."""
        for start in range(0, len(self._all), MOST_DESCRIPTORS):
            part = self._all[start : start + MOST_DESCRIPTORS]
            descriptors = [_descriptor(connection) for connection, _ in part]
            await channel.send("connections", listeners=[number for _, number in part], descriptors=descriptors)

    def take_back(self) -> None:
        """Reads them again."""
        for connection, _ in self._all:
            connection.pause(False)

    def end(self) -> None:
        """Ends them here. Their peers do not notice, as the successor has them."""
        for connection, _ in self._all:
            connection.cut(HandedOver())


def _descriptor(connection: Connection) -> int:
    transport: Any = connection.transport
    return int(transport.get_extra_info("socket").fileno())


class ReceivedConnections:
    """The connections that a successor has received, until its servers have them."""

    def __init__(self) -> None:
        self._all: list[tuple[int, int]] = []

    def add(self, descriptors: list[int], listeners: object) -> None:
        """Keeps these. Closes them if they are not as they should be."""
        numbers = listeners if isinstance(listeners, list) else []
        if len(numbers) != len(descriptors) or not all(type(number) is int for number in numbers):
            close_all(descriptors)
            return
        self._all += zip(descriptors, numbers, strict=True)

    def adopt(self, node: Node, sockets: Sequence[Inherited]) -> int:
        """Passes them to the servers of their sockets. Returns how many were closed, as there is no server for them."""
        acceptors = {id(acceptor_of(server).sock): acceptor_of(server) for server in tcp_servers(node)}
        found, self._all = self._all, []
        closed = 0
        for descriptor, number in found:
            lent = sockets[number].lent if 0 <= number < len(sockets) else None
            acceptor = acceptors.get(id(lent))
            try:
                sock = close_in_forks(socket.socket(fileno=descriptor), socket.socket.close)
            except OSError:  # it is no socket
                os.close(descriptor)
                continue
            sock.setblocking(False)
            if acceptor is None:
                closed += 1
                sock.close()
            else:
                acceptor.adopt(sock)
        return closed

    def close(self) -> None:
        """Closes them: the predecessor continues with them, if it lives."""
        found, self._all = self._all, []
        close_all([descriptor for descriptor, _ in found])
