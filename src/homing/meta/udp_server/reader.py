"""Datagrams on their way from a server's socket into the receiver's mailbox."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from ...datagram import Endpoint, MessageUDP
from ...gen import Alias, NodeTerminated, Target
from ...node.processes.meta_process import MetaRunner
from ..udp.buffer_lease import Lease, Lender
from .batch_entry import BatchEntry
from .options import UDPServerOptions

TURN = 512
"""Messages received or sent at a stretch, at most: see the table of limits in docs/architecture.md."""

WAKE_SHARE = 1 / 8
"""A socket that always has more keeps the loop for this part of `NodeOptions.slice_seconds` at most, 0.25 ms by
default: timers and other sockets have their turn. 0 costs 8 % of a flood on asyncio's loop; more gains nothing."""


class Incoming:
    """What one server reads.

    gone: called with the error if the socket itself is gone.
    id: the alias that datagrams get as theirs.
    delivered, dropped, dropped_newest, dropped_oldest, pauses: counters.
    batch_out: a batch is at the receiver; the next is read when it has ended.
    """

    __slots__ = (
        "_backend",
        "_endpoint",
        "_gone",
        "_inlet",
        "_lender",
        "_overflow",
        "_process",
        "_reads",
        "_received",
        "_wake_seconds",
        "batch_out",
        "delivered",
        "dropped",
        "dropped_newest",
        "dropped_oldest",
        "id",
        "open",
        "pauses",
    )

    def __init__(
        self,
        process: MetaRunner,
        endpoint: Endpoint,
        to: Target,
        options: UDPServerOptions,
        lender: Lender | None,
        gone: Callable[[OSError], None],
        id: Alias,
    ) -> None:
        self._process = process
        self.id = id
        self._endpoint = endpoint
        self._backend = endpoint.backend
        self._received: Any = None
        self._wake_seconds = process.core.options.slice_seconds * WAKE_SHARE
        self.batch_out = False
        self.delivered = self.dropped = self.pauses = 0
        self.dropped_newest = self.dropped_oldest = 0
        self.begin(to, options, lender, gone)

    def begin(
        self, to: Target, options: UDPServerOptions, lender: Lender | None, gone: Callable[[OSError], None]
    ) -> None:
        """Reads for `to`."""
        high, low, overflow = options.high_water, low_water(options), options.overflow
        self._inlet = self._process.inlet(to, high, low, self.resume, overflow)
        self._overflow = overflow
        self._lender = lender
        self._reads = options.receive_batch
        self._gone = gone
        self.open = True

    def adjust(self, to: Target, options: UDPServerOptions) -> None:
        """Reads on for `to`, with other options."""
        self._inlet.adjust(options.high_water, low_water(options), options.overflow)
        self._overflow = options.overflow
        self._reads = options.receive_batch
        self.redirect(to)

    def readable(self) -> None:
        """The socket has datagrams: they are delivered, and handled at once. It goes on until there is nothing more,
        for a bounded time: to ask costs less than to go through the loop for what came meanwhile."""
        end = perf_counter() + self._wake_seconds
        while self._receive() and self._process.run_with(self._deliver):
            if not self._backend.more or perf_counter() >= end:
                break
        if self._backend.waiting:
            self._endpoint.read_on()

    def _receive(self) -> bool:
        """Reads as many as the receiver takes, a batch at most. False: nothing was read."""
        if not self.open:
            return False
        inlet = self._inlet
        room = inlet.room()
        if self.batch_out or (room == 0 and (self._overflow == "pause" or inlet.waiting_for)):
            self.pauses += 1
            self._endpoint.pause()
            return False
        try:
            if room == 0:
                return self._receive_too_many()
            if inlet.takes_batches():
                received: Any = self._endpoint.receive_batch(self._reads, self.id)
            elif self._lender is None:
                received = self._endpoint.receive(min(room, TURN), self._reads, self.id)
            else:
                received = self._receive_pooled(self._lender, min(room, self._reads))
        except OSError as error:
            self._endpoint.pause()
            self._gone(error)
            return False
        self._received = received
        return bool(received)

    def _receive_too_many(self) -> bool:
        """Reads although the mailbox is full: some of what waits there goes, or what was read. False: nothing was
        read."""
        newest, batches = self._overflow == "drop_newest", self._inlet.takes_batches()
        if newest or batches or self._lender is None:
            messages = self._endpoint.receive(TURN, self._reads, self.id)
        else:
            messages = self._receive_pooled(self._lender, self._reads)
        count = len(messages)
        if newest:
            self.dropped_newest += count
            surplus = count
        elif batches:  # none of this server's waits, or it would not be read: it is full of what others have sent
            self.dropped_oldest += count
            surplus = count
        else:
            went, surplus = self._inlet.make_room(count)
            self.delivered -= went
            self.dropped_oldest += went + surplus
        self._received = messages[surplus:]
        return count > 0

    def _receive_pooled(self, lender: Lender, limit: int) -> list[MessageUDP]:
        messages = []
        for buffer, length, addr, cut, info in self._endpoint.receive_pooled(limit, lender.get, lender.put):
            lease = Lease(buffer, length, lender.put)
            messages.append(MessageUDP(self.id, addr, lease.view, cut, lease, info))
        return messages

    def _deliver(self) -> None:
        """What was received goes into the receiver's mailbox."""
        received, self._received = self._received, None
        count = len(received)
        if type(received) is list:
            taken = self._inlet.put(received)
        else:
            self.batch_out = True
            taken = count if self._inlet.put_entry(BatchEntry(received, self._batch_ended)) else 0
        self.delivered += taken
        self.dropped += count - taken

    def _batch_ended(self) -> None:
        """The receiver is done with the batch, on whatever thread: the next may come."""
        try:
            self._process.on_loop(self._read_on)
        except NodeTerminated:
            pass  # nobody reads any more

    def _read_on(self) -> None:
        self.batch_out = False
        self.resume()

    def resume(self) -> None:
        """Reads, or reads again: the receiver has room."""
        if self.open:
            self._endpoint.resume()

    @property
    def deliverable(self) -> bool:
        """True while something that was read is still to be delivered, and can be."""
        return self.open and self._backend.waiting > 0 and self.waiting_for() != "receiver"

    def limit(self, reads: int) -> None:
        """From here on so many reads of the kernel's at a stretch. 0: none, but what was read already is delivered."""
        self._reads = reads
        self._endpoint.listen(reads > 0)

    def redirect(self, to: Target) -> None:
        """Reads for `to` from now on. What another was given, also a batch that is still there, stays there."""
        self._inlet.redirect(to)
        self.resume()

    def drain(self) -> None:
        """Reads no more."""
        self.open = False
        self._endpoint.pause()

    def close(self) -> None:
        """Reads no more, and waits for nobody."""
        self.open = False
        self._inlet.close()

    @property
    def receiver(self) -> Target:
        """The address that datagrams go to."""
        return self._inlet.receiver

    def waiting_for(self) -> str:
        """What it waits for, where it does: "mailbox", "receiver", "batch"; or ""."""
        if self._endpoint.reading:
            return ""
        return "batch" if self.batch_out else self._inlet.waiting_for


def low_water(options: UDPServerOptions) -> int:
    """When few enough wait for reading to go on."""
    return options.high_water // 4 if options.low_water is None else options.low_water
