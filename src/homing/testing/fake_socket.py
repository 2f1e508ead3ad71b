"""A socket of a fake network: what the endpoint and the portable backend use of a socket of the system."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from ..datagram import Address
from .hosts import LOOPBACKS, WILDCARDS, Place, as_address

if TYPE_CHECKING:
    from .network import FakeNetwork

DEFAULT_BUFFER = 106_496
"""Octets that a receive buffer is asked for, if nobody says how many: half of Linux' rmem_default."""

_OVERHEAD = 704
"""Octets that a datagram costs beside its payload: on Linux 64 octets take up 768 of the buffer."""

_LONGEST = {socket.AF_INET: 65507, socket.AF_INET6: 65527}
_SO_MEMINFO, _DROPS = 55, 8  # as in datagram/kernel.py
_TRUNC = getattr(socket, "MSG_TRUNC", 0x20)


class FakeSocket:
    """A bound UDP socket of `network`. Non-blocking; sending never has to wait.

    drops: datagrams that found no room in the receive buffer.
    """

    type = socket.SOCK_DGRAM

    def __init__(self, network: FakeNetwork, family: int, address: Address, receive_buffer: int) -> None:
        self.family = family
        self.drops = 0
        self._network = network
        self._address = address
        self._peer: Address | None = None
        self._reached_at: dict[Place, str] = {}
        self._room = 2 * receive_buffer
        self._used = 0
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._error: OSError | None = None
        self.closed = False
        self._reader: Reader | None = None

    def __repr__(self) -> str:
        return f"FakeSocket({self._address})"

    # --- as the system's socket ---------------------------------------------------------------------------

    def fileno(self) -> int:
        """-1: the system does not know it."""
        return -1

    def getsockname(self) -> Address:
        return self._address

    def getpeername(self) -> Address:
        if self._peer is None:
            raise _error(errno.ENOTCONN)
        return self._peer

    def getsockopt(self, level: int, option: int, length: int = 0) -> Any:
        """The sizes of the buffers, as this system would tell them, and the drops."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_RCVBUF):
            return self._room if sys.platform == "linux" else self._room // 2
        if (level, option) == (socket.SOL_SOCKET, socket.SO_SNDBUF):
            return 2 * DEFAULT_BUFFER if sys.platform == "linux" else DEFAULT_BUFFER
        if (level, option, length) == (socket.SOL_SOCKET, _SO_MEMINFO, 36):
            return struct.pack("9I", *[0] * _DROPS, self.drops)
        raise _error(errno.ENOPROTOOPT)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        raise _error(errno.ENOPROTOOPT)

    def connect(self, address: Address) -> None:
        """From now on it hears this peer only."""
        self._peer = address

    def sendto(self, data: Any, address: Address) -> int:
        """Gives a datagram to the network. Raises `OSError` as the system would."""
        self._check_open()
        with memoryview(data) as view:
            if not view.c_contiguous:
                raise BufferError("the buffer is not contiguous")
            payload = bytes(view)
        if address[1] == 0:
            raise _error(errno.EINVAL)
        if len(payload) > _LONGEST[socket.AddressFamily(self.family)]:
            raise _error(errno.EMSGSIZE)
        self._network.carry(self, payload, address)
        return len(payload)

    def send(self, data: Any) -> int:
        """As `sendto`, to the peer that it is connected to."""
        if self._peer is None:
            raise _error(errno.EDESTADDRREQ)
        return self.sendto(data, self._peer)

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Address]:
        """With MSG_TRUNC it gives the datagram's own length, as on Linux."""
        data, source = self.take()
        with memoryview(buffer) as view, view.cast("B") as octets:
            length = min(len(data), nbytes or octets.nbytes, octets.nbytes)
            octets[:length] = data[:length]
        return (len(data) if flags & _TRUNC else length), source

    def recvmsg_into(self, buffers: Any, ancbufsize: int = 0, flags: int = 0) -> tuple[int, list[Any], int, Address]:
        (buffer,) = buffers
        size = memoryview(buffer).nbytes
        length, source = self.recvfrom_into(buffer, 0, _TRUNC)
        return min(length, size), [], _TRUNC if length > size else 0, source

    def take(self) -> tuple[bytes, Address]:
        """The next datagram, and where it came from. Raises `BlockingIOError` if there is none."""
        self._check_open()
        error, self._error = self._error, None
        if error is not None:
            raise error
        if not self._waiting:
            raise _error(errno.EAGAIN)
        data, source = self._waiting.popleft()
        self._used -= len(data) + _OVERHEAD
        return data, source

    def close(self) -> None:
        """The address is free from now on. What waits is gone. A second time does nothing."""
        if not self.closed:
            self.closed = True
            self._waiting.clear()
            self._reader = None
            self._network.release(self)

    def _check_open(self) -> None:
        if self.closed:
            raise _error(errno.EBADF)

    # --- from the network ---------------------------------------------------------------------------------

    def hears(self, source: Address) -> bool:
        """False if it is connected to another peer."""
        return self._peer is None or self._peer[:2] == source[:2]

    def speaks_as(self, destination: Address) -> Address:
        """Where what it sends to `destination` comes from. One that is bound to every address answers from that to
        which it was written, and writes first from that of this machine."""
        family = self.family
        if self._address[0] != WILDCARDS[family]:
            return self._address
        host = self._reached_at.get((destination[0], destination[1]), LOOPBACKS[family])
        return as_address(family, host, self._address[1], self._address)

    def put(self, data: bytes, source: Address, host: str) -> bool:
        """A datagram has arrived, at the address `host`. False: there is no room."""
        cost = len(data) + _OVERHEAD
        if self._waiting and self._used + cost > self._room:
            self.drops += 1
            return False
        self._used += cost
        self._waiting.append((data, source))
        if self._address[0] == WILDCARDS[self.family]:
            self._reached_at[source[0], source[1]] = host
        self.wake()
        return True

    def refuse(self) -> None:
        """A datagram that was sent from here has found nobody."""
        self._error = _error(errno.ECONNREFUSED)
        self.wake()

    # --- on an event loop ---------------------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        """True if `take` has something to give, or to raise."""
        return bool(self._waiting) or self._error is not None

    def watched_on(self, loop: asyncio.AbstractEventLoop) -> Any:
        """`loop`, as far as an endpoint uses it, for this socket."""
        self._network.use(loop)
        return Watch(self, loop)

    def read_by(self, reader: Reader | None) -> None:
        self._reader = reader
        self.wake()

    def wake(self) -> None:
        if self._reader is not None and self.readable:
            self._reader.schedule()


