"""A plain socket in a fake network, with which a test plays the other side."""

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
    """A plain socket, returned by `FakeNetwork.socket`. `with` closes it.

    address: the address that it is bound to.
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
        """Sends a datagram; never waits. Raises `OSError` like a real socket, and `BadAddress`."""
        check_destination(self._socket.family, address)
        self._socket.sendto(data, address)

    async def receive(self) -> tuple[bytes, Address]:
        """Waits for the next datagram. Returns its payload and source. Use `asyncio.timeout` if none may come.

        Raises `OSError` if the socket is closed.
        """
        if self._waiter is not None:
            raise NotAllowed(f"another task already waits for a datagram at {self}")
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
        """Receives and returns all datagrams that have arrived."""
        found = []
        while self._socket.readable:
            found.append(self._socket.take()[:2])
        return found

    def close(self) -> None:
        """Closes the socket and frees the address. A second call does nothing."""
        self._socket.close()
        if self._waiter is not None:
            _done(self._waiter)


def _done(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)
