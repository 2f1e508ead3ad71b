"""The endpoint: one bound socket on one event loop. Reads batches on demand, sends or queues, counts, closes once.

Send policy: a datagram's fate never stops the endpoint. What the kernel refuses is counted by its errno and
reported to who sent it; what would block waits in a bounded queue, in order, until the socket is writable.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from ..gen import SendQueueFull
from .address import Address, check_destination
from .kernel import granted_buffer, kernel_drops
from .portable import NAME, Pooled, PortableBackend, Received

_GONE = frozenset({errno.EBADF, errno.ENOTSOCK})
"""The socket is truly gone: the only errors that end an endpoint."""

_RETRY = 0.05
"""Seconds until reading is tried again after the system reported an error and gave no datagram, lest the loop spin."""

_FLUSH = 64
"""Queued datagrams sent at a stretch when the socket is writable: as many as are read at a stretch."""

Sent = Callable[[Any, int, Exception | None], None]


class Endpoint:
    """A bound UDP socket.

    on_sent: called for a datagram that had to wait, with its token, the bytes sent, and the error or None.
    """

    backend_name = NAME

    def __init__(self, sock: socket.socket, *, buffer_size: int, send_queue: int) -> None:
        self._sock = sock
        self._family = sock.family
        self._backend = PortableBackend(sock, buffer_size)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_readable: Callable[[], None] | None = None
        self.on_sent: Sent | None = None
        self._reading = False
        self._retry: asyncio.TimerHandle | None = None
        self._queue: deque[tuple[Any, Address, Any]] = deque()
        self._queue_limit = send_queue
        self.closed = False
        self.local_address: Address = sock.getsockname()
        self.receive_buffer = granted_buffer(sock, socket.SO_RCVBUF)
        self.send_buffer = granted_buffer(sock, socket.SO_SNDBUF)
        self._last_drops: int | None = None
        self.packets_in = self.bytes_in = self.truncated = 0
        self.packets_out = self.bytes_out = self.dropped_send_queue = 0
        self.receive_errors: dict[str, int] = {}
        self.send_errors: dict[str, int] = {}

    # --- reading ------------------------------------------------------------------------------------------

    def open(self, loop: asyncio.AbstractEventLoop, on_readable: Callable[[], None]) -> None:
        """Begins to watch the socket: `on_readable` is called whenever there is something to `receive`, after the first
        `resume`. What was queued before now goes out."""
        self._loop = loop
        self._on_readable = on_readable
        if self._queue:
            loop.add_writer(self._sock.fileno(), self._flush)

    def pause(self) -> None:
        """Reads no more until `resume`. What comes meanwhile waits in the kernel."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._reading and self._loop is not None:
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Reads again."""
        if not self._reading and not self.closed and self._loop is not None and self._on_readable is not None:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._on_readable)

    @property
    def reading(self) -> bool:
        """False while paused."""
        return self._reading

    def receive(self, limit: int) -> list[Received]:
        """What is there, `limit` datagrams at most. Raises `OSError` only if the socket is gone."""
        batch: list[Received] = []
        try:
            self._backend.receive(batch, limit)
        except BlockingIOError:
            pass
        except OSError as error:
            self._receive_failed(error, nothing=not batch)
        self.packets_in += len(batch)
        for data, _, truncated in batch:
            self.bytes_in += len(data)
            if truncated:
                self.truncated += 1
        return batch

    def receive_pooled(self, limit: int, get: Callable[[], Any], put: Callable[[Any], None]) -> list[Pooled]:
        """As `receive`, into buffers from `get`; unused ones go back by `put`."""
        batch: list[Pooled] = []
        try:
            self._backend.receive_pooled(batch, limit, get, put)
        except BlockingIOError:
            pass
        except OSError as error:
            self._receive_failed(error, nothing=not batch)
        self.packets_in += len(batch)
        for _, length, _, truncated in batch:
            self.bytes_in += length
            if truncated:
                self.truncated += 1
        return batch

    def _receive_failed(self, error: OSError, *, nothing: bool) -> None:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        self.receive_errors[name] = self.receive_errors.get(name, 0) + 1
        if not nothing:
            return  # what did come is handed on first; the error comes again
        if error.errno in _GONE:
            raise error
        if self._loop is not None:
            self.pause()
            self._retry = self._loop.call_later(_RETRY, self._retry_reading)

    def _retry_reading(self) -> None:
        self._retry = None
        self.resume()

    # --- sending ------------------------------------------------------------------------------------------

    def send(self, data: Any, address: Address, token: Any) -> int | None:
        """Sends a datagram and gives its length, or queues it and gives None: then `on_sent` tells of it, with `token`.

        Raises, after counting, `OSError` (the kernel refused it), `BadAddress`, `SendQueueFull`, `TypeError`,
        `ValueError` or `BufferError` (the data is no bytes-like object, a buffer that was released, or one with gaps).
        """
        try:
            check_destination(self._family, address)
            if not self._queue:
                try:
                    size = self._backend.send(data, address)
                except BlockingIOError:
                    pass
                else:
                    self.packets_out += 1
                    self.bytes_out += size
                    return size
            self._enqueue(data, address, token)
        except SendQueueFull:
            self.dropped_send_queue += 1
            raise
        except Exception as error:
            self._count_send_error(error)
            raise
        return None

    @property
    def send_waiting(self) -> int:
        """Datagrams that wait for the socket to become writable."""
        return len(self._queue)

    def _enqueue(self, data: Any, address: Address, token: Any) -> None:
        if len(self._queue) >= self._queue_limit:
            raise SendQueueFull(self._queue_limit)
        with memoryview(data) as view:  # refuses now what no system call could take later
            view.cast("B").release()
        self._queue.append((data, address, token))
        if len(self._queue) == 1 and self._loop is not None:
            self._loop.add_writer(self._sock.fileno(), self._flush)

    def _flush(self) -> None:
        for _ in range(_FLUSH):
            if not self._queue:
                break
            data, address, token = self._queue[0]
            size, failure = 0, None
            try:
                size = self._backend.send(data, address)
            except BlockingIOError:
                return
            except Exception as error:
                self._count_send_error(error)
                failure = error
            else:
                self.packets_out += 1
                self.bytes_out += size
            self._queue.popleft()
            if self.on_sent is not None:
                self.on_sent(token, size, failure)
        if not self._queue and self._loop is not None:
            self._loop.remove_writer(self._sock.fileno())

    def _count_send_error(self, error: Exception) -> None:
        number = getattr(error, "errno", None)
        name = errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__
        self.send_errors[name] = self.send_errors.get(name, 0) + 1

    # --- the end ------------------------------------------------------------------------------------------

    @property
    def kernel_drops(self) -> int | None:
        """Datagrams that the kernel dropped at this socket; None where the system does not tell."""
        if not self.closed:
            self._last_drops = kernel_drops(self._sock)
        return self._last_drops

    def close(self) -> list[Any]:
        """Closes the socket; a second time does nothing. Gives the tokens of the datagrams that were still to go."""
        if self.closed:
            return []
        self._last_drops = kernel_drops(self._sock)
        self.pause()
        if self._queue and self._loop is not None:
            self._loop.remove_writer(self._sock.fileno())
        tokens = [token for _, _, token in self._queue]
        self._queue.clear()
        self.closed = True
        self._sock.close()
        return tokens