class Reader:
    """A callback that is called as long as its socket is readable, as a loop's reader is."""

    __slots__ = ("_args", "_callback", "_context", "_due", "_loop", "_socket", "cancelled")

    def __init__(self, sock: FakeSocket, loop: asyncio.AbstractEventLoop, callback: Callable[..., Any], args: Any):
        self._socket = sock
        self._loop = loop
        self._callback = callback
        self._args = args
        self._context: Context = copy_context()
        self._due = False
        self.cancelled = False

    def schedule(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._run, context=self._context)

    def _run(self) -> None:
        self._due = False
        if self.cancelled or not self._socket.readable:
            return
        try:
            self._callback(*self._args)
        finally:
            if not self.cancelled:
                self._socket.wake()


class Watch:
    """A loop that watches one fake socket: descriptors mean nothing."""

    def __init__(self, sock: FakeSocket, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = sock
        self._loop = loop
        self._reader: Reader | None = None
        self._writer: Callable[[], Any] | None = None

    def add_reader(self, descriptor: int, callback: Callable[..., Any], *args: Any) -> None:
        self.remove_reader(descriptor)
        self._reader = Reader(self._socket, self._loop, callback, args)
        self._socket.read_by(self._reader)

    def remove_reader(self, descriptor: int) -> bool:
        reader, self._reader = self._reader, None
        if reader is None:
            return False
        reader.cancelled = True
        self._socket.read_by(None)
        return True

    def add_writer(self, descriptor: int, callback: Callable[..., Any], *args: Any) -> None:
        self._writer = partial(callback, *args)
        self._loop.call_soon(self._write)

    def remove_writer(self, descriptor: int) -> bool:
        writer, self._writer = self._writer, None
        return writer is not None

    def _write(self) -> None:
        """It is always writable: as long as somebody waits for that, he is called."""
        if self._writer is not None:
            self._loop.call_soon(self._write)
            self._writer()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
