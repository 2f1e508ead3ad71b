"""A connection of a TCP server, as the process that serves it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...datagram import Address
from ...gen import PID, Alias, NotAllowed
from ...node.messaging.sending import send
from ..peers.peer import Peer
from ..tcp.messages import CloseConnection, MessageTCP

if TYPE_CHECKING:
    from ...act.supervisor.restart_limits import RestartWindow
    from ..tcp.connection import Connection


class TCPPeer(Peer):
    """One connection of a TCP server: `self.peer` of its process. Its methods work on the node's thread only.

    since: when the connection was made, in seconds of the event loop's clock.
    is_proven: True: the handshake of TCP proves the address.
    """

    __slots__ = ("_alias", "_connection")

    def __init__(self, alias: Alias, connection: Connection) -> None:
        self._alias = alias
        self._connection = connection
        self.identity = connection.number
        self.key = None
        self.since = self.last = connection.since
        self.is_proven = False  # until it has its place in the table
        self.longest = self.forwarded = 0
        self.reason = None
        self.starting = self.up = False
        self.task = None
        self.window: RestartWindow | None = None

    @property
    def address(self) -> Address:
        """The address of the peer."""
        return self._connection.addr  # type: ignore[no-any-return]

    @property
    def server(self) -> Alias:
        """The alias of the TCP server."""
        return self._alias

    @property
    def connection(self) -> Connection:
        """The connection. Internal."""
        return self._connection

    @property
    def pid(self) -> PID:
        """The PID of its process. After a crash it is the successor's."""
        return self._process.id

    def send(self, data: Any, info: Any = None) -> None:
        """Sends a frame to the peer, after those that were sent before.

        Raises the errors of `Actor.send`: `MetaTerminated` if the server has ended. If the connection has ended, the
        frame is counted (`dropped_closed`).
        """
        send(self, self._alias, MessageTCP(self._alias, self.address, data, self._connection.number))

    def proven(self) -> None:
        """Does nothing: the handshake of TCP has proven the address."""

    def move(self, address: Address) -> None:
        """Raises `NotAllowed`: a connection has one address."""
        raise NotAllowed("a connection of TCP cannot move to another address")

    def close(self) -> None:
        """Closes the connection after what was handed to it before; then the process ends."""
        send(self, self._alias, CloseConnection(self._connection.number))
