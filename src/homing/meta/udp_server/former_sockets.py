"""The previous sockets of a server that was moved to another address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ...datagram import Address, Endpoint, MessageUDP, Statistics
from ...datagram.sockets.change_options import refuse_all
from ...gen import Alias
from ..udp.counters import add, count
from ..udp.reader import Reader
from .options import UDPServerOptions

_LOOK = 0.01
"""Seconds between two checks whether all was read. Between them the loop has polled the socket at least once."""

_PATIENCE = 1.0
"""Seconds until a socket that cannot be made to refuse datagrams is closed although more keep coming."""


class FormerSocket:
    """A previous socket of a server. For `grace` seconds it is read, and sends answers, as before. Then it accepts
    nothing more, and when all its datagrams were read and sent, `drained` is called.

    options: the server's options when this was its present socket.
    refusing: True once the socket accepts nothing more.
    id: the alias in this socket's datagrams. It equals the alias of the server's other sockets but is a separate
        object: so an answer shows which socket it belongs to.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        reader: Reader,
        options: UDPServerOptions,
        grace: float,
        drained: Callable[[FormerSocket], None],
    ) -> None:
        self.endpoint = endpoint
        self.reader = reader
        self.options = options
        self.refusing = False
        self.id: Alias = reader.id
        self._drained = drained
        self._loop = loop
        self._end = 0.0
        self._seen = -1
        self._timer = loop.call_later(grace, self._stop_accepting)

    def _stop_accepting(self) -> None:
        self.refusing = refuse_all(self.endpoint.sock)
        self._end = float("inf") if self.refusing else self._loop.time() + _PATIENCE
        self._look()

    def _look(self) -> None:
        """Checks whether all was read: from one check to the next the socket was watched and nothing came."""
        seen = self.endpoint.backend.packets_in + self.endpoint.admission.refused
        waiting = self.endpoint.backend.waiting + self.reader.waiting
        done = self.endpoint.listening and not waiting and seen == self._seen
        if (done and not self.endpoint.send_queue.waiting) or self._loop.time() > self._end:
            self._drained(self)
            return
        self._seen = seen if self.endpoint.listening else -1
        self._timer = self._loop.call_later(_LOOK, self._look)

    def counted(self) -> Statistics:
        """Returns the counters of this socket."""
        return Statistics(**count(self.endpoint, self.reader))

    def stay(self) -> None:
        """Cancels the closing: the socket is the server's present one again."""
        self._timer.cancel()

    def close(self) -> None:
        """Stops checking and reading, for good."""
        self._timer.cancel()
        self.reader.close()
        self.reader.discard()


class FormerSockets:
    """A server's previous sockets that are still draining, and the counters of those already closed.

    close_endpoint: called with the endpoint of each that has drained.
    sockets: the sockets; always the same list.
    """

    def __init__(self, close_endpoint: Callable[[Endpoint], None]) -> None:
        self._close_endpoint = close_endpoint
        self.sockets: list[FormerSocket] = []
        self._counted: Statistics | None = None

    def add(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        reader: Reader,
        options: UDPServerOptions,
        grace: float,
    ) -> None:
        """Adds the socket from which the server has moved away."""
        self.sockets.append(FormerSocket(loop, endpoint, reader, options, grace, self._end))

    def at(self, addresses: Iterable[Address | str]) -> FormerSocket | None:
        """Returns the former socket that is bound to one of these addresses, if any."""
        wanted = list(addresses)
        return next((former for former in self.sockets if former.endpoint.local_address in wanted), None)

    def remove(self, former: FormerSocket) -> None:
        """Removes a socket that is the server's present one again."""
        former.stay()
        self.sockets.remove(former)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Their endpoints."""
        return [former.endpoint for former in self.sockets]

    @property
    def readers(self) -> list[Reader]:
        """Their readers, in the order of `endpoints`."""
        return [former.reader for former in self.sockets]

    def endpoint_of(self, message: MessageUDP) -> Endpoint | None:
        """Returns the former socket by which an answer leaves; None if it belongs to none of them."""
        for former in self.sockets:
            if message.id is former.id:
                return former.endpoint
        return None

    def total(self, counted: Statistics) -> Statistics:
        """Returns the sum of `counted` and the counters of the former sockets."""
        for former in self.sockets:
            counted = add(counted, former.counted())
        return counted if self._counted is None else add(counted, self._counted)

    def close(self) -> None:
        """Closes all former sockets at once."""
        for former in list(self.sockets):
            self._end(former)

    def _end(self, former: FormerSocket) -> None:
        self.sockets.remove(former)
        former.close()
        self._close_endpoint(former.endpoint)
        counted = former.counted()
        self._counted = counted if self._counted is None else add(self._counted, counted)
