"""Sockets that a server had before it was given another address."""

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
"""Seconds between two looks at whether all was read. Between them the loop has polled the socket at least once."""

_PATIENCE = 1.0
"""Seconds until a socket that cannot be kept from taking more in is closed although there was always more."""


class FormerSocket:
    """One of them. For `grace` seconds it is read, and sends answers, as before. Then it accepts nothing more, and when
    everything in it was read and sent, `drained` is called.

    options: of the server, when it had this socket for its own.
    refusing: it accepts nothing more.
    id: the alias as its datagrams have it. It is equal to that which others have, but an object of its own: so an
        answer shows which socket it belongs to.
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
        """All was read if, from one look to the next, the socket was watched and brought nothing."""
        seen = self.endpoint.backend.packets_in + self.endpoint.admission.refused
        done = self.endpoint.listening and not self.endpoint.backend.waiting and seen == self._seen
        if (done and not self.endpoint.send_queue.waiting) or self._loop.time() > self._end:
            self._drained(self)
            return
        self._seen = seen if self.endpoint.listening else -1
        self._timer = self._loop.call_later(_LOOK, self._look)

    def counted(self) -> Statistics:
        """Its counters."""
        return Statistics(**count(self.endpoint, self.reader))

    def stay(self) -> None:
        """It will not be closed: it is the server's own again."""
        self._timer.cancel()

    def close(self) -> None:
        """Stops looking and reading."""
        self._timer.cancel()
        self.reader.close()


class FormerSockets:
    """A server's previous sockets that are still draining, and the counters of those already closed.

    close_endpoint: called with the endpoint of each that has drained.
    """

    def __init__(self, close_endpoint: Callable[[Endpoint], None]) -> None:
        self._close_endpoint = close_endpoint
        self._sockets: list[FormerSocket] = []
        self._counted: Statistics | None = None

    def __len__(self) -> int:
        return len(self._sockets)

    def add(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        reader: Reader,
        options: UDPServerOptions,
        grace: float,
    ) -> None:
        """Adds a socket that the server no longer has for its own."""
        self._sockets.append(FormerSocket(loop, endpoint, reader, options, grace, self._end))

    def at(self, addresses: Iterable[Address | str]) -> FormerSocket | None:
        """Returns the one that is bound to one of these addresses, if any."""
        wanted = list(addresses)
        return next((former for former in self._sockets if former.endpoint.local_address in wanted), None)

    def remove(self, former: FormerSocket) -> None:
        """Lets go of one that the server has for its own again."""
        former.stay()
        self._sockets.remove(former)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Their endpoints."""
        return [former.endpoint for former in self._sockets]

    @property
    def readers(self) -> list[Reader]:
        """Their readers, in the order of `endpoints`."""
        return [former.reader for former in self._sockets]

    def endpoint_of(self, message: MessageUDP) -> Endpoint | None:
        """Returns the former socket that a datagram answers to; None: it answers to none of them."""
        for former in self._sockets:
            if message.id is former.id:
                return former.endpoint
        return None

    def total(self, counted: Statistics) -> Statistics:
        """These counters and theirs."""
        for former in self._sockets:
            counted = add(counted, former.counted())
        return counted if self._counted is None else add(counted, self._counted)

    def close(self) -> None:
        """Closes all of them, at once."""
        for former in list(self._sockets):
            self._end(former)

    def _end(self, former: FormerSocket) -> None:
        self._sockets.remove(former)
        former.close()
        self._close_endpoint(former.endpoint)
        counted = former.counted()
        self._counted = counted if self._counted is None else add(self._counted, counted)
