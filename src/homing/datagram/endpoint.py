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
from itertools import islice
from typing import Any

from ..gen import SendQueueFull
from .address import Address, check_destination
from .backend import Backend, Failures, Pooled, open_backend
from .batch import DatagramBatch
from .inherited import lender_of
from .kernel import granted_buffer, joins_datagrams, kernel_drops
from .message import MessageUDP

_GONE = frozenset({errno.EBADF, errno.ENOTSOCK})
"""The socket is truly gone: the only errors that end an endpoint."""

_RETRY = 0.05
"""Seconds until reading is tried again after the system reported an error and gave no datagram, lest the loop spin."""

_FLUSH = 64
"""Queued datagrams sent at a stretch when the socket is writable: as many as are read at a stretch."""

Sent = Callable[[MessageUDP, Any, int, Exception | None], None]


class Endpoint:
    """A bound UDP socket.

    gro: let the kernel join datagrams, where it can and no buffer pool is used.
    turn: until this is set another program reads from the same socket, and it must not be opened; None: nobody does.
    on_sent: called for a datagram that had to wait, with its token, the bytes sent, and the error or None.
    """

    def __init__(self, sock: socket.socket, *, buffer_size: int, send_queue: int, gro: bool = True) -> None:
        self._sock = sock
        lender = lender_of(sock)
        self.turn = None if lender is None else lender.turn
        self._gro = gro
        # who reads now may not be able to take apart what the kernel joins
        self._backend = open_backend(sock, buffer_size, gro and (self.turn is None or joins_datagrams(sock)))
        self._watched = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_readable: Callable[[], None] | None = None
        self.on_sent: Sent | None = None
        self._reading = False
        self._retry: asyncio.TimerHandle | None = None
        self._queue: deque[tuple[MessageUDP, Any, int]] = deque()
        self._queue_limit = send_queue
        self.closed = False
        self.local_address: Address = sock.getsockname()
        self.receive_buffer = granted_buffer(sock, socket.SO_RCVBUF)
        self.send_buffer = granted_buffer(sock, socket.SO_SNDBUF)
        self._last_drops: int | None = None
        self.dropped_send_queue = 0
        self.receive_errors: dict[str, int] = {}
        self.send_errors: dict[str, int] = {}

    @property
    def sock(self) -> socket.socket:
        """The socket."""
        return self._sock

    # --- reading ------------------------------------------------------------------------------------------

    def open(self, loop: asyncio.AbstractEventLoop, on_readable: Callable[[], None]) -> None:
        """Begins to watch the socket: `on_readable` is called whenever there is something to `receive`, after the first
        `resume`. What was queued before now goes out."""
        self._loop = loop
        self._on_readable = on_readable
        if self._gro and not self._backend.gro:
            self._backend.join(self._sock)
        if self._queue:
            loop.add_writer(self._sock.fileno(), self._flush)

    def pause(self) -> None:
        """Reads no more until `resume`. What comes meanwhile waits in the kernel."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._reading and self._loop is not None:
            self._reading = False
            if self._watched:
                self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Reads again, first what was read before and had no room."""
        if not self._reading and not self.closed and self._loop is not None and self._on_readable is not None:
            self._reading = True
            if self._watched:
                self._loop.add_reader(self._sock.fileno(), self._on_readable)
            self.read_on()

    def watch(self, watched: bool) -> None:
        """False: what comes to the socket calls nobody any more, but what was read before still does. True: as it
        was."""
        reading = self._reading
        self.pause()
        self._watched = watched
        if reading:
            self.resume()

    def read_on(self) -> None:
        """What was read already does not make the socket readable: it is called for in the loop's next turn."""
        if self._backend.waiting and self._reading and self._loop is not None:
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._backend.waiting and self._reading and self._on_readable is not None:
            self._on_readable()

    @property
    def reading(self) -> bool:
        """False while paused."""
        return self._reading

    def receive(self, limit: int, reads: int, id: Any) -> list[MessageUDP]:
        """What is there, `limit` messages at most, from `reads` reads of the kernel's at most, as from `id`. Raises
        `OSError` only if the socket is gone."""
        try:
            return self._backend.receive(limit, reads, id)
        except OSError as error:
            self._receive_failed(error)
            return []

    def receive_batch(self, reads: int, id: Any) -> DatagramBatch | None:
        """What is there, as one object. It must `_end` before the next can be received."""
        try:
            columns = self._backend.receive_columns(reads)
        except OSError as error:
            self._receive_failed(error)
            return None
        return None if columns is None else DatagramBatch(id, columns)

    def receive_pooled(self, limit: int, get: Callable[[], Any], put: Callable[[Any], None]) -> list[Pooled]:
        """As `receive`, into buffers from `get`; unused ones go back by `put`."""
        try:
            return self._backend.receive_pooled(limit, get, put)
        except OSError as error:
            self._receive_failed(error)
            return []

    def _receive_failed(self, error: OSError) -> None:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        self.receive_errors[name] = self.receive_errors.get(name, 0) + 1
        if error.errno in _GONE:
            raise error
        if self._loop is not None:
            self.pause()
            self._retry = self._loop.call_later(_RETRY, self._retry_reading)

    def _retry_reading(self) -> None:
        self._retry = None
        self.resume()

    # --- sending ------------------------------------------------------------------------------------------

    def send(self, message: MessageUDP, token: Any) -> int | None:
        """Sends a datagram and gives its length, or queues it and gives None: then `on_sent` tells of it, with `token`.

        Raises, after counting, `OSError` (the kernel refused it), `BadAddress`, `SendQueueFull`, `TypeError`,
        `ValueError` or `BufferError` (the data is no bytes-like object, a buffer that was released, or one with gaps).
        """
        if not self._queue:
            try:
                return self._backend.send(message)
            except BlockingIOError:
                pass
            except Exception as error:
                self._count_send_error(error)
                raise
        self._enqueue(message, token)
        return None

    def send_many(self, messages: list[MessageUDP]) -> tuple[int, Failures]:
        """Sends datagrams in order, as `send` each with the token None. How many at the beginning are done, the others
        being queued; and which failed, by number, with what `send` would have raised."""
        failures: Failures = []
        done = 0 if self._queue else self._backend.send_many(messages, failures)
        for _, error in failures:
            self._count_send_error(error)
        if done < len(messages):
            self._enqueue_many(messages, done, failures)
        return done, failures

    def _enqueue_many(self, messages: list[MessageUDP], first: int, failures: Failures) -> None:
        for index in range(first, len(messages)):
            try:
                self._enqueue(messages[index], None)
            except Exception as error:
                failures.append((index, error))

    @property
    def send_waiting(self) -> int:
        """Datagrams that wait for the socket to become writable."""
        return len(self._queue)

    def _enqueue(self, message: MessageUDP, token: Any) -> None:
        """Refuses now what no system call could take later."""
        try:
            check_destination(self._sock.family, message.addr)
            if len(self._queue) >= self._queue_limit:
                raise SendQueueFull(self._queue_limit)
            with memoryview(message.data) as view, view.cast("B") as octets:
                size = octets.nbytes
        except SendQueueFull:
            self.dropped_send_queue += 1
            raise
        except Exception as error:
            self._count_send_error(error)
            raise
        self._queue.append((message, token, size))
        if len(self._queue) == 1 and self._loop is not None:
            self._loop.add_writer(self._sock.fileno(), self._flush)

    def _flush(self) -> None:
        waiting = list(islice(self._queue, _FLUSH))
        failures: Failures = []
        done = self._backend.send_many([message for message, _, _ in waiting], failures)
        for _ in range(done):
            self._queue.popleft()
        if not self._queue and self._loop is not None:
            self._loop.remove_writer(self._sock.fileno())
        failed = dict(failures)
        for index, (message, token, size) in enumerate(waiting[:done]):
            error = failed.get(index)
            if error is not None:
                self._count_send_error(error)
            if self.on_sent is not None:
                self.on_sent(message, token, size if error is None else 0, error)

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

    @property
    def backend(self) -> Backend:
        """What serves the socket, with its counters."""
        return self._backend

    def close(self) -> list[tuple[MessageUDP, Any]]:
        """Closes the socket; a second time does nothing. Gives the datagrams that were still to go, with their
        tokens."""
        if self.closed:
            return []
        self._last_drops = kernel_drops(self._sock)
        self.pause()
        if self._queue and self._loop is not None:
            self._loop.remove_writer(self._sock.fileno())
        left = [(message, token) for message, token, _ in self._queue]
        self._queue.clear()
        self.closed = True
        self._backend.close()
        self._sock.close()
        return left
