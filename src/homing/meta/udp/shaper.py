"""Between the reading of datagrams and their delivery, on servers that ask for it: markers where datagrams are missing,
and only datagrams that are fresh."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any

from ...datagram import DatagramBatch, Endpoint, MessageUDP, MessageUDPLoss
from ...datagram.batch import mark
from ...node.mailbox.lane import put_back, sender_of
from .loss_entry import LossEntry

if TYPE_CHECKING:
    from ...datagram.backend.holes import Hole, Holes
    from ...gen import Alias
    from ...node.messaging.flow import Inlet
    from ...node.scheduling.activity import Activity
    from .freshness import Freshness
    from .shape import Shape


class Woven:
    """Datagrams on their way into a mailbox, with the markers between them. Its length is that of the datagrams.

    size: bytes of the datagrams. run: the markers behind the last datagram.
    """

    __slots__ = ("count", "entries", "run", "size")

    def __init__(self, entries: list[Any], count: int, size: int, run: list[LossEntry]) -> None:
        self.entries = entries
        self.count = count
        self.size = size
        self.run = run

    def __len__(self) -> int:
        return self.count


class Shaper:
    """Weaves the markers of one reader in, and leaves out datagrams that are not fresh.

    Rule 1: a marker is put where the hole is, also if the mailbox is full: between two datagrams there is one for each
    cause, so that markers are bounded as datagrams are.
    Rule 2: those behind the last datagram are the *run*. While nobody has looked at one, it grows.
    Rule 3: without a receiver they are pending, and come before the next datagram that is delivered.
    """

    __slots__ = ("_endpoint", "_fresh", "_holes", "_marks", "_pending", "_run", "_target", "id")

    def __init__(self, id: Alias, endpoint: Endpoint) -> None:
        self.id = id
        self._endpoint = endpoint
        self._marks = False
        self._holes: Holes | None = None
        self._fresh: Freshness | None = None
        self._pending: list[MessageUDPLoss] = []  # one for each cause
        self._run: list[LossEntry] = []
        self._target: Activity | None = None  # in whose mailbox the run waits

    def adjust(self, shape: Shape, fresh: Freshness | None) -> None:
        """Does as `shape` asks from now on. fresh: decides which datagrams are; None: all."""
        self._marks = shape.loss_markers
        self._holes = self._endpoint.note_holes(shape.loss_markers)
        self._fresh = fresh

    @property
    def unsettled(self) -> bool:
        """True if only another read shows whether datagrams were dropped behind the last one."""
        return self._holes is not None and self._holes.unsettled

    # --- noting -------------------------------------------------------------------------------------------

    def note(self, count: int, cause: str, since: int, until: int) -> None:
        """Notes a loss behind all datagrams that were delivered."""
        if not self._marks:
            return
        loss = MessageUDPLoss(count, cause, since, until, self.id)
        for entry in self._run:
            if entry.cause == cause and self._waits() and entry.grow(loss):
                return
        for index, pending in enumerate(self._pending):
            if pending.cause == cause:
                total = pending.count + count
                self._pending[index] = MessageUDPLoss(total, cause, min(pending.since, since), until, self.id)
                return
        self._pending.append(loss)

    def note_now(self, count: int, cause: str) -> None:
        """As `note`, for a loss of this moment."""
        if count:
            now = time_ns()
            self.note(count, cause, now, now)

    def note_holes(self, holes: list[Hole]) -> None:
        """Notes losses behind all datagrams that were delivered."""
        for hole in holes:
            self.note(hole.missing, hole.cause, hole.since, hole.until)

    def take(self, count: int) -> list[Hole]:
        """Returns the holes of the next `count` datagrams, which were read just now."""
        return [] if self._holes is None else self._holes.take(count)

    def _waits(self) -> bool:
        return self._target is not None and self._target.alive and bool(self._target.main)

    # --- weaving ------------------------------------------------------------------------------------------

    def shape(self, received: Any, size: int, inlet: Inlet) -> Any:
        """Returns the messages, or the batch, to deliver in the place of `received`. size: bytes of all payloads.
        Markers behind which no datagram comes now are put at once."""
        holes = self.take(0 if received is None else len(received))
        if not received:
            self.note_holes(holes)
            self.flush(inlet)
        elif type(received) is list:
            woven = self.weave(received, holes, size)
            self.charge(inlet)
            return self._with_datagrams(woven, inlet)
        else:
            self._mark_batch(received, holes)
        return received

    def weave(self, messages: list[MessageUDP], holes: list[Hole], size: int) -> Any:
        """Returns `messages`, woven if there are markers."""
        fresh = self._fresh
        if not holes and not self._pending and fresh is None:
            self._run = []
            return messages
        moment = (0, 0.0) if fresh is None else fresh.moment()
        entries: list[Any] = self._leading(holes)
        run, count, left = list(entries), 0, size
        for index, message in enumerate(messages):
            if index:
                self._extend(entries, run, holes, index)
            length = len(message.data)  # first: the buffer of one that is too old goes back to its pool
            entry = message if fresh is None else fresh.entry(message, moment)
            if isinstance(entry, str):
                left -= length
                if entry == "expired":
                    self._expire(entries, run)
            else:
                entries.append(entry)
                run = []
                count += 1
        self._extend(entries, run, holes, len(messages))
        return Woven(entries, count, left, run)

    def _extend(self, entries: list[Any], run: list[LossEntry], holes: list[Hole], place: int) -> None:
        """Adds the markers for the holes at `place`; run: the markers behind the last datagram in `entries`."""
        for hole in holes:
            if hole.place == place:
                self._append(entries, run, self._loss(hole))

    def _append(self, entries: list[Any], run: list[LossEntry], loss: MessageUDPLoss) -> None:
        for entry in run:
            if entry.cause == loss.cause and entry.grow(loss):
                return
        entry = LossEntry(loss)
        run.append(entry)
        entries.append(entry)

    def _expire(self, entries: list[Any], run: list[LossEntry]) -> None:
        if self._marks:
            now = time_ns()
            self._append(entries, run, MessageUDPLoss(1, "expired", now, now, self.id))

    def absorb(self, messages: list[MessageUDP], holes: list[Hole], inlet: Inlet) -> list[MessageUDP]:
        """Returns those of `messages`, for which the mailbox has no room, that take the place of none that waits there.
        Adapts `holes`."""
        fresh = self._fresh
        if fresh is None:
            return messages
        moment, rest = fresh.moment(), []
        places = [0]
        for message in messages:
            if not fresh.absorbs(message, moment):
                rest.append(message)
            places.append(len(rest))
        holes[:] = [hole._replace(place=places[hole.place]) for hole in holes]
        self.charge(inlet)
        return rest

    def charge(self, inlet: Inlet) -> None:
        """Counts the bytes by which waiting datagrams have become longer."""
        fresh = self._fresh
        if fresh is not None and fresh.grown:
            inlet.charge(fresh.grown)
            fresh.grown = 0

    def weave_rest(self, messages: list[MessageUDP], holes: list[Hole], surplus: int, cause: str, inlet: Inlet) -> Any:
        """Returns the rest of `messages`, of which the first `surplus` were dropped for `cause`, woven."""
        self.note_holes([hole for hole in holes if hole.place <= surplus])
        self.note_now(surplus, cause)
        rest = messages[surplus:]
        if not rest:
            self.flush(inlet)
            return rest
        behind = [hole._replace(place=hole.place - surplus) for hole in holes if hole.place > surplus]
        woven = self.weave(rest, behind, sum(len(message.data) for message in rest))
        self.charge(inlet)
        return self._with_datagrams(woven, inlet)

    def _with_datagrams(self, woven: Any, inlet: Inlet) -> Any:
        """Returns `woven`. If no datagram is left in it, puts the markers at once."""
        if isinstance(woven, Woven) and not woven.count:
            self.put(woven, inlet)
            return []
        return woven

    def _leading(self, holes: list[Hole]) -> list[LossEntry]:
        """Returns the markers for the holes before the next datagram, as far as those of the run do not grow."""
        self.note_holes([hole for hole in holes if hole.place == 0])
        pending, self._pending = self._pending, []
        self._run = []
        return [LossEntry(loss) for loss in pending]

    def _loss(self, hole: Hole) -> MessageUDPLoss:
        return MessageUDPLoss(hole.missing, hole.cause, hole.since, hole.until, self.id)

    def _mark_batch(self, batch: DatagramBatch, holes: list[Hole]) -> None:
        """Gives a batch the holes before and between its datagrams; those behind them follow it."""
        before = [(0, entry.message) for entry in self._leading(holes)]
        count = len(batch)
        mark(batch, (*before, *((hole.place, self._loss(hole)) for hole in holes if 0 < hole.place < count)))
        self.note_holes([hole for hole in holes if hole.place == count])

    # --- delivering ---------------------------------------------------------------------------------------

    def put(self, woven: Woven, inlet: Inlet) -> int:
        """Puts datagrams and markers into the mailbox. Returns how many of the datagrams: all, or none."""
        if not woven.entries:
            return 0
        target = inlet.put_entries(woven.entries, woven.count, woven.size)
        if target is not None:
            self._run, self._target = woven.run, target
            return woven.count
        for entry in woven.entries:
            if type(entry) is LossEntry:
                loss = entry.message
                self.note(loss.count, loss.cause, loss.since, loss.until)
        return 0

    def batch_put(self, losses: Sequence[tuple[int, MessageUDPLoss]], inlet: Inlet, put: bool) -> None:
        """Called when a batch with these `losses` was put into the mailbox, or found no receiver: then they wait for
        the next."""
        if put:
            self.flush(inlet)
        else:
            self._note_all(losses)

    def batch_sifted(self, losses: Sequence[tuple[int, MessageUDPLoss]], inlet: Inlet) -> None:
        """Called when no datagram of a batch with these `losses` was left for its receiver."""
        self._note_all(losses)
        self.flush(inlet)

    def _note_all(self, losses: Sequence[tuple[int, MessageUDPLoss]]) -> None:
        for _, loss in losses:
            self.note(loss.count, loss.cause, loss.since, loss.until)

    @property
    def sift(self) -> Callable[[DatagramBatch], None] | None:
        """Removes datagrams from a batch whose turn has come; None: all are fresh."""
        return None if self._fresh is None else self._fresh.sift

    def flush(self, inlet: Inlet) -> None:
        """Puts the pending markers into the mailbox, if there is a receiver: no datagram is to wait behind them."""
        if not self._pending or inlet.waiting_for == "receiver":
            return
        entries = [LossEntry(loss) for loss in self._pending]
        target = inlet.put_entries(entries, 0, 0)
        if target is not None:
            self._pending = []
            waiting = [entry for entry in self._run if not entry.sealed] if target is self._target else []
            self._run = waiting + entries
            self._target = target

    # --- dropping the oldest ------------------------------------------------------------------------------

    @property
    def drop(self) -> Callable[[deque[Any], Any, int, int, int], int] | None:
        """`drop_oldest`, if markers are asked for."""
        return self.drop_oldest if self._marks else None

    def drop_oldest(self, lane: deque[Any], sender: Any, count: int, depth: int, parked: int) -> int:
        """As `lane.drop_oldest`, and leaves one marker for each cause in the place of the datagrams and of the markers
        among them. parked: datagrams that were dropped before. Returns the number of datagrams."""
        others: list[Any] = []
        run: list[LossEntry] = []
        dropped = looked = 0
        now = time_ns()
        if parked:
            run.append(LossEntry(MessageUDPLoss(parked, "receiver_oldest", now, now, self.id)))
        while lane and looked < depth and dropped < count:
            entry = lane.popleft()
            if type(entry) is LossEntry and entry.origin is sender:
                self._join(run, entry)
                continue
            looked += 1
            if sender_of(entry) is sender:
                dropped += 1
                self._join(run, LossEntry(MessageUDPLoss(1, "receiver_oldest", now, now, self.id)))
            else:
                others.append(entry)
        while lane:
            entry = lane.popleft()
            if type(entry) is not LossEntry or entry.origin is not sender:
                put_back(lane, entry)
                break
            self._join(run, entry)
        if dropped < count:
            self._run = run  # nothing of this source is left behind it
        for entry in run:
            entry.sender = sender
        for entry in reversed(others + run):
            put_back(lane, entry)
        return dropped

    def _join(self, run: list[LossEntry], entry: LossEntry) -> None:
        for other in run:
            if other.cause == entry.cause and other.grow(entry.message):
                self._run = [other if one is entry else one for one in self._run]
                return
        run.append(entry)
