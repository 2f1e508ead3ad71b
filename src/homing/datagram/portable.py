"""The portable backend: one system call per datagram, on any platform that has sockets.

Receiving goes through one arena: what waits in a mailbox then costs its own length, whatever `buffer_size` is.
(`recvfrom` with a large size is 10 % faster, but leaves holes of that size in the heap between messages that stay.)
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from .address import Address

Received: TypeAlias = tuple[bytes, Address, bool]
"""Payload, source address, and whether the datagram was longer than the buffer."""

Pooled: TypeAlias = tuple[Any, int, Address, bool]
"""The pooled buffer, the length received into it, source address, and whether the datagram was longer."""

NAME = "portable"
_TELLS_LENGTH = sys.platform == "linux"
_WSAEMSGSIZE = 10040  # how Windows reports a datagram longer than the buffer


class PortableBackend:
    """Receives and sends on one non-blocking socket."""

    __slots__ = ("_arena", "_receive_into", "_sendto", "_size", "_sock", "_view")

    def __init__(self, sock: socket.socket, buffer_size: int) -> None:
        self._sock = sock
        self._size = buffer_size
        self._arena = bytearray(buffer_size + 1)  # one more than is accepted: a longer datagram shows
        self._view = memoryview(self._arena)
        self._receive_into = sock.recvfrom_into
        self._sendto = sock.sendto

    def receive(self, batch: list[Received], limit: int) -> None:
        """Appends to `batch` what is there, `limit` datagrams at most.

        Raises `BlockingIOError` when nothing more is there, `OSError` when the system reports an error; what came
        before is in `batch`.
        """
        receive_into, arena, view, size = self._receive_into, self._arena, self._view, self._size
        for _ in range(limit):
            try:
                length, address = receive_into(arena)
            except OSError as error:
                if error.errno != _WSAEMSGSIZE:
                    raise
                batch.append((view[:size].tobytes(), ("", 0), True))  # Windows does not tell whose it was
                continue
            if length > size:
                batch.append((view[:size].tobytes(), address, True))
            else:
                batch.append((view[:length].tobytes(), address, False))

    def receive_pooled(
        self, batch: list[Pooled], limit: int, get: Callable[[], Any], put: Callable[[Any], None]
    ) -> None:
        """As `receive`, each datagram into a buffer of its own from `get`. One that stays unused goes back by `put`."""
        receive = _receive_linux if _TELLS_LENGTH else _receive_anywhere
        for _ in range(limit):
            buffer = get()
            try:
                length, address, truncated = receive(self._sock, buffer)
            except BaseException:
                put(buffer)
                raise
            batch.append((buffer, length, address, truncated))

    def send(self, data: Any, address: Address) -> int:
        """Sends one datagram and gives its length. Raises `BlockingIOError` if it has to wait, `OSError` if it
        fails."""
        return self._sendto(data, address)


def _receive_linux(sock: socket.socket, buffer: Any) -> tuple[int, Address, bool]:
    """recv(2): with MSG_TRUNC Linux returns the real length of a datagram. Saves 0.2 us against `recvmsg_into`."""
    length, address = sock.recvfrom_into(buffer, 0, socket.MSG_TRUNC)
    size = len(buffer) if type(buffer) is bytearray else memoryview(buffer).nbytes
    return (size, address, True) if length > size else (length, address, False)


def _receive_anywhere(sock: socket.socket, buffer: Any) -> tuple[int, Address, bool]:
    length, _, flags, address = sock.recvmsg_into([buffer])
    return length, address, bool(flags & socket.MSG_TRUNC)
