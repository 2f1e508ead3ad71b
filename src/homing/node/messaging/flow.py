"""Flow control: a source (a socket) puts messages in bulk into a mailbox, and waits while that is full.

The receiver is looked up again for each batch, so it may end and come back under the same name meanwhile. While there
is no receiver, or its main lane is at the high-water mark, the source waits; it is called when there is room again. A
source with another `overflow` than "pause" does not wait for room, and drops messages instead.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeGuard

from ...gen import PID, Alias, ProcessID, ProcessState, Target
from ...gen.behavior import takes_batches
from ...gen.copying import refuse_copy
from ..mailbox.envelope import SplitMessage
from ..mailbox.lane import COMPILED, STAND_INS, drop_oldest, sender_of
from .delivery import split_address

if TYPE_CHECKING:
    from ..core import Core
    from ..scheduling.activity import Activity

    filled: Callable[[deque[Any] | None], TypeGuard[deque[Any]]]

if not COMPILED:
    globals().update(STAND_INS)

_ZOMBIE, _TERMINATED = ProcessState.ZOMBIE, ProcessState.TERMINATED

_PATIENCE = 1.0
"""Seconds without a receiver after which that is logged: a restart takes much less."""

_REMINDER = 60.0
"""Seconds after which it is logged again, as long as there is no receiver."""


class Inlet:
    """The path of one source into one receiver's mailbox.

    ready: called once after `room()` returned 0, when it may be above 0 again.
    sender: the address that messages come from.
    waiting_for: the reason why the source waits: "receiver" (there is none), "mailbox" (it is full), or "".
    octets_left: bytes for which there was room at the last `room()`.
    most_bytes: the most bytes from this source that may wait at the receiver; one message more may exceed that.
    overflow: "pause": the source waits while the mailbox is full. Otherwise it does not: meanwhile `room` is 0, and
        `waiting_for` is empty.
    """

    __slots__ = (
        "_batches",
        "_bytes",
        "_core",
        "_counted",
        "_high",
        "_kind",
        "_low",
        "_marks",
        "_most_bytes",
        "_owner",
        "_ready",
        "_resume",
        "_takes_batches",
        "_target",
        "_to",
        "_waited",
        "_waits",
        "octets_left",
        "sender",
        "waiting_for",
    )

    __reduce__ = refuse_copy

    def __init__(
        self,
        core: Core,
        owner: Activity,
        to: Target,
        high: int,
        low: int,
        ready: Callable[[], None],
        overflow: str = "pause",
        most_bytes: int = 0,
    ) -> None:
        self._core = core
        self._owner = owner
        self._to = to.name if isinstance(to, ProcessID) and to.node == core.name else to
        self._target: Activity | None = None  # the last receiver, if the address is its PID
        self._high = high
        self._low = low
        self._ready = ready
        self._most_bytes = most_bytes
        self.octets_left = sys.maxsize
        self._batches: deque[tuple[int, int]] = deque()
        self._bytes = self._counted = 0
        self._waits = overflow == "pause"
        self._marks = overflow == "drop_oldest"
        self.sender: PID | Alias = owner.sender
        self._mark_sender()
        self._kind: type[object] | None = None
        self._takes_batches = False
        self.waiting_for = ""
        self._resume: Callable[[], None] = _nothing
        self._waited: tuple[str, Activity | None, int] | None = None

    @property
    def receiver(self) -> Target:
        """The address that messages go to."""
        return self._to

    @property
    def owner(self) -> Activity:
        """The meta-process whose messages come through here."""
        return self._owner

    def become(self, kind: type[Inlet]) -> Inlet:
        """Returns an inlet of the class `kind`, which takes the place of this one: with its receiver, its limits, the
        account of what waits there, and its wait, if it waits."""
        other = kind.__new__(kind)
        other._core, other._owner, other._to, other._target = self._core, self._owner, self._to, self._target
        other._high, other._low, other._most_bytes = self._high, self._low, self._most_bytes
        other._batches, other._bytes, other._counted = self._batches, self._bytes, self._counted
        other._waits, other._marks, other.sender = self._waits, self._marks, self.sender
        other._kind, other._takes_batches = self._kind, self._takes_batches
        other._ready, other._resume = self._ready, _nothing
        other.octets_left, other.waiting_for = self.octets_left, ""
        waited = other._waited = self._waited if self.waiting_for else None
        self.close()
        if waited is not None:
            other._wait(*waited)
        return other

    def _find(self) -> Activity | None:
        """Returns the receiver. A PID belongs to one process; a name or an alias may move to another one."""
        target = self._target
        if target is not None and target.state is not _ZOMBIE and target.state is not _TERMINATED:
            return target
        target = self._owner.routes.get(self._to)
        self._target = target if type(self._to) is PID else None
        return target

    def lone_receiver(self) -> Activity | None:
        """Returns the receiver if it sleeps, nothing waits there, and it takes messages one by one: then
        `Scheduler.run_lone` can give it one that does not go through its mailbox."""
        if self.waiting_for:
            return None
        target = self._find()
        if (
            target is None
            or target.scheduled
            or target.paused
            or target.forwards
            or target.split
            or filled(target.main)
            or target.outstanding
            or self._are_batches_for(target)
        ):
            return None
        return target

    def room(self) -> int:
        """Returns how many messages the receiver accepts now. After 0, `ready` is called if the source waits."""
        if self.waiting_for:
            return 0
        target = self._find()
        if target is None:
            self._wait("receiver", None, 0)
            return 0
        high = min(self._high, target.limit) if target.limit else self._high
        waiting = (len(target.main) if filled(target.main) else 0) + target.outstanding
        room = high - waiting
        low = min(self._low, high - 1)
        if self._most_bytes:
            if self._counted:
                self._forget_taken(waiting)
            self.octets_left = max(0, self._most_bytes - self._bytes)
            if self.octets_left == 0:
                room, low = 0, min(low, self._count_of(self._most_bytes // 4))
        else:
            self.octets_left = sys.maxsize
        if room > 0:
            return room
        if self._waits:
            self._wait("mailbox", target, low)
        return 0

    def _forget_taken(self, waiting: int) -> None:
        """Forgets the batches that the receiver has taken: it takes the oldest messages first; `waiting` remain."""
        batches = self._batches
        if waiting == 0:
            batches.clear()
        while batches and self._counted - batches[0][0] >= waiting:
            count, octets = batches.popleft()
            self._counted -= count
            self._bytes -= octets
        if not batches:
            self._counted = self._bytes = 0

    def _excess_of_bytes(self, octets: int) -> int:
        """Returns how many of the oldest messages, in whole batches, must be dropped for `octets` more bytes."""
        excess, found = self._bytes + octets - self._most_bytes if self._most_bytes else 0, 0
        for count, size in self._batches:
            if excess <= 0:
                break
            excess -= size
            found += count
        return found

    def _forget_oldest(self, count: int) -> None:
        """Forgets the oldest `count` messages, which were dropped. Without memory, `_forget_taken` does it later."""
        batches = self._batches
        while count > 0 and batches:
            there, octets = batches[0]
            gone = min(there, count)
            size = octets * gone // there
            if gone < there:
                try:
                    batches[0] = (there - gone, octets - size)
                except MemoryError:
                    return
            else:
                batches.popleft()
            count -= gone
            self._counted -= gone
            self._bytes -= size

    def _count_of(self, octets: int) -> int:
        """Returns how many of the last messages, in whole batches, have at most `octets` bytes in total."""
        found = 0
        for count, size in reversed(self._batches):
            octets -= size
            if octets < 0:
                break
            found += count
        return found

    def make_room(self, count: int, octets: int = 0) -> tuple[int, int]:
        """Makes room for `count` messages of `octets` bytes in total: drops the oldest queued messages of this source,
        and of no other. Returns how many were dropped, and how many of the `count` still find no room."""
        target = self._find()
        if target is None or target.main is None:
            return 0, 0
        high = min(self._high, target.limit) if target.limit else self._high
        queued = len(target.main) + target.outstanding
        excess = max(queued + count - high, self._excess_of_bytes(octets))
        if excess <= 0:
            return 0, 0
        lane = target.main
        went = target.drop_parked(self.sender, excess) if target.outstanding else 0
        went += drop_oldest(lane, self.sender, excess - went, high)
        self._forget_oldest(went)
        try:
            target.settle(lane)
            if went and target.paused:
                target.resume()  # a pool may have paused because of the first of them
        except MemoryError:
            pass  # the dropped messages must be counted; the next message put into this mailbox schedules its owner
        return went, max(0, min(count, excess - went))

    def waiting(self) -> list[Any]:
        """Returns the messages of this source that wait in the receiver's main lane. Costs as much as they are many."""
        target = self._find()
        entries = () if target is None or target.main is None else target.main
        return [
            entry[1] if type(entry) is tuple else getattr(entry, "message", entry)
            for entry in entries
            if sender_of(entry) is self.sender
        ]

    def _mark_sender(self) -> None:
        """Copies the sender's address for "drop_oldest", so that `make_room` can tell the messages of this source from
        others of its owner by the identity of the object."""
        if self._marks:
            self.sender = type(self.sender)(*self.sender)

    def put(self, messages: list[Any], octets: int = 0, longest: int = 0) -> int:
        """Puts `messages`, at most `room()` many, of `octets` bytes in total, the longest of `longest` bytes, into the
        receiver's mailbox. Returns how many were put: all; 0 if the receiver has ended since; fewer if there was no
        memory for the others."""
        target = self._find()
        if target is None:
            return 0
        taken = 0
        if target.forwards and not (target.scheduled or target.paused or filled(target.main)):
            forwarder = target.forwarder
            if forwarder is not None and forwarder.takes_now:
                taken = forwarder.take_now(messages)
        if taken:
            self._owner.messages_out += taken
            if taken == len(messages):
                return taken
            octets = octets * (len(messages) - taken) // len(messages)
            messages = messages[taken:]
        sender = self.sender
        address = split_address(target, self._to)
        entries = None if address is None else [SplitMessage(address, sender, message) for message in messages]
        lane = target.main_lane()
        count = len(messages)
        if octets:  # first: once the messages are in the lane, nothing may fail
            self._batches.append((count, octets))
            self._counted += count
            self._bytes += octets
        before = len(lane)
        try:
            if entries is not None:
                lane.extend(entries)
            elif COMPILED:
                lane.extend_from(sender, messages)  # type: ignore[attr-defined]
            else:
                lane.extend(zip(repeat(sender), messages))
        except MemoryError:  # returns how many are in the lane
            count = max(0, min(count, len(lane) - before))
        if lane is not target.main:
            target.settle(lane)
        target.fed = True
        if longest > target.longest:
            target.longest = longest
        self._owner.messages_out += count
        if not target.scheduled:
            scheduler = target.scheduler
            scheduler.schedule(target)
        return taken + count

    def count(self, number: int) -> None:
        """Counts `number` more messages as sent to the receiver."""
        self._owner.messages_out += number

    def hands_on(self) -> bool:
        """Returns True if the receiver forwards its messages, as a pool does."""
        target = self._find()
        return target is not None and target.forwards

    def takes_batches(self) -> bool:
        """Returns True if the receiver's class defines `handle_datagrams`."""
        target = self._find()
        return target is not None and self._are_batches_for(target)

    def _are_batches_for(self, target: Activity) -> bool:
        kind = type(target.behavior)
        if kind is not self._kind:
            self._takes_batches = takes_batches(kind)
            self._kind = kind  # last, as looking may fail for lack of memory
        return self._takes_batches

    def put_entry(self, entry: Any) -> bool:
        """Puts one entry with a `handle` method into the receiver's mailbox. Returns False if there is no receiver."""
        target = self._find()
        if target is None:
            return False
        target.put(entry, 0)
        target.fed = True
        self._owner.messages_out += 1
        if not target.scheduled:
            self._core.scheduler.schedule(target)
        return True

    def redirect(self, to: Target) -> None:
        """Changes the receiver to `to`. The source does not wait for the previous receiver any more."""
        self._stop_waiting()
        self._target = None
        if to != self._to:
            self._batches.clear()
            self._bytes = self._counted = 0
        self._to = to

    def adjust(self, high: int, low: int, overflow: str, most_bytes: int = 0) -> None:
        """Changes the limits and `overflow`. `make_room` does not find messages put before "drop_oldest" was set."""
        self._stop_waiting()
        self._high = high
        self._low = low
        self._most_bytes = most_bytes
        self._waits = overflow == "pause"
        marked, self._marks = self._marks, overflow == "drop_oldest"
        if not marked:
            self._mark_sender()

    def close(self) -> None:
        """Ends any wait. `ready` is not called any more."""
        self._stop_waiting()
        self._ready = _nothing

    def _wait(self, what: str, target: Activity | None, low: int) -> None:
        """Waits for room in the mailbox of `target`, or for a (different) process to register the name.

        A PID or an alias never comes back: then the source waits until it is stopped.
        """

        def resume() -> None:
            if self._resume is resume:  # otherwise this is an old wait, of a mailbox that has lost the name since
                self._stop_waiting()
                try:
                    self._ready()
                except MemoryError:  # nothing else would call it again
                    self._ready()

        self.waiting_for = what
        self._waited = what, target, low
        self._target = None
        self._resume = resume
        try:
            if target is not None:
                target.when_drained(low, resume)
            if isinstance(self._to, str):
                self._core.registry.when_registered(self._to, resume)
            if self._may_go_on(target, low):
                self._core.loop.call_soon(resume)
            if what == "receiver":
                self._core.loop.call_later(_PATIENCE, self._warn_of_absence, resume)
        except MemoryError:
            self._stop_waiting()  # `ready` might never be called; the caller of `room` has to try again
            raise

    def _may_go_on(self, target: Activity | None, low: int) -> bool:
        """Returns True if the wait is over before it was registered: the allocations meanwhile may have run a finalizer
        that has ended the receiver, or registered another."""
        if self._owner.routes.get(self._to) is not target:
            return True
        return target is not None and (len(target.main) if target.main else 0) + target.outstanding <= low

    def _warn_of_absence(self, resume: Callable[[], None]) -> None:
        """Logs that there is no receiver, if that has not changed since the wait began, and again later."""
        if self._resume is not resume:
            return
        core, to = self._core, self._to
        text = "%s reads nothing: %s %s, to which it delivers; messages wait at their source%s"
        what, hint = "there is no longer a process or alias", ""
        if isinstance(to, str):
            what, hint = "no process has the name", f" ({core.registry.names_like(to)})"
        core.limited_log.warning(core.loop.time(), f"absent {to}", text, self._owner.title, what, to, hint)
        core.loop.call_later(_REMINDER, self._warn_of_absence, resume)

    def _stop_waiting(self) -> None:
        if isinstance(self._to, str):
            self._core.registry.forget_waiter(self._to, self._resume)
        self._resume = _nothing
        self._waited = None
        self.waiting_for = ""


def _nothing() -> None:
    """The `ready` of a closed inlet: does nothing."""
