"""A plain socket in a fake network, for a test to play the other side."""

from __future__ import annotations

import asyncio
from functools import partial
from types import TracebackType
from typing import Any, Self

from ..datagram import Address
from ..datagram.address import check_destination
from ..gen import NotAllowed
from .fake_socket import FakeSocket


class Peer:
    """Returned by `FakeNetwork.socket`. It can be used in `with`, which closes it.

    address: what it is bound to.
    """

    def __init__(self, sock: FakeSocket) -> None:
        self.address: Address = sock.getsockname()
        self._socket = sock
        self._watch = sock.watch(None)
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"Peer({self.address})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes, address: Address) -> None:
        """Sends a datagram; never waits. Raises `OSError` as a socket of the system does, and `BadAddress`."""
        check_destination(self._socket.family, address)
        self._socket.sendto(data, address)

    async def receive(self) -> tuple[bytes, Address]:
        """Waits for the next datagram: payload, and where it came from. Use `asyncio.timeout` where none might come.

        Raises `OSError` once it is closed.
        """
        if self._waiter is not None:
            raise NotAllowed(f"{self} is read already")
        loop = asyncio.get_running_loop()
        while not self._socket.readable and not self._socket.closed:
            self._waiter = loop.create_future()
            self._watch.open(loop)
            self._watch.read(partial(_done, self._waiter))
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._watch.read(None)
        return self._socket.take()[:2]

    def waiting(self) -> list[tuple[bytes, Address]]:
        """All datagrams that have come and were not received yet: they are now."""
        found = []
        while self._socket.readable:
            found.append(self._socket.take()[:2])
        return found

    def close(self) -> None:
        """Frees the address. A second time does nothing."""
        self._socket.close()
        if self._waiter is not None:
            _done(self._waiter)


def _done(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)
