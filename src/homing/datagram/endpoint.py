"""The endpoint: one bound socket on one event loop. Reads batches on demand, sends or queues, counts, closes once.

`polling` calls when there is data to read, `send_queue` sends; a `backend` makes the system calls of both.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .address import AF_UNIX, NORMALIZERS, Address, family_of
from .backend.contract import Pooled, open_backend
from .backend.error_queue import ErrorQueue
from .backend.holes import Holes
from .backend.pending import PendingErrors
from .backend.watch import open_watch
from .batch import Columns, DatagramBatch
from .capture.tapping import Ear
from .failures import MessageUDPError, name_of
from .hearing import heard, heard_batch, heard_pooled
from .message import MessageUDP
from .policy.admission import Admission
from .policy.budget import Budget
from .policy.conditions import Condition
from .policy.guard import Guard
from .policy.limits import Amplification, RateLimit, ReplyGuard
from .policy.networks import Network
from .polling import Polling
from .send_queue import SendQueue
from .sockets.association import Association, Movable, can_move
from .sockets.bpf import REFUSE_ALL, Program, attach_filter
from .sockets.inherited import lender_of
from .sockets.kernel import join_no_datagrams, joins_datagrams
from .sockets.kernel_socket import KernelSocket
from .sockets.multicast import MulticastGroup

_SPLIT_TRIES, _DRAIN_READS = 4, 2048
"""Limits for reading what the kernel has already joined: as much as receive buffers of some MiB hold."""

_GONE = frozenset({errno.EBADF, errno.ENOTSOCK})
"""The socket no longer exists: the only errors that end an endpoint."""

_OFFSET = 4
"""Bytes of an offset in a batch's columns."""


