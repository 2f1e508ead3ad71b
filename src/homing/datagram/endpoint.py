"""The endpoint: one bound socket on one event loop. Reads batches on demand, sends or queues, counts, closes once.

Send policy: a datagram's fate never stops the endpoint. What the kernel refuses is counted by its errno and
reported to who sent it; what would block waits in a bounded queue, in order, until the socket is writable. With an
error queue, what fails for the ICMP error of an earlier datagram is sent again, and the error reported as that one's.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from ..gen import ReplyLimited, SendQueueFull
from .address import TOLD, Address, check_destination, family_of
from .backend.ancillary import write_control
from .backend.contract import Backend, Failures, Pooled, open_backend
from .backend.error_queue import ErrorQueue
from .backend.pending import PendingErrors
from .backend.watch import Watch, open_watch
from .batch import DatagramBatch
from .errors import MessageUDPError, name_of
from .message import MessageUDP
from .policy.admission import Admission
from .policy.limits import Pacing, RateLimit
from .policy.networks import Network
from .policy.pacing import Pacer
from .policy.reply_limit import Replies
from .sockets.inherited import lender_of
from .sockets.kernel import granted_buffer, joins_datagrams, kernel_drops
from .sockets.multicast import Memberships, MulticastGroup

_GONE = frozenset({errno.EBADF, errno.ENOTSOCK})
"""The socket is truly gone: the only errors that end an endpoint."""

_RETRY = 0.05
"""Seconds until reading is tried again after the system reported an error and gave no datagram, lest the loop spin."""

_FLUSH = 64
"""Queued datagrams sent at a stretch when the socket is writable: as many as are read at a stretch."""

Sent = Callable[[MessageUDP, Any, int, Exception | None], None]


class Endpoint:
    """A bound UDP socket, connected or not.

    gro: let the kernel join datagrams, where it can and no buffer pool is used.
    groups: the multicast groups that the socket has joined.
    info: give each datagram a `PacketInfo`, with what the socket was asked to tell (`ancillary.asked`).
    drop_oldest: what finds the send queue full takes the place of the oldest there, which fails; else it fails itself.
    error_queue: the socket has one (`error_queue.turn_on`), which is read here from `open` on.
    handed_over: set once the other program that reads from the same socket has stopped; until then the endpoint must
        not be opened. None: no other program reads.
    connected: the socket is; without an error queue ICMP errors are known from its pending error.
    on_sent: called for a datagram that had to wait, with its token, the bytes sent, and the error or None.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        buffer_size: int,
        send_queue: int,
        drop_oldest: bool = False,
        gro: bool = True,
        info: bool = False,
        groups: tuple[MulticastGroup, ...] = (),
        error_queue: bool = False,
        connected: bool = False,
    ) -> None:
        self._sock = sock
        self._family = family_of(sock)
        self.memberships = Memberships(sock, groups)
        self.admission = Admission()
        lender = lender_of(sock)
        self.handed_over = None if lender is None else lender.handed_over
        self._gro = gro
        # Who reads now may not be able to take apart what the kernel joins.
        gro = gro and (self.handed_over is None or joins_datagrams(sock))
        # A run that the kernel takes as one may come back as one ICMP error.
        self._backend = open_backend(sock, buffer_size, gro=gro, gso=not error_queue, info=info)
        self._pending = PendingErrors(sock) if connected and not error_queue else None
        self._errors: ErrorQueue | PendingErrors | None = ErrorQueue(sock) if error_queue else self._pending
        if self._errors is not None:
            self._backend.again = self._errors.again
        self._watch = open_watch(sock, self._errors.woken if self._errors is not None else None)
        self._listening = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_readable: Callable[[], None] | None = None
        self.on_sent: Sent | None = None
        self._reading = False
        self._retry: asyncio.TimerHandle | None = None
        self.replies = Replies()
        self._replies: Replies | None = None  # None: all passes
        self._pacer: Pacer | None = None
        self._pacing: Pacing | None = None
        self._sender: Backend | Pacer = self._backend
        self._outlet: Watch | Pacer = self._watch
        self._queue: deque[tuple[MessageUDP, Any, int]] = deque()
        self._queue_limit = send_queue
        self._drop_oldest = drop_oldest
        self.closed = False
        self.family = int(sock.family)
        told = TOLD.get(self._family)
        self.local_address: Address = sock.getsockname() if told is None else told(sock.getsockname())
        self.receive_buffer = granted_buffer(sock, socket.SO_RCVBUF)
        self.send_buffer = granted_buffer(sock, socket.SO_SNDBUF)
        self._last_drops: int | None = None
        self.dropped_send_queue = self.dropped_send_oldest = self.send_delayed = 0
        self.receive_errors: dict[str, int] = {}
        self.send_errors: dict[str, int] = {}

    @property
    def shared(self) -> bool:
        """True while another program reads from the same socket."""
        return self.handed_over is not None and not self.handed_over.is_set()

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
        self._watch.open(loop)
        if self._queue:
            self._outlet.write(self._flush)

    def pause(self) -> None:
        """Reads no more until `resume`. What comes meanwhile waits in the kernel."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._reading:
            self._reading = False
            if self._listening:
                self._watch.read(None)

    def resume(self) -> None:
        """Reads again, first what was read before and had no room."""
        if not self._reading and not self.closed and self._loop is not None and self._on_readable is not None:
            self._reading = True
            if self._listening:
                self._watch.read(self._on_readable)
            self.read_on()

    def listen(self, listening: bool) -> None:
        """False: ignores what comes to the socket; `on_readable` is called only for what was read before. True: calls
        it for both again."""
        reading = self._reading
        self.pause()
        self._listening = listening
        if reading:
            self.resume()

    def read_on(self) -> None:
        """What was read already does not make the socket readable: it is called for in the loop's next turn."""
        if self._backend.waiting and self._reading and self._loop is not None:
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._backend.waiting and self._reading and self._on_readable is not None:
            self._on_readable()

    def admit(self, allow: tuple[Network, ...], deny: tuple[Network, ...], limit: RateLimit | None) -> None:
        """From now on only such sources become messages, and so much of each. Raises `BadOption`."""
        self.admission.hear(allow, deny)
        self.admission.limiter.apply(limit)
        self._backend.admission = self.admission if self.admission.needed else None

    @property
    def reading(self) -> bool:
        """False while paused."""
        return self._reading

    @property
    def listening(self) -> bool:
        """True while reading what comes to the socket."""
        return self._reading and self._listening

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
        if self._errors is not None and self._errors.is_stale(error):
            return
        name = name_of(error)
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

        Raises, after counting, `OSError` (the kernel refused it), `BadAddress`, `BadOption` (the info is none),
        `SendQueueFull`, `ReplyLimited`, `TypeError`, `ValueError` or `BufferError` (the data is no bytes-like object, a
        buffer that was released, or one with gaps).
        """
        if self._replies is not None:
            message = self._pass_on(self._replies, message)
        if not self._queue:
            try:
                return self._sender.send(message)
            except BlockingIOError:
                pass
            except Exception as error:
                self._count_send_error(error)
                raise
            finally:
                if self._pending is not None:
                    self._pending.settle()
        self._enqueue(message, token)
        return None

    def send_many(self, messages: list[MessageUDP]) -> tuple[int, Failures]:
        """Sends datagrams in order, as `send` each with the token None. How many at the beginning are done, the others
        being queued; and which failed, by number, with what `send` would have raised."""
        if self._replies is not None:
            return self._send_limited(self._replies, messages)
        return self._send_in_order(messages)

    def _send_in_order(self, messages: list[MessageUDP]) -> tuple[int, Failures]:
        failures: Failures = []
        done = 0 if self._queue else self._sender.send_many(messages, failures)
        if self._pending is not None:
            self._pending.settle()
        for _, error in failures:
            self._count_send_error(error)
        if done < len(messages):
            self._enqueue_many(messages, done, failures)
        return done, failures

    def _send_limited(self, replies: Replies, messages: list[MessageUDP]) -> tuple[int, Failures]:
        refused: Failures = []
        passed, numbers = replies.divide(messages, refused)
        for _, error in refused:
            self._count_send_error(error)
        done, failures = self._send_in_order(passed)
        refused += [(numbers[index], error) for index, error in failures]
        return numbers[done] if done < len(passed) else len(messages), refused

    def _pass_on(self, replies: Replies, message: MessageUDP) -> MessageUDP:
        replies.limiter.look_at_clock()
        try:
            return replies.pass_on(message)
        except Exception as error:
            self._count_send_error(error)
            raise

    def _enqueue_many(self, messages: list[MessageUDP], first: int, failures: Failures) -> None:
        for index in range(first, len(messages)):
            try:
                self._enqueue(messages[index], None)
            except Exception as error:
                failures.append((index, error))

    def limit_replies(self, limit: RateLimit | None) -> None:
        """From now on no destination gets more."""
        self.replies.apply(limit)
        self._replies = None if limit is None else self.replies

    def pace(self, pacing: Pacing | None) -> None:
        """From now on sends no faster. As before: the bucket stays what it is."""
        if pacing == self._pacing:
            return
        self._pacing = pacing
        self._outlet.write(None)
        self._pacer = None if pacing is None else Pacer(self._backend, self._watch, pacing, self.family)
        self._sender = self._pacer or self._backend
        self._outlet = self._pacer or self._watch
        if self._queue:
            self._outlet.write(self._flush)

    def bound_queue(self, most: int, *, drop_oldest: bool) -> None:
        """From now on no more than `most` wait. Those that do already, stay."""
        self._queue_limit = most
        self._drop_oldest = drop_oldest

    @property
    def send_waiting(self) -> int:
        """Datagrams that wait for the socket to become writable."""
        return len(self._queue)

    @property
    def send_room(self) -> int:
        """Datagrams that can be sent now and are neither dropped nor drop others, whatever the kernel takes."""
        return self._queue_limit - len(self._queue)

    def _enqueue(self, message: MessageUDP, token: Any) -> None:
        """Refuses now what no system call could take later."""
        try:
            check_destination(self._family, message.addr)
            if message.info is not None:
                write_control(message.info, message.addr)
            if len(self._queue) >= self._queue_limit and not self._drop_oldest:
                raise SendQueueFull(self._queue_limit)
            with memoryview(message.data) as view, view.cast("B") as flat:
                size = flat.nbytes
        except SendQueueFull:
            self.dropped_send_queue += 1
            raise
        except Exception as error:
            self._count_send_error(error)
            raise
        if len(self._queue) >= self._queue_limit:
            self._push_out()
        self._queue.append((message, token, size))
        if self._pacer is not None and self._pacer.delay() > 0:
            self.send_delayed += 1
        if len(self._queue) == 1 and self._loop is not None:
            self._outlet.write(self._flush)

    def _push_out(self) -> None:
        """The oldest that waits gives way."""
        message, token, _ = self._queue.popleft()
        self.dropped_send_oldest += 1
        if self.on_sent is not None:
            self.on_sent(message, token, 0, SendQueueFull(self._queue_limit))

    def _flush(self) -> None:
        waiting = list(islice(self._queue, _FLUSH))
        failures: Failures = []
        done = self._sender.send_many([message for message, _, _ in waiting], failures)
        if self._pending is not None:
            self._pending.settle()
        for _ in range(done):
            self._queue.popleft()
        if not self._queue:
            self._outlet.write(None)
        elif self._pacer is not None:
            self._pacer.write(self._flush)
        failed = dict(failures)
        for index, (message, token, size) in enumerate(waiting[:done]):
            error = failed.get(index)
            if error is not None:
                self._count_send_error(error)
            if self.on_sent is not None:
                self.on_sent(message, token, size if error is None else 0, error)

    def count_send_error(self, error: Exception) -> None:
        """Counts a datagram that was refused before it came here."""
        self._count_send_error(error)

    def _count_send_error(self, error: Exception) -> None:
        if isinstance(error, ReplyLimited):
            return  # the limiter has counted it
        name = name_of(error)
        self.send_errors[name] = self.send_errors.get(name, 0) + 1

    # --- errors by ICMP -----------------------------------------------------------------------------------

    def report_errors(self, on_error: Callable[[MessageUDPError], None] | None) -> None:
        """Lets `on_error` get each ICMP error, where they are known. It must not raise."""
        if self._errors is not None:
            self._errors.on_error = on_error

    @property
    def icmp_errors(self) -> dict[str, int]:
        """ICMP errors by errno's name, where they are known."""
        return {} if self._errors is None else self._errors.counts

    def mtu(self, host: str) -> int | None:
        """The longest packet that the path to `host` takes, where a send to it was just refused for that and the error
        queue told."""
        return None if self._errors is None else self._errors.mtu(host)

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
        if self._queue:
            self._outlet.write(None)
        self._watch.close()
        left = [(message, token) for message, token, _ in self._queue]
        self.dropped_send_queue += len(left)
        self._queue.clear()
        self.closed = True
        self._backend.close()
        self._sock.close()
        return left
