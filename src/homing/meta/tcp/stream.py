"""The stream: the transport of a connection without TLS, which reads and writes the socket itself.

It does what a transport of asyncio does, in the same order, on every loop: with fewer steps, as it is compiled, and on
Homing's own loop without a handle for each event. A connection with TLS has a transport of asyncio: see `secured`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...datagram.backend.watch import LoopWatch
from ...gen.copying import refuse_copy
from ...gen.foreign import safe_repr
from ...node.mailbox.lane import COMPILED

if TYPE_CHECKING:
    from .connection import Connection

    receive: Callable[[int, bytearray], int]
    send_bytes: Callable[[int, bytes], int]

_COMPILED = COMPILED

_PART = 262144
"""Most bytes of those that wait that are offered to the system at a time, as they are copied for that."""


class Stream:
    """The transport of one connection.

    closing: it was closed or broken off. unsent: bytes that wait until the system has room.
    """

    __slots__ = (
        "_buffer",
        "_connection",
        "_ended",
        "_fd",
        "_full",
        "_high",
        "_left",
        "_loop",
        "_low",
        "_over_due",
        "_paused",
        "_reads",
        "_sock",
        "_watch",
        "closing",
        "unsent",
    )

    __reduce__ = refuse_copy

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, connection: Connection) -> None:
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._fd = sock.fileno()
        self._connection: Connection | None = connection
        self._buffer = connection.hub.buffer
        self._left = bytearray()
        self._high, self._low = 65536, 16384
        self._paused = self._full = self._reads = self._ended = self._over_due = False
        self.closing = False
        self.unsent = 0
        self._watch = LoopWatch(self._fd)

    def begin(self) -> None:
        """Makes the connection. Raises `OSError` if the socket cannot be used."""
        sock, connection = self._sock, self._connection
        if sock is None or connection is None:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch.open(self._loop)
        try:
            connection.connection_made(self)
            self._read(not self._paused and not self.closing)
        except Exception as error:
            self._failed(error)

    # --- as a transport of asyncio ------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns the `socket`, or its addresses: `sockname`, `peername`."""
        sock = self._sock
        if sock is None or name not in ("socket", "sockname", "peername"):
            return default
        try:
            return sock if name == "socket" else sock.getsockname() if name == "sockname" else sock.getpeername()
        except OSError:
            return default

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """Calls `pause_writing` of the connection when more than `high` bytes wait, and `resume_writing` at `low`."""
        self._high, self._low = high, low

    def get_write_buffer_size(self) -> int:
        """Returns the number of bytes that wait until the system has room."""
        return self.unsent

    def is_closing(self) -> bool:
        """Returns True if it was closed or broken off."""
        return self.closing

    def pause_reading(self) -> None:
        """Reads no more."""
        self._paused = True
        self._read(False)

    def resume_reading(self) -> None:
        """Reads again."""
        self._paused = False
        self._read(not self.closing and not self._ended)

    def write(self, data: bytes) -> None:
        """Sends `data`, now or when the system has room."""
        if self._sock is None or self._over_due:
            return
        try:
            sent = 0 if self.unsent else self._send(data)
        except OSError as error:
            self._end(error)
            return
        if sent == len(data):
            return
        if not self.unsent:
            self._watch.write(self.writable)
        self._left += data[sent:] if sent else data
        self.unsent = len(self._left)
        if self.unsent > self._high and not self._full and self._connection is not None:
            self._full = True
            self._connection.pause_writing()

    def close(self) -> None:
        """Ends it after what waits to be sent."""
        if self.closing or self._sock is None:
            return
        self.closing = True
        self._read(False)
        if not self.unsent:
            self._over_due = True
            self._loop.call_soon(self._over, None)

    def abort(self) -> None:
        """Ends it now."""
        self._end(None)

    # --- called by the loop -------------------------------------------------------------------------------

    def readable(self) -> None:
        """Reads what is there, as far as the buffer has room."""
        connection = self._connection
        if connection is None or not self._reads:
            return
        try:
            count = self._receive()
        except OSError as error:
            self._end(error)
            return
        if count < 0:
            return
        try:
            if count:
                connection.received(count)
            else:
                self._ended = True
                self._read(False)
                connection.eof_received()
        except Exception as error:
            self._failed(error)

    def writable(self) -> None:
        """Sends what waits."""
        if self._sock is None or not self.unsent:
            return
        try:
            sent = self._send(bytes(self._left[:_PART]))
        except OSError as error:
            self._end(error)
            return
        if sent:
            del self._left[:sent]
        self.unsent = len(self._left)
        if not self.unsent:
            self._watch.write(None)
        connection = self._connection
        try:
            if self._full and self.unsent <= self._low and connection is not None:
                self._full = False
                connection.resume_writing()
        except Exception as error:
            self._failed(error)
        if self.closing and not self.unsent and not self._over_due:
            self._over_due = True
            self._over(None)

    # --- within -------------------------------------------------------------------------------------------

    def _receive(self) -> int:
        """Returns the number of bytes that were read into the buffer; -1 if none wait."""
        if _COMPILED:
            return receive(self._fd, self._buffer)
        if self._sock is None:
            return -1
        try:
            return self._sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return -1

    def _send(self, data: bytes) -> int:
        """Returns the number of bytes that the system has taken."""
        if _COMPILED:
            return max(0, send_bytes(self._fd, data))
        if self._sock is None:
            return 0
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _read(self, wanted: bool) -> None:
        if wanted is not self._reads:
            self._reads = wanted
            self._watch.read(self.readable if wanted else None)

    def _failed(self, error: Exception) -> None:
        """Ends it for a fault of this program, mostly for lack of memory."""
        context = {"message": f"a TCP connection is broken off: {safe_repr(error)}", "exception": error}
        self._loop.call_exception_handler(context)
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self._over_due or self._sock is None:
            return
        self._over_due = self.closing = True
        if self.unsent:
            self._watch.write(None)
            self._left.clear()
            self.unsent = 0
        self._read(False)
        self._loop.call_soon(self._over, error)

    def _over(self, error: Exception | None) -> None:
        sock, self._sock = self._sock, None
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.connection_lost(error)
        finally:
            self._watch.close()
            if sock is not None:
                sock.close()
