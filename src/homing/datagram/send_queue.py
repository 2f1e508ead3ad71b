"""Sends datagrams at once if possible, otherwise from a bounded queue, in order, as soon as the socket is writable and
the pace allows it.

Send policy: no failed datagram ever stops the queue. Datagrams that the kernel refuses are counted by their errno and
reported to their sender; datagrams that would block wait in the queue. With an error queue, a datagram that fails
because of an earlier datagram's ICMP error is sent again, and the error is reported for the earlier one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from .address import check_destination
from .backend.ancillary import write_control
from .backend.base import Backend
from .capture.tapping import Ear, Recording
from .errors import ReplyLimited, SendQueueFull
from .failures import Failures, name_of
from .message import MessageUDP
from .policy.limits import Amplification, Pacing, RateLimit, ReplyGuard
from .policy.pacing import Pacer, Sender, Writable
from .policy.reply_limit import ReplyLimit

_FLUSH = 64
"""Most queued datagrams sent at once when the socket is writable: as many as are read at once."""

Sent = Callable[[MessageUDP, Any, int, Exception | None], None]


class Settles(Protocol):
    """An object to call after each send."""

    def settle(self) -> None: ...


class SendQueue:
    """Sends the datagrams of one socket through `sender`, a backend; queued datagrams when `writable`, a watch, calls.

    family: as `address.family_of` returns it.
    limit: most datagrams that wait. drop_oldest: if the queue is full, the oldest datagram is dropped for a new one;
        otherwise the new one is dropped.
    pending: handles the pending errors of a connected socket, which a send reports; settled after each send.
    on_sent: called for a datagram that had to wait, with its token, the bytes sent, and the error or None.
    errors: datagrams that were refused, by errno's name or the error's class.
    dropped: datagrams dropped because the queue was full, or because it was closed. dropped_oldest: dropped for newer
        datagrams.
    delayed: datagrams that had to wait for the pace.
    reply_limit: limits the datagrams for each destination, and counts those that it drops.
    """

    def __init__(
        self,
        family: int,
        sender: Sender,
        writable: Writable,
        *,
        limit: int,
        drop_oldest: bool = False,
        pending: Settles | None = None,
    ) -> None:
        self._family = family
        self._plain = sender
        self._ear: Ear | None = None
        self._unpaced = sender, writable
        self._sender, self._writable = sender, writable
        self._backend = sender if isinstance(sender, Backend) else None  # None: something stands before the backend
        self.pending = pending
        self._pacer: Pacer | None = None
        self._pacing: Pacing | None = None
        self.reply_limit = ReplyLimit()
        self._active_limit: ReplyLimit | None = None  # None: no limit
        self._queue: deque[tuple[MessageUDP, Any, int]] = deque()
        self._limit = limit
        self._drop_oldest = drop_oldest
        self._open = False
        self.on_sent: Sent | None = None
        self.errors: dict[str, int] = {}
        self.dropped = self.dropped_oldest = self.delayed = 0

    def open(self) -> None:
        """Starts sending queued datagrams when the socket is writable."""
        self._open = True
        self._go_on()

    def send(self, message: MessageUDP, token: Any) -> int | None:
        """Sends a datagram and returns its length; or queues it and returns None: `on_sent` is then called for it
        later, with `token`.

        Raises, after counting, `OSError` (the kernel refused it), `BadAddress`, `BadOption` (the info is invalid),
        `SendQueueFull`, `ReplyLimited`, `TypeError`, `ValueError` or `BufferError` (the data is not a bytes-like
        object, a released buffer, or a buffer with gaps).
        """
        if self._active_limit is not None:
            message = self._pass_on(self._active_limit, message)
        if not self._queue:
            try:
                if self._backend is not None and self._backend.send_lone(message):
                    return len(message.data)
                return self._sender.send(message)
            except BlockingIOError:
                pass
            except Exception as error:
                self.count_error(error)
                raise
            finally:
                if self.pending is not None:
                    self.pending.settle()
        self._enqueue(message, token)
        return None

    @property
    def limited(self) -> bool:
        """True if each destination gets limited datagrams only."""
        return self._active_limit is not None

    def send_lone(self, message: MessageUDP) -> bool:
        """Sends a datagram at once, at less cost than `send_many`, if nothing stands in its way. Returns False if it
        was not sent."""
        if self._backend is None or self._active_limit is not None or self.pending is not None or len(self._queue) > 0:
            return False
        return self._backend.send_lone(message)

    def send_columns(self, addresses: list[Any], places: Any, lengths: Any, data: bytes) -> int:
        """Sends datagrams in columns at once, if nothing stands in their way: see `Backend.send_columns`. Returns how
        many, from the first on."""
        if self._backend is None or self._active_limit is not None or self.pending is not None or len(self._queue) > 0:
            return 0
        return self._backend.send_columns(addresses, places, lengths, data)

    def send_many(self, messages: list[MessageUDP]) -> tuple[int, Failures]:
        """Sends datagrams in order, each like `send` with the token None. Returns how many at the beginning are done
        (the others are queued), and the failed datagrams: the number of each, with the error that `send` would
        raise."""
        if self._active_limit is not None:
            return self._send_limited(self._active_limit, messages)
        return self._send_in_order(messages)

    def _send_in_order(self, messages: list[MessageUDP]) -> tuple[int, Failures]:
        failures: Failures = []
        if self._queue:
            done = 0
        elif self._backend is not None:
            done = self._backend.send_many(messages, failures)
        else:
            done = self._sender.send_many(messages, failures)
        if self.pending is not None:
            self.pending.settle()
        for _, error in failures:
            self.count_error(error)
        if done < len(messages):
            self._enqueue_many(messages, done, failures)
        return done, failures

    def _send_limited(self, limit: ReplyLimit, messages: list[MessageUDP]) -> tuple[int, Failures]:
        refused: Failures = []
        passed, numbers = limit.divide(messages, refused)
        for index, error in refused:
            self.count_error(error)
            if self._ear is not None:
                self._ear.not_sent(messages[index], error)
        done, failures = self._send_in_order(passed)
        refused += [(numbers[index], error) for index, error in failures]
        return numbers[done] if done < len(passed) else len(messages), refused

    def _pass_on(self, limit: ReplyLimit, message: MessageUDP) -> MessageUDP:
        limit.look_at_clock()
        try:
            return limit.pass_on(message)
        except Exception as error:
            self.count_error(error)
            if self._ear is not None:
                self._ear.not_sent(message, error)
            raise

    def count_error(self, error: Exception) -> None:
        """Counts a refused datagram."""
        if isinstance(error, ReplyLimited):
            return  # the limiter has counted it
        name = name_of(error)
        self.errors[name] = self.errors.get(name, 0) + 1

    # --- limits -------------------------------------------------------------------------------------------

    def limit_replies(
        self, limit: RateLimit | None, guard: ReplyGuard | None = None, amplification: Amplification | None = None
    ) -> None:
        """Limits from now on what each destination gets to these limits; None: no limit."""
        self.reply_limit.apply(limit, guard, amplification)
        self._active_limit = self.reply_limit if self.reply_limit.active else None

    def pace(self, pacing: Pacing | None) -> None:
        """Sends from now on no faster than `pacing`; None: as fast as possible. If `pacing` is unchanged, its bucket
        keeps its level."""
        if pacing == self._pacing:
            return
        self._pacing = pacing
        self._set_pacer(pacing)

    def record(self, ear: Ear | None) -> None:
        """Tells `ear` from now on which datagrams are sent and which are not; None: nobody."""
        self._ear = ear
        sender = self._plain if ear is None else Recording(self._plain, ear)
        self._unpaced = sender, self._unpaced[1]
        if self._pacer is None:
            self._set_pacer(None)
        else:
            self._pacer.sender = sender  # its bucket keeps its level

    def _set_pacer(self, pacing: Pacing | None) -> None:
        self._writable.write(None)
        self._sender, self._writable = self._unpaced
        self._backend = self._sender if isinstance(self._sender, Backend) else None
        self._pacer = None
        if pacing is not None:
            self._backend = None
            self._pacer = self._sender = self._writable = Pacer(*self._unpaced, pacing, self._family)
        self._go_on()

    def watch_by(self, writable: Writable) -> None:
        """Continues with another watch of the same socket, which must be open if this queue is."""
        self._writable.write(None)
        self._unpaced = self._unpaced[0], writable
        if self._pacer is None:
            self._writable = writable
        else:
            self._pacer.writable = writable
        self._go_on()

    def set_limit(self, limit: int, *, drop_oldest: bool) -> None:
        """Lets from now on at most `limit` datagrams wait. Datagrams already queued stay."""
        self._limit = limit
        self._drop_oldest = drop_oldest

    # --- the queue ----------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Number of queued datagrams."""
        return len(self._queue)

    @property
    def room(self) -> int:
        """Number of datagrams that fit into the queue without dropping any, even if the kernel takes none."""
        return self._limit - len(self._queue)

    def _enqueue_many(self, messages: list[MessageUDP], first: int, failures: Failures) -> None:
        for index in range(first, len(messages)):
            try:
                self._enqueue(messages[index], None)
            except Exception as error:
                failures.append((index, error))

    def _enqueue(self, message: MessageUDP, token: Any) -> None:
        """Queues a datagram. Refuses now what no system call would accept later."""
        try:
            check_destination(self._family, message.addr)
            if message.info is not None:
                write_control(message.info, message.addr)
            if len(self._queue) >= self._limit and not self._drop_oldest:
                raise SendQueueFull(self._limit)
            with memoryview(message.data) as view, view.cast("B") as flat:
                size = flat.nbytes
        except Exception as error:
            if isinstance(error, SendQueueFull):
                self.dropped += 1
            else:
                self.count_error(error)
            if self._ear is not None:
                self._ear.not_sent(message, error)
            raise
        if len(self._queue) >= self._limit:
            self._drop_first()
        self._queue.append((message, token, size))
        if self._pacer is not None and self._pacer.delay() > 0:
            self.delayed += 1
        if len(self._queue) == 1:
            self._go_on()

    def _drop_first(self) -> None:
        """Drops the oldest queued datagram."""
        message, token, _ = self._queue.popleft()
        self.dropped_oldest += 1
        if self._ear is not None:
            self._ear.not_sent(message, "send_oldest")
        if self.on_sent is not None:
            self.on_sent(message, token, 0, SendQueueFull(self._limit))

    def _go_on(self) -> None:
        if self._queue and self._open:
            self._writable.write(self._flush)

    def _flush(self) -> None:
        first = list(islice(self._queue, _FLUSH))
        failures: Failures = []
        done = self._sender.send_many([message for message, _, _ in first], failures)
        if self.pending is not None:
            self.pending.settle()
        for _ in range(done):
            self._queue.popleft()
        if not self._queue:
            self._writable.write(None)
        elif self._pacer is not None:
            self._pacer.write(self._flush)
        failed = dict(failures)
        for index, (message, token, size) in enumerate(first[:done]):
            error = failed.get(index)
            if error is not None:
                self.count_error(error)
            if self.on_sent is not None:
                self.on_sent(message, token, size if error is None else 0, error)

    def close(self) -> list[tuple[MessageUDP, Any]]:
        """Stops sending. Returns the datagrams that were still queued, with their tokens."""
        if self._queue:
            self._writable.write(None)
        left = [(message, token) for message, token, _ in self._queue]
        if self._ear is not None:
            for message, _ in left:
                self._ear.not_sent(message, "send_queue")
        self.dropped += len(left)
        self._queue.clear()
        return left
