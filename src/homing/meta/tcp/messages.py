"""The messages of TCP connections: a frame, a new connection, the end of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...gen import BadOption, NotAllowed
from ...gen.foreign import safe_repr

if TYPE_CHECKING:
    from .reasons import ConnectionEnd

Closer = Callable[[Any, int], None]


class _Way:
    """close: closes the connection of a server's alias and a number. None: there are no servers."""

    close: Closer | None = None


def close_by(function: Closer) -> None:
    """Makes `function` the way to the servers."""
    _Way.close = function


class _OfConnection:
    """Base: belongs to one connection.

    id: alias of the server or client, to which answers are sent.
    addr: the peer, as the socket module writes it: (host, port), for IPv6 (host, port, flowinfo, scope_id).
    connection: number of the connection, which no other connection of the server gets.
    info: `ConnectionInfo`: what is known of the connection.
    """

    __slots__ = ("addr", "connection", "id", "info")
    _short_repr = True  # see `gen.messages.has_short_repr`

    id: Any
    addr: Any
    connection: int
    info: Any

    def reply(self, data: Any) -> MessageTCP:
        """Returns `data` as a message for this connection. Send it to `id`: frames leave in the order in which they
        were sent. One for a connection that has ended is dropped and counted (`dropped_closed`)."""
        return MessageTCP(self.id, self.addr, data, self.connection)

    def close(self) -> None:
        """Closes the connection, after what was sent to it before. Works on every thread; a second call does
        nothing."""
        if _Way.close is not None:
            _Way.close(self.id, self.connection)


FURTHER = "further"
"""`MessageTCP.is_answer` of a second answer to a frame. True: it is the first one. False: it is a frame; None: a frame
that has an answer. So a connection knows how many of its frames have one."""


class MessageTCP(_OfConnection):
    """One frame, received or to be sent.

    id: alias of the TCP server or client that received it, to which an answer is sent.
    addr: the peer, as the socket module writes it. To send: finds the connection, if there is no `connection`.
    data: the content of the frame: `bytes`, or whatever a `Framing` of your own makes.
    connection: number of the connection, which no other connection of the server gets. 0: the one of `addr`.
    info: a `ConnectionInfo`: the address on this machine, and with TLS the peer's certificate. Not used for sending.

    Raises `BadOption` without `data`.
    """

    __slots__ = ("data", "is_answer")
    __match_args__ = ("id", "addr", "data")

    def __init__(
        self, id: Any = None, addr: Any = None, data: Any = ..., connection: int = 0, info: Any = None
    ) -> None:
        if data is ...:
            raise BadOption("data", None, "give the content of the frame, as in MessageTCP(addr=address, data=b'...')")
        self.id = id
        self.addr = addr
        self.data: Any = data
        self.connection = connection
        self.info = info
        self.is_answer: Any = False

    def __reduce__(self) -> tuple[Any, ...]:
        return MessageTCP, (self.id, self.addr, self.data, self.connection, self.info)

    def __repr__(self) -> str:
        try:
            size = f"{len(self.data)} bytes"
        except Exception:
            size = f"{type(self.data).__name__}, not bytes"
        return f"MessageTCP({self.id}, {self.addr}, {size})"

    def reply(self, data: Any) -> MessageTCP:
        """Returns the answer to this frame: `data`, for its connection. Send the answer to `id`: answers leave in the
        order in which they were sent. One for a connection that has ended is dropped and counted (`dropped_closed`).

        Raises `NotAllowed` if this is itself an answer that was sent to a process instead of the server.
        """
        if self.is_answer:
            raise NotAllowed(f"{safe_repr(self)} is already an answer; send it to its id, not to a process")
        answer = MessageTCP(self.id, self.addr, data, self.connection)
        answer.is_answer = True if self.is_answer is False else FURTHER
        self.is_answer = None
        return answer


class MessageTCPConnect(_OfConnection):
    """A connection was made: comes before its first frame, if `announce` is on.

    id, addr, connection, info: as in `MessageTCP`. `reply(data)` makes a first frame for the peer, such as a greeting.
    """

    __slots__ = ()
    __match_args__ = ("id", "addr")

    def __init__(self, id: Any, addr: Any, connection: int, info: Any = None) -> None:
        self.id = id
        self.addr = addr
        self.connection = connection
        self.info = info

    def __reduce__(self) -> tuple[Any, ...]:
        return MessageTCPConnect, (self.id, self.addr, self.connection, self.info)

    def __repr__(self) -> str:
        return f"MessageTCPConnect({self.id}, {self.addr})"


class MessageTCPDisconnect(_OfConnection):
    """A connection has ended: comes after its last frame, once for each `MessageTCPConnect`.

    id, addr, connection, info: as in `MessageTCP`.
    reason: a `ConnectionEnd`, such as `ClosedByPeer`, `ConnectionIdle`, `SlowReader`.
    """

    __slots__ = ("reason",)
    __match_args__ = ("id", "addr", "reason")

    def __init__(self, id: Any, addr: Any, connection: int, reason: ConnectionEnd, info: Any = None) -> None:
        self.id = id
        self.addr = addr
        self.connection = connection
        self.reason = reason
        self.info = info

    def __reduce__(self) -> tuple[Any, ...]:
        return MessageTCPDisconnect, (self.id, self.addr, self.connection, self.reason, self.info)

    def __repr__(self) -> str:
        return f"MessageTCPDisconnect({self.id}, {self.addr}, {self.reason})"


def address_of(message: MessageTCP) -> Any:
    """Returns the address of a frame; None if it has none, because its `__init__` never ran."""
    return getattr(message, "addr", None)


class CloseConnection:
    """A message to a server or client: close the connection after the frames that were sent before. Internal."""

    __slots__ = ("connection",)

    def __init__(self, connection: int) -> None:
        self.connection = connection