class Endpoint:
    """A bound UDP socket, connected or not.

    buffer_size: the longest datagram that is accepted.
    send_queue, drop_oldest: the limits of the send queue, see `SendQueue`.
    gro: let the kernel join datagrams, if it can and no buffer pool is used.
    bpf, steering: programs attached to the socket. While it has any, no datagrams are joined: see `fit_joining`.
    groups, multicast_interface, bind_device: the socket's settings that name interfaces.
    info: set `MessageUDP.info`, with the fields that the socket was set to report (`wants_packet_info`).
    error_queue: the socket has an error queue (`SocketOptions.error_queue`), which is read from `open` on.
    connected: the socket is connected; without an error queue ICMP errors are read from its pending error.
    movable: how the system may give the socket another address and port of this machine, if it can.
    queue: class of the send queue.

    sock: the socket; kernel: its state in the kernel; local_address: the address that it is bound to.
    backend: makes the system calls, and counts datagrams and bytes.
    send_queue: sends. `send`, `send_many`: its methods, stored here to save a call in between.
    association: moves a `movable` socket to another address or port of this machine; None: not movable.
    admission: decides which received datagrams become messages.
    handed_over: set once the other program that reads from the same socket has stopped; until then the endpoint must
        not be opened. None: no other program reads.
    receive_errors: errors on reading, by name: those that the system reported, and `MemoryError`.
    ear: records what happens to datagrams; None: nothing is recorded. See `listen_by`.
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
        multicast_interface: str | int = "",
        bind_device: str = "",
        bpf: Program | None = None,
        steering: str | Program | None = None,
        error_queue: bool = False,
        connected: bool = False,
        movable: Movable | None = None,
        queue: type[SendQueue] = SendQueue,
    ) -> None:
        self.sock = sock
        self.kernel = KernelSocket(sock, groups, multicast_interface, bind_device, bpf, steering)
        family = family_of(sock)
        normalize = NORMALIZERS.get(family)
        self.local_address: Address = sock.getsockname() if normalize is None else normalize(sock.getsockname())
        self.closed = False
        self.receive_errors: dict[str, int] = {}
        self._lost = 0
        self.admission = Admission()
        self._condition: Condition | None = None
        self._guard: Guard | None = None
        self.ear: Ear | None = None
        self._listens = False  # there is a guard or an ear
        lender = lender_of(sock)
        self.handed_over = None if lender is None else lender.handed_over
        self._gro = gro
        # The other program may not be able to split joined datagrams. If the kernel already joins, this one must split.
        gro = gro and ((self.handed_over is None and not self.kernel.runs_programs) or joins_datagrams(sock))
        # For a run of datagrams that the kernel takes as one, a single ICMP error may come back: so no `gso` then.
        self.backend = open_backend(sock, buffer_size, gro=gro, gso=not error_queue, info=info)
        pending = PendingErrors(sock) if connected and not error_queue else None
        self._icmp_errors: dict[str, int] = {}  # counters of a previous error queue
        self._on_icmp_error: Callable[[MessageUDPError], None] | None = None
        self._errors: ErrorQueue | PendingErrors | None = ErrorQueue(sock) if error_queue else pending
        if self._errors is not None:
            self.backend.retry = self._errors.retry
        self._pending = pending
        self.association = Association(sock, bind_device, movable) if movable is not None and can_move(sock) else None
        if self.association is not None:
            self.association.on_change = self._moved
            self.backend.retry = self._retry
        self._watch = open_watch(sock, self._errors.woken if self._errors is not None else None)
        self._polling = Polling(self._watch, self.backend)
        self.send_queue = queue(
            family, self.backend, self._watch, limit=send_queue, drop_oldest=drop_oldest, pending=pending
        )
        self.send, self.send_many = self.send_queue.send, self.send_queue.send_many

    def open(self, loop: asyncio.AbstractEventLoop, on_readable: Callable[[], None]) -> None:
        """Starts watching the socket: after the first `resume`, `on_readable` is called whenever there is data to
        `receive`. Datagrams queued before are sent."""
        self.fit_joining()
        self._polling.open(loop, on_readable)
        self.send_queue.open()
        self.kernel.interfaces.follow(loop)

    def fit(self, *, buffer_size: int, gro: bool, info: bool, error_queue: bool) -> None:
        """Changes the endpoint to new options, which the socket already has. Datagrams read before are still delivered.
        Raises `OSError` if no descriptor is left for an error queue; then nothing has changed."""
        if error_queue != isinstance(self._errors, ErrorQueue):
            self._watch_errors(error_queue)
        self.backend.fit(self.sock, buffer_size, gso=not error_queue, info=info)
        self._gro = gro
        self.fit_joining()

    def _watch_errors(self, wanted: bool) -> None:
        """Starts or stops reading the error queue. The counters continue."""
        errors = ErrorQueue(self.sock) if wanted else None
        watch, before = open_watch(self.sock, None if errors is None else errors.woken), self._watch
        self._icmp_errors = self.icmp_errors
        if errors is not None:
            errors.counts, errors.on_error = self._icmp_errors, self._on_icmp_error
        self._errors, self._watch = errors, watch
        self.backend.retry = None if errors is None else errors.retry
        self._polling.watch_by(watch)
        self.send_queue.watch_by(watch)
        before.close()

    def fit_joining(self, *, allowed: bool = True) -> None:
        """Lets the kernel join datagrams unless it runs a program on them: the program would run only once for all that
        are joined. allowed: False if such a program is about to be attached."""
        joins = self._gro and allowed and not self.kernel.runs_programs
        if joins and not self.backend.gro:
            self.backend.join(self.sock)
        elif self.backend.gro and not joins and not self._split() and self.kernel.filter_is_known:
            with self._refusing_all():
                self._split()

    def _split(self) -> bool:
        """Stops the joining. Datagrams already joined are read first, and delivered later. Returns False if they arrive
        faster than they are read."""
        for _ in range(_SPLIT_TRIES):
            if self.backend.split(self.sock):
                return True
            try:
                self.backend.drain(_DRAIN_READS)
            except OSError as error:
                self._receive_failed(error)
            self.read_on()
        return False

    @contextmanager
    def _refusing_all(self) -> Iterator[None]:
        """Makes the kernel drop, and count, all datagrams that arrive meanwhile."""
        attach_filter(self.sock, REFUSE_ALL)
        try:
            yield
        finally:
            attach_filter(self.sock, self.kernel.bpf)

    def _retry(self, number: int, tries: int) -> bool:
        """Implements `Backend.retry` for a movable socket."""
        if self._errors is not None and self._errors.retry(number, tries):
            return True
        return self.association is not None and self.association.has_failed(number)

    def _moved(self) -> None:
        """Called when the socket has a new address, or no address until it is connected again."""
        association = self.association
        if association is not None:
            self.send_queue.pending = self if association.is_dissolved else self._pending
            self.local_address = self.sock.getsockname()

    def settle(self) -> None:
        """Called by the send queue after each send of a socket that is to be connected again."""
        if self._pending is not None:
            self._pending.settle()
        if self.association is not None:
            self.association.settle()

    @property
    def shared(self) -> bool:
        """True while another program reads from the same socket."""
        return self.handed_over is not None and not self.handed_over.is_set()

    def silent(self) -> Callable[[], object] | None:
        """Returns the function to call when a request of a client had no reply in time; None: there is none."""
        return None if self.association is None else self.association.is_silent

    def join_again(self) -> None:
        """Turns the joining on or off again, if another program that has the same socket has changed it."""
        if joins_datagrams(self.sock) != self.backend.gro:
            self.backend.join(self.sock)
            if not self.backend.gro:  # this backend cannot split joined datagrams
                join_no_datagrams(self.sock)
            self.fit_joining()

    # --- reading ------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stops reading until `resume`. Meanwhile datagrams wait in the kernel."""
        self._polling.pause()

    def resume(self) -> None:
        """Starts reading again, first the datagrams that were read before and had no room."""
        self._polling.resume()

    def listen(self, listening: bool) -> None:
        """With False, ignores datagrams waiting in the kernel: `on_readable` is called only for those read before. With
        True, calls it for both again."""
        self._polling.listen(listening)

    def look_again(self) -> None:
        """Calls `on_readable` in the loop's next iteration, unless reading is paused then."""
        self._polling.look_again()

    def read_on(self) -> None:
        """Calls `on_readable` in the loop's next iteration if datagrams were read but not delivered: these do not make
        the socket readable."""
        self._polling.read_on()

    @property
    def reading(self) -> bool:
        """False while paused."""
        return self._polling.reading

    @property
    def listening(self) -> bool:
        """True while datagrams are read from the kernel."""
        return self._polling.reading and self._polling.listening

    def admit(
        self,
        allow: tuple[Network, ...],
        deny: tuple[Network, ...],
        limit: RateLimit | None,
        condition: Condition | None = None,
    ) -> None:
        """Admits from now on only datagrams of these sources, each within `limit`, that meet `condition`. Raises
        `BadOption`."""
        self.admission.set_sources(allow, deny)
        self._condition = condition
        self.admission.limiter.apply(limit)
        self._admit_by_backend()

    def _admit_by_backend(self) -> None:
        """Lets the backend decide which datagrams become messages; with an ear, which is to get the others too, this
        endpoint does so."""
        condition, compiles = self._condition, self.ear is None
        self.admission.verdict = self.backend.judge(condition) if condition is not None and compiles else condition
        self.backend.admission = self.admission if self.admission.needed and self.ear is None else None

    def listen_by(self, ear: Ear | None) -> None:
        """Tells `ear` from now on of all datagrams that come and go; None: of none."""
        self.budget.skip = self.backend.waiting if self.ear is None else 0  # the backend has recorded their bytes
        self.ear = ear
        self.send_queue.record(ear)
        self._admit_by_backend()
        self.backend.budget = self.budget if self.budget.active and ear is None else None
        self._listens = ear is not None or self._guard is not None

    def note_holes(self, wanted: bool) -> Holes | None:
        """Notes from now on where datagrams are missing, or no longer does. Returns the notes; None if there are none,
        or for a Unix socket, whose system drops no datagram."""
        noted = None
        if wanted and self.kernel.family != AF_UNIX:
            noted = Holes(self.sock, self.backend.waiting, known=self.handed_over is None)
        if not wanted or self.backend.holes is None:
            self.backend.holes = noted
        return self.backend.holes

    def limit_replies(
        self, limit: RateLimit | None, guard: ReplyGuard | None, amplification: Amplification | None = None
    ) -> None:
        """Limits from now on what each destination gets."""
        self.send_queue.limit_replies(limit, guard, amplification)
        self._guard = self.send_queue.reply_limit.guard if guard is not None else None
        self._listens = self.ear is not None or self._guard is not None
        self.backend.budget = self.budget if self.budget.active and self.ear is None else None

    @property
    def budget(self) -> Budget:
        """The amplification budget of each peer."""
        return self.send_queue.reply_limit.budget

    def receive_lone(self, id: Any, reads: int) -> MessageUDP | None:
        """Receives one datagram, if it is the only one: see `Backend.receive_lone`. Raises like `receive`."""
        try:
            message = self.backend.receive_lone(id, reads)
        except (OSError, MemoryError) as error:
            self._receive_failed(error)
            return None
        if self._listens and message is not None:
            admitted = self._hear([message])
            return admitted[0] if admitted else None
        return message

    def receive(self, limit: int, reads: int, id: Any, octets: int = 0x7FFFFFFF) -> list[MessageUDP]:
        """Returns up to `limit` messages with the given `id`, from at most `reads` reads of the kernel; stops after the
        message with which the total reaches `octets` bytes. Raises `OSError` only if the socket no longer exists."""
        try:
            messages = self.backend.receive(limit, reads, id, octets)
        except (OSError, MemoryError) as error:
            self._receive_failed(error)
            return []
        return self._hear(messages) if self._listens else messages

    def _hear(self, messages: list[MessageUDP]) -> list[MessageUDP]:
        """Passes datagrams to the ear and the guard. Returns those that are admitted."""
        guard = self._guard
        if self.ear is not None:
            messages = heard(messages, self.ear, self.admission, self.backend, self.budget)
        try:
            for message in messages:
                if guard is not None:
                    guard.heard(message.addr, len(message.data))
        except MemoryError as error:
            self._count(error)
        return messages

    def receive_batch(self, reads: int, id: Any) -> DatagramBatch | None:
        """Returns the available datagrams as one batch, or None. The batch must `_end` before the next is received."""
        try:
            columns = self.backend.receive_columns(reads)
        except (OSError, MemoryError) as error:
            self._receive_failed(error)
            return None
        if columns is None:
            return None
        batch = self._batch(id, columns)
        if self.ear is not None and batch is not None:
            batch = heard_batch(batch, self.ear, self.admission, self.backend, self.budget)
        if self._guard is not None and batch is not None:
            try:
                for number, size in enumerate(batch.lengths):
                    self._guard.heard(batch.address(number), size)
            except MemoryError as error:
                self._count(error)
        return batch

    def _batch(self, id: Any, columns: Columns) -> DatagramBatch | None:
        try:
            return DatagramBatch(id, columns)
        except MemoryError as error:
            columns[1]()  # returns the memory to the backend
            self._lost += len(columns[3]) // _OFFSET
            self._receive_failed(error)
            return None

    def receive_pooled(self, limit: int, get: Callable[[], Any], put: Callable[[Any], None]) -> list[Pooled]:
        """Receives like `receive`, into buffers from `get`; returns unused buffers by `put`."""
        try:
            received = self.backend.receive_pooled(limit, get, put)
        except (OSError, MemoryError) as error:
            self._receive_failed(error)
            return []
        if self.ear is not None:
            received = heard_pooled(received, self.ear, self.admission, self.backend, self.budget, put)
        if self._guard is not None:
            try:
                for _, size, address, *_ in received:
                    self._guard.heard(address, size)
            except MemoryError as error:
                self._count(error)
        return received

    @property
    def lost(self) -> int:
        """Datagrams that were read but lost, because memory ran out."""
        return self._lost + self.backend.lost

    def _receive_failed(self, error: OSError | MemoryError) -> None:
        if isinstance(error, OSError):
            if self._errors is not None and self._errors.is_stale(error):
                return
            if error.errno in _GONE:
                self._count(error)
                raise error
        self.failed(error)

    def failed(self, error: Exception) -> None:
        """Counts a read error, and pauses reading for a moment."""
        self._count(error)
        self._polling.rest()

    def _count(self, error: Exception) -> None:
        name = name_of(error)
        self.receive_errors[name] = self.receive_errors.get(name, 0) + 1

    # --- ICMP errors --------------------------------------------------------------------------------------

    def report_errors(self, on_error: Callable[[MessageUDPError], None] | None) -> None:
        """Passes each ICMP error to `on_error`, if the system reports them. `on_error` must not raise."""
        self._on_icmp_error = on_error
        if self._errors is not None:
            self._errors.on_error = on_error

    @property
    def icmp_errors(self) -> dict[str, int]:
        """ICMP errors by errno's name, if the system reports them."""
        return self._icmp_errors if self._errors is None else self._errors.counts

    def mtu(self, host: str) -> int | None:
        """Returns the path MTU to `host`, if a send there was just refused for its length and the system reported the
        MTU."""
        return None if self._errors is None else self._errors.mtu(host)

    # --- the end ------------------------------------------------------------------------------------------

    def close(self) -> list[tuple[MessageUDP, Any]]:
        """Closes the socket; a second call does nothing. Returns the datagrams that were still queued, with their
        tokens."""
        if self.closed:
            return []
        self.closed = True
        self._polling.close()
        left = self.send_queue.close()
        self._watch.close()
        self.backend.close()
        self.kernel.close()
        return left
