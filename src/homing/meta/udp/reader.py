"""Datagrams on their way from a socket into the receiver's mailbox."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...datagram import DatagramBatch
from ...datagram.endpoint import Endpoint
from ...datagram.message import MessageUDP
from ...gen import Alias, NodeTerminated, Target
from ...gen.copying import refuse_copy
from ...gen.foreign import safe_repr
from ...node.mailbox.lane import COMPILED, STAND_INS
from ...node.messaging.flow import Inlet
from ...node.processes.meta_process import MetaRunner
from .batch_entry import BatchEntry
from .buffer_lease import BufferLeases, Lease
from .fairness import Fairness
from .freshness import FreshCounters, Freshness
from .incoming import Incoming, Matcher, octets_of
from .options import FlowLimits
from .recorded import tell_dropped
from .shape import PLAIN, Shape
from .shaper import Shaper, Woven

if TYPE_CHECKING:
    from ...datagram.backend.holes import Hole

    clock: Callable[[], float]

if not COMPILED:
    globals().update(STAND_INS)

LONGEST = 65535
"""Most bytes that one read from the kernel returns: one datagram, or several that the kernel has joined."""

RECEIVE_LIMIT = 512
"""Most messages received in one go: see docs/decisions/limits.md."""

WAKE_SHARE = 1 / 8
"""A socket that always has more datagrams keeps the loop for this part of `NodeOptions.slice_seconds` at most, 0.25 ms
by default: then timers and other sockets have their turn. 0 costs 8 % of a flood on asyncio's loop; more gains nothing.
"""


LONE = 4
"""Wake-ups in a row that brought one datagram each, after which the next one is expected to bring one too."""

_LOOK = 16
"""After so many wake-ups with one datagram each, a read looks whether there are more."""

_LOOK_READS = 8
"""Reads of such a look: if all bring something, the ordinary way takes the rest. Fewer cost less."""

_AT_ONCE = 5e-6
"""Seconds. If a socket is readable so soon after the last slice, more datagrams are expected than one."""

_PAYS = 2
"""A second read in a wake-up pays if it has brought something so often lately, of 3 times."""


class Reader(Incoming):
    """Reads one socket, and puts the datagrams into the receiver's mailbox.

    Datagrams that come alone are read and handed over alone, by shorter ways: `_read_lone`.

    gone: called with the error if the socket itself is lost.
    matcher: see `Incoming`. While requests are open, everything is read, even if the mailbox is full: its process may
        be the one that waits for a reply.
    id: the alias that datagrams carry as `id`.
    pauses: how often the receiver had no room.
    fresh: the counters of datagrams that were not fresh.
    batch_out: a batch is at the receiver; the next is read when that batch has ended.
    open: False from `drain` or `close` on. After `drain` the socket is still read for open requests.
    wake_seconds: most seconds for which it reads in one go.
    """

    __slots__ = (
        "_backend",
        "_endpoint",
        "_fair",
        "_freshness",
        "_full_rounds",
        "_gone",
        "_leases",
        "_lone",
        "_overflow",
        "_process",
        "_reads",
        "_scheduler",
        "_shaper",
        "_skipped",
        "batch_out",
        "fresh",
        "id",
        "open",
        "pauses",
        "wake_seconds",
    )

    __reduce__ = refuse_copy

    def __init__(
        self,
        process: MetaRunner,
        endpoint: Endpoint,
        to: Target,
        limits: FlowLimits,
        gone: Callable[[OSError], None],
        *,
        id: Alias,
        leases: BufferLeases | None = None,
        matcher: Matcher | None = None,
    ) -> None:
        super().__init__(matcher)
        self._process = process
        self.id = id
        self._endpoint = endpoint
        self._backend = endpoint.backend
        self._scheduler = process.core.scheduler
        self._lone = 0
        self._full_rounds = self._skipped = 0
        self.wake_seconds = process.core.options.slice_seconds * WAKE_SHARE
        self.batch_out = False
        self.pauses = 0
        self._shaper: Shaper | None = None
        self._freshness: Freshness | None = None
        self._fair: Fairness | None = None
        self.fresh = FreshCounters()
        self.serve(to, limits, leases, gone)

    def serve(
        self, to: Target, limits: FlowLimits, leases: BufferLeases | None, gone: Callable[[OSError], None]
    ) -> None:
        """Reads for `to`, also after `close`, with the buffers of `leases`, if any."""
        if self._freshness is not None:
            self._freshness.forget()
        high, low, overflow, self._reads, most_bytes, shape, seconds = limits
        self._inlet = self._process.inlet(to, high, low, self.resume, overflow, most_bytes)
        self._inlet.keep_pace(seconds)
        self._shape_by(shape, most_bytes)
        self._overflow = overflow
        self._leases = leases
        self._gone = gone
        self.open = True

    def adjust(self, to: Target, limits: FlowLimits) -> None:
        """Reads on for `to`, with other limits."""
        high, low, self._overflow, self._reads, most_bytes, shape, seconds = limits
        self._inlet.adjust(high, low, self._overflow, most_bytes)
        self._inlet.keep_pace(seconds)
        self._shape_by(shape, most_bytes)
        self.redirect(to)

    def _shape_by(self, shape: Shape | None, most_bytes: int) -> None:
        """Treats datagrams as `shape` asks from now on, also those that wait. Those that wait for their turn come
        first."""
        fresh = self._freshness
        if fresh is not None:
            fresh.adjust(PLAIN if shape is None else shape)
        if self._fair is not None:
            self._fair.adjust(shape, most_bytes)
            if self._fair.retired is not None and not self._fair.waiting:
                self._fair = None
        if self._fair is None and shape is not None and shape.fair is not None:
            self._fair = Fairness(shape.fair, self._endpoint, self.fresh, self._process.warn)
            self._fair.adjust(shape, most_bytes)
        if shape is None and self._fair is not None:
            shape = PLAIN
        if shape is None:
            self._shaper = None
            self._endpoint.note_holes(False)
            return
        if not shape.needs_freshness:
            fresh = None
        elif fresh is None:
            warn = self._process.warn
            fresh = Freshness(self.id, self._process.loop, shape, self.fresh, warn, self._endpoint)
            self._freshness = fresh
        shaper = Shaper(self.id, self._endpoint)
        if self._shaper is None:
            self._shaper = shaper
        self._shaper.adjust(shape, fresh)

    def divert(self, kind: type[Inlet]) -> None:
        """Puts datagrams through an inlet of the class `kind` from now on, which takes the place of the present one."""
        self._inlet = self._inlet.become(kind)

    def look_for_receiver(self) -> None:
        """If there is no receiver, waits for it, and logs that, from now on instead of from the first datagram on."""
        self._inlet.room()

    def readable(self) -> None:
        """Reads, delivers, and runs the receivers: one datagram if they come alone, otherwise as many as there are."""
        try:
            if self._lone < LONE or not self._read_lone():
                self._read_many()
            if self._backend.waiting:
                self._endpoint.read_on()
            elif self._shaper is not None:
                self._settle(self._shaper)
        except Exception as error:  # mostly for want of memory: not the fault of any datagram
            self._failed(error)

    def _settle(self, shaper: Shaper) -> None:
        """Reads again soon if that may show more losses: those behind the last datagram make no socket readable; nor
        do those that wait for their turn."""
        has_turn = self._fair is not None and self._fair.waiting > 0 and not self._inlet.waiting_for
        if has_turn or (shaper.unsettled and self._endpoint.listening):
            self._endpoint.look_again()

    def _expects_one(self) -> bool:
        """Returns False if a read is to look for more than one datagram: from time to time, or if the socket was
        readable as soon as the last slice was over."""
        return self._lone % _LOOK != 0 and clock() - self._scheduler.ended > _AT_ONCE

    def _read_lone(self) -> bool:
        """Reads one datagram, and runs its receiver with it, past the mailbox, in which nothing waits. Returns False if
        there are more, or they have to take the ordinary way."""
        if not self._expects_one():
            if not self._backend.keeps:
                return False
            reads = min(self._reads, _LOOK_READS)
        else:
            reads = 1
        found = self._take_lone(reads)
        if found == 0:
            self._lone = 0
            return self._backend.waiting == 0
        return found > 0

    def _take_lone(self, reads: int) -> int:
        """As `_read_lone`, with up to `reads` reads. Returns 1 if it has handed over one; 0 if none, or several wait;
        -1 if they have to take the ordinary way."""
        scheduler = self._scheduler
        if scheduler.armed or not self.open or self.batch_out or self._leases is not None or self._matcher is not None:
            return -1
        if self._shaper is not None:
            return -1
        inlet = self._inlet
        receiver = inlet.lone_receiver()
        if receiver is None or self._reads == 0:
            return -1
        message = self._endpoint.receive_lone(self.id, reads)
        if message is None:
            return 0
        self._lone += 1
        receiver.fed = True
        counted = scheduler.taken = False
        try:
            self._count_lone(1)  # first, as its receiver may look at the counters
            counted = True
            scheduler.run_lone(receiver, inlet.sender, message)
        finally:
            if not scheduler.taken:  # its receiver has ended, or something failed: it takes the ordinary way
                self._received, self._octets = [message], -1
                if counted:
                    self._count_lone(-1)
        if self._received is not None:
            self.deliver()
        return 1

    def _read_many(self) -> None:
        """Reads and delivers, and runs the receivers, until nothing is left or the time is up: to read the socket again
        costs less than a turn of the event loop for the datagrams that came meanwhile. A read that had room for more
        is followed by another one only if that has brought something lately."""
        end, total, rounds, count = 0.0, 0, 0, 0
        while True:
            count = self._read_next() if count == 1 else self._read_and_run()
            if rounds:
                self._full_rounds = min(3, self._full_rounds + 1) if count else max(0, self._full_rounds - 1)
            if count == 0:
                break
            total += count
            rounds += 1
            if self._scheduler.armed or not self._backend.more:
                break
            if not self._backend.full and self._full_rounds < _PAYS:
                self._skipped += 1
                if self._skipped % 8:
                    break
            now = clock()
            if end == 0.0:
                end = now + self.wake_seconds
            elif now >= end:
                break
        self._lone = self._lone + 1 if total == 1 else 0

    def _read_and_run(self) -> int:
        """Reads as `receive` does, and runs the receiver. Returns how many datagrams were read."""
        count = self.receive()
        if count:
            self._scheduler.run_with(self)
        return count

    def _read_next(self) -> int:
        """As `_read_and_run`, after a read that brought one datagram: the next one is likely to come alone too, from a
        sender that is about as fast as the receiver."""
        found = self._take_lone(min(self._reads, _LOOK_READS)) if self._backend.keeps else -1
        return self._read_and_run() if found < 0 or self._backend.waiting else found

    def _failed(self, error: Exception) -> None:
        """Reads again after a moment, and delivers the datagrams that were read before the failure."""
        self._endpoint.failed(error)
        try:
            self._process.core.log_failure(
                self._process.log, "reading failed and continues: %s", safe_repr(error), fault=error
            )
        finally:
            if self._received is not None:
                self.deliver()

    def receive(self) -> int:
        """Reads as many datagrams as the receiver takes, a batch at most. Returns how many."""
        try:
            if self._matcher is not None:
                return self._receive_to_match(self._matcher)
            return self._receive()
        except OSError as error:
            self._endpoint.pause()
            self._gone(error)
            return 0

    def _receive(self) -> int:
        if not self.open:
            return 0
        if self._fair is not None:
            return self._receive_fairly(self._fair)
        inlet = self._inlet
        room = inlet.room()
        if self.batch_out or (room == 0 and (self._overflow == "pause" or inlet.waiting_for)):
            self.pauses += 1
            self._endpoint.pause()
            return 0
        if room == 0:
            return self._receive_too_many()
        before, self._octets = self._backend.bytes_in, 0
        if inlet.takes_batches():
            received: Any = self._endpoint.receive_batch(self._reads, self.id)
        elif self._leases is None or self._backend.waiting:  # `waiting`: datagrams read before there was a pool
            limit = min(room, RECEIVE_LIMIT)
            received = self._endpoint.receive(limit, self._reads_within(inlet), self.id, inlet.octets_left)
        else:
            received = self._receive_pooled(self._leases, min(room, self._reads_within(inlet)))
        self._received = received  # first: from here on the datagrams are delivered or counted, whatever fails
        self._octets = self._backend.bytes_in - before
        if self._shaper is not None:
            return self._shaped(received)
        return 0 if received is None else len(received)

    def _shaped(self, received: Any) -> int:
        """Adds the markers, and leaves out datagrams that are not fresh. Returns how many there were."""
        shaper: Any = self._shaper
        self._received = shaper.shape(received, self._octets, self._inlet)
        return 0 if received is None else len(received)

    def _receive_fairly(self, fair: Fairness) -> int:
        """Reads, also while the mailbox is full, and takes the datagrams whose turn it is. Returns how many were read
        or taken."""
        inlet, shaper, read = self._inlet, self._shaper, 0
        room = inlet.room()
        if inlet.waiting_for == "receiver":
            self.pauses += 1
            self._endpoint.pause()
            return 0
        if fair.retired is None:
            messages = self._endpoint.receive(RECEIVE_LIMIT, self._reads, self.id)
            read = len(messages)
            self.dropped += fair.add(messages)
            if shaper is not None:
                shaper.note_holes(shaper.take(read))
        elif not fair.waiting:
            self._fair = None
            self._shape_by(*fair.retired)
            self._endpoint.look_again()
            return 0
        taken, holes = fair.take(min(room, RECEIVE_LIMIT), inlet.octets_left)
        self._received, self._octets = taken, -1  # first: from here on they are delivered or counted, whatever fails
        if shaper is not None:
            self._received = shaper.weave_rest(taken, holes, 0, "unfair", inlet)
            shaper.charge(inlet)
        return max(read, len(taken))

    def _reads_within(self, inlet: Inlet) -> int:
        """Returns how many reads exceed the room in bytes by one datagram at most."""
        return min(self._reads, 1 + inlet.octets_left // LONGEST)

    def _receive_too_many(self) -> int:
        """Reads although the mailbox is full: drops datagrams that wait there, or those just read. Returns how many
        were read."""
        newest, batches = self._overflow == "drop_newest", self._inlet.takes_batches()
        if newest or batches or self._leases is None or self._backend.waiting:
            messages = self._endpoint.receive(RECEIVE_LIMIT, self._reads, self.id)
        else:
            messages = self._receive_pooled(self._leases, self._reads)
        self._received, self._octets = messages, 0  # first: from here on the messages are delivered, whatever fails
        read, went = len(messages), 0
        shaper = self._shaper
        holes: list[Hole] = [] if shaper is None else shaper.take(read)
        if shaper is not None and not batches:
            messages = self._received = shaper.absorb(messages, holes, self._inlet)
        count = surplus = len(messages)
        ear = self._endpoint.ear
        before = [] if ear is None else self._inlet.waiting()
        if not newest and not batches:
            drop = None if shaper is None else shaper.drop
            went, surplus = self._inlet.make_room(count, octets_of(messages), drop)
        # A receiver of batches has none of this server waiting, or nothing would be read: others filled its mailbox.
        try:
            self._drop(messages, went, surplus, newest)
        except MemoryError:
            self._drop(messages, went, surplus, newest)
        if ear is not None:
            tell_dropped(ear, before, self._inlet.waiting(), messages[:surplus], newest)
        if shaper is not None:
            cause = "receiver_full" if newest else "receiver_oldest"
            self._received = shaper.weave_rest(messages, holes, surplus, cause, self._inlet)
        return read

    def _receive_pooled(self, leases: BufferLeases, limit: int) -> list[MessageUDP]:
        messages: list[MessageUDP] = []
        lease: Lease | None = None
        ear = self._endpoint.ear
        received = self._endpoint.receive_pooled(limit, leases.get, leases.put)
        try:
            for buffer, length, addr, cut, info in received:
                lease = Lease(buffer, length, leases.put)
                messages.append(MessageUDP(self.id, addr, lease.view, cut, lease, info))
                if ear is not None:
                    ear.became(buffer, messages[-1])
        except MemoryError:
            lease = None
            rest = received[len(messages) :]
            self.dropped += len(rest)
            for buffer, *_ in rest:
                leases.put(buffer)
        return messages

    def _receive_to_match(self, matcher: Matcher) -> int:
        """Reads all datagrams while requests are open, otherwise as many as the receiver takes."""
        if not self.open:
            self._room = 0
        elif matcher.drops_rest:
            self._room = RECEIVE_LIMIT
        else:
            self._room = min(self._inlet.room(), 1 + self._inlet.octets_left // LONGEST)
        limit = RECEIVE_LIMIT if len(matcher) else min(self._room, RECEIVE_LIMIT)
        if limit == 0:
            self.pauses += self.open
            self._endpoint.pause()
            return 0
        received = self._received = self._endpoint.receive(limit, self._reads, self.id)
        return len(received)

    def deliver(self) -> bool:
        """Puts the received datagrams into the receiver's mailbox, and runs the receiver. Returns True if no process is
        runnable after that."""
        return self._scheduler.run_with(self)

    def _put_batch(self, batch: DatagramBatch | Woven) -> int:
        shaper = self._shaper
        if isinstance(batch, Woven):
            return 0 if shaper is None else shaper.put(batch, self._inlet)
        count = len(batch)
        sift = None if shaper is None or shaper.sift is None else self._sift
        entry = BatchEntry(batch, self._batch_ended, sift)
        self.batch_out = True  # from here on the end of the entry resets this
        losses = batch.losses
        put = self._inlet.put_entry(entry)
        if shaper is not None:
            shaper.batch_put(losses, self._inlet, put)
        return count if put else 0

    def _sift(self, batch: DatagramBatch) -> None:
        """Removes datagrams that are not fresh from a batch, maybe on the receiver's thread. If none is left, those
        that are missing are marked behind the batch, which is their place."""
        shaper = self._shaper
        if shaper is None or shaper.sift is None:
            return
        shaper.sift(batch)
        if not batch.count and batch.losses:
            self._process.on_loop(partial(shaper.batch_sifted, batch.losses, self._inlet))

    def _missed(self, count: int) -> None:
        if self._shaper is not None:
            self._shaper.note_now(count, "no_receiver")

    def _batch_ended(self) -> None:
        """Reads on after the receiver, on whatever thread, is done with the batch."""
        try:
            self._process.on_loop(self._read_on)
        except NodeTerminated:
            pass  # the node has stopped: nothing is read any more

    def _read_on(self) -> None:
        self.batch_out = False
        self.resume()

    def resume(self) -> None:
        """Starts or resumes reading: the receiver has room, or a request is open."""
        if self.open or self._awaits_replies():
            self._endpoint.resume()
            if self._shaper is not None:
                self._settle(self._shaper)

    def _awaits_replies(self) -> bool:
        return self._matcher is not None and len(self._matcher) > 0

    @property
    def deliverable(self) -> bool:
        """True while datagrams that were read still wait here and can be delivered."""
        waiting = self._backend.waiting + self.waiting
        return self.open and waiting > 0 and self.waiting_for() != "receiver"

    @property
    def waiting(self) -> int:
        """The number of datagrams that wait here for their turn (`fair`)."""
        return 0 if self._fair is None else self._fair.waiting

    def fair_facts(self) -> dict[str, Any]:
        """Returns the facts of an inspection about `fair`."""
        return {"fair_sources": 0, "unfair_sources": {}} if self._fair is None else self._fair.facts()

    def discard(self) -> None:
        """Drops the datagrams that wait here for their turn, as the socket is closed."""
        if self._fair is not None:
            self.fresh.left += self._fair.clear()

    def limit(self, reads: int) -> None:
        """Makes at most `reads` reads in one go from now on. 0: none, but datagrams read before are still delivered."""
        self._reads = reads
        self._endpoint.listen(reads > 0)

    def redirect(self, to: Target) -> None:
        """Reads for `to` from now on. Datagrams and batches at the former receiver stay there."""
        if self._freshness is not None and to != self._inlet.receiver:
            self._freshness.forget()
        self._inlet.redirect(to)
        self.resume()

    def drain(self) -> None:
        """Stops reading, except for open requests."""
        self.open = False
        if not self._awaits_replies():
            self._endpoint.pause()

    def close(self) -> None:
        """Stops reading, and does not wait for a receiver any more."""
        self.open = False
        self._inlet.close()

    @property
    def receiver(self) -> Target:
        """The address that datagrams go to."""
        return self._inlet.receiver

    @property
    def mark(self) -> int:
        """The number of messages waiting at the receiver at which reading pauses now."""
        return self._inlet.mark

    def waiting_for(self) -> str:
        """Returns why reading pauses: "mailbox" (full), "receiver" (there is none), "batch" (the last one has not
        ended); "" while reading continues."""
        if self._endpoint.reading:
            return ""
        return "batch" if self.batch_out else self._inlet.waiting_for
