"""Sockets that a server had before it was given another address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...datagram import Endpoint, MessageUDP, Statistics
from ...datagram.sockets.change_options import accept_again, refuse_all
from ...gen import Alias
from ..udp.counters import add, count
from .reader import Incoming

_LOOK = 0.01
"""Seconds between two looks at whether all was read. Between them the loop has polled the socket at least once."""

_PATIENCE = 1.0
"""Seconds until a socket that cannot be kept from taking more in is closed although there was always more."""


class Former:
    """One of them. For `grace` seconds it is read, and answered from, as before. Then it takes nothing more in, and
    when all that it had taken was read and sent, `dry` is called.

    id: the alias as its datagrams have it. It is equal to that which others have, but an object of its own: so an
        answer shows which socket it belongs to.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        incoming: Incoming,
        grace: float,
        dry: Callable[[Former], None],
    ) -> None:
        self.endpoint = endpoint
        self.incoming = incoming
        self.id: Alias = incoming.id
        self.dry = dry
        self._loop = loop
        self._end = 0.0
        self._seen = -1
        self._timer = loop.call_later(grace, self._dry_out)

    def _dry_out(self) -> None:
        self._end = float("inf") if refuse_all(self.endpoint.sock) else self._loop.time() + _PATIENCE
        self._look()

    def _look(self) -> None:
        """All was read if, from one look to the next, the endpoint was listening and nothing came."""
        seen = self.endpoint.backend.packets_in + self.endpoint.admission.refused
        done = self.endpoint.listening and not self.endpoint.backend.waiting and seen == self._seen
        if (done and not self.endpoint.send_queue.waiting) or self._loop.time() > self._end:
            self.dry(self)
            return
        self._seen = seen if self.endpoint.listening else -1
        self._timer = self._loop.call_later(_LOOK, self._look)

    def counted(self) -> Statistics:
        """What it has counted."""
        return Statistics(**count(self.endpoint, self.incoming))

    def close(self) -> None:
        """Looks no more."""
        self._timer.cancel()
        self.incoming.close()


class Formers:
    """All of them that a server still has, and what those have counted that it has no more.

    closes: called with the endpoint of one that has nothing left to do.
    """

    def __init__(self, closes: Callable[[Endpoint], None]) -> None:
        self.closes = closes
        self._formers: list[Former] = []
        self._counted: Statistics | None = None

    def __len__(self) -> int:
        return len(self._formers)

    def add(self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, incoming: Incoming, grace: float) -> None:
        """From now on this one is a former one."""
        self._formers.append(Former(loop, endpoint, incoming, grace, self._end))

    @property
    def endpoints(self) -> list[Endpoint]:
        """Their sockets."""
        return [former.endpoint for former in self._formers]

    @property
    def incomings(self) -> list[Incoming]:
        """What they read."""
        return [former.incoming for former in self._formers]

    def endpoint_of(self, message: MessageUDP) -> Endpoint | None:
        """Where a datagram goes out that is an answer to one which came to a former socket; None: it is not."""
        for former in self._formers:
            if message.id is former.id:
                return former.endpoint
        return None

    def total(self, counted: Statistics) -> Statistics:
        """These counters and theirs."""
        for former in self._formers:
            counted = add(counted, former.counted())
        return counted if self._counted is None else add(counted, self._counted)

    def close(self) -> None:
        """All of them, at once."""
        for former in list(self._formers):
            self._end(former)

    def _end(self, former: Former) -> None:
        self._formers.remove(former)
        former.close()
        if not former.endpoint.closed:
            accept_again(former.endpoint.sock)
        self.closes(former.endpoint)
        counted = former.counted()
        self._counted = counted if self._counted is None else add(self._counted, counted)
