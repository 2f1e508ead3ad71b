"""The mailbox of an activity: how others use it, and what happens to its entries when its owner ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, ProcessState
from ..mailbox.envelope import Exit, Inspection, Request, is_message
from ..mailbox.lane import take_all
from ..mailbox.mailbox import Entry, Mailbox

if TYPE_CHECKING:
    from ..core import Core
    from ..messaging.timers import Cancellable

_INIT, _ZOMBIE, _TERMINATED = ProcessState.INIT, ProcessState.ZOMBIE, ProcessState.TERMINATED


def _in_order(
    drained: list[tuple[int, int, Callable[[], None]]] | None, ended: list[Callable[[], None]] | None
) -> list[Callable[[], None]]:
    return [callback for _, _, callback in sorted(drained or ())] + (ended or [])


class OwnedMailbox(Mailbox):
    """A mailbox whose owner is scheduled, pauses, and ends.

    hand: the entry whose callback is waiting for something, or has failed.
    id: the address of the owner. state: the owner's state.
    scheduler: the core's.
    timers: timers and tasks that are cancelled when the owner ends.
    """

    __slots__ = ("core", "hand", "id", "scheduler", "state", "timers")

    def __init__(self, core: Core, id: PID | Alias, limit: int, split: bool) -> None:
        super().__init__(limit, split)
        self.core = core
        self.scheduler: Any = core.scheduler  # `Any`: its methods take an activity, which this is a part of
        self.id = id
        self.state = _INIT
        self.hand: Entry | None = None
        self.timers: set[Cancellable] | None = None

    @property
    def alive(self) -> bool:
        """False once no address leads here any more."""
        return self.state is not _ZOMBIE and self.state is not _TERMINATED

    @property
    def in_flight(self) -> int:
        """Number of messages whose asynchronous callbacks have begun and not returned."""
        return int(self.hand is not None)

    def drop_parked(self, sender: Any, count: int) -> int:
        """Drops the oldest of the messages from `sender` that have left the main lane and have not begun: at most
        `count`. Returns how many."""
        return 0

    def traps_exit(self, sender: PID) -> bool:
        """Returns True if an exit signal from `sender` becomes a message here."""
        return False

    # --- pausing the main lane ----------------------------------------------------------------------------

    def pause(self) -> None:
        """Stops taking from the main lane until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Takes from the main lane again."""
        if self.paused:
            self.paused = False
            if self.main and not self.scheduled:
                self.scheduler.schedule(self)

    def put_back(self, entries: list[Entry]) -> None:
        """Adds `entries` at the head of the main lane, in order."""
        self.put_first("main", entries)
        self.paused = False
        if not self.scheduled:
            self.scheduler.schedule(self)

    def when_drained(self, low: int, callback: Callable[[], None]) -> None:
        super().when_drained(low, callback)
        self._call_late()

    def when_ended(self, callback: Callable[[], None]) -> None:
        super().when_ended(callback)
        self._call_late()

    def _call_late(self) -> None:
        if self.closed:  # the owner ended after the caller had found it alive: nothing else would run the callback
            self.core.loop.call_soon(self._run_late)

    def _run_late(self) -> None:
        for callback in self._take_callbacks():
            self.core.attempt(callback)

    def _take_callbacks(self) -> list[Callable[[], None]]:
        """Removes and returns all callbacks that wait for the mailbox to drain or for its owner to end."""
        drained, ended = self.drain_callbacks, self.end_callbacks
        self.drain_callbacks = self.end_callbacks = None
        try:
            return _in_order(drained, ended)
        except MemoryError:  # nothing else would run them
            return _in_order(drained, ended)

    def put_runtime(self, entry: Entry, priority: int) -> None:
        """Adds an entry of the runtime itself, even if the mailbox is full. Does nothing if the activity has ended."""
        if self.alive:
            self.put(entry, priority)
            if not self.scheduled:
                self.scheduler.schedule(self)

    def put_exit(self, signal: Exit, priority: int = 2) -> None:
        """Like `put_runtime`, for an exit signal. A process that ends by it does so after the processes at work have
        had their turns, as thousands may end at once."""
        if self.alive:
            self.put(signal, priority)
            if self.scheduled:
                return
            try:
                ends = not self.traps_exit(signal.sender)
            except BaseException:
                ends = False  # `trap_exit` is the program's own code; it raises again in the process's own turn
            if ends:
                self.scheduler.schedule_end(self)
            else:
                self.scheduler.schedule(self)

    def own(self, timer: Cancellable) -> None:
        """Cancels `timer` when the activity ends, unless it is discarded from `timers` before."""
        timers = self.timers or set()
        if self.timers is None:  # read again, as making the set may have run a finalizer that has made one
            self.timers = timers
        self.timers.add(timer)

    def drop(self, lane: deque[Entry]) -> None:
        taken = take_all(lane)
        while taken:
            self._drop(taken.popleft())

    def _drop(self, entry: Entry) -> None:
        self.core.discarded += is_message(entry)
        if self.closed and isinstance(entry, (Request, Inspection)):
            owner: Any = self
            self.core.calls.lost(entry.ref, owner)  # the caller found the owner alive before that ended

    def discard(self) -> Iterator[None]:
        """Drops all entries, also during a turn, and counts the messages among them, step by step. Pooled buffers of
        the messages go back to their pool."""
        for lane in self.take_lanes():
            while lane:
                self._drop(lane.popleft())
                yield None

    def release(self) -> Iterator[object]:
        """Frees everything that an ended activity holds: timers, queued messages, callbacks. Step by step, as there may
        be many."""
        self.closed = True
        self.hand = None
        attempt = self.core.attempt
        yield from self.core.attempt_steps(self.discard)
        while self.timers:
            attempt(self.timers.pop().cancel)
            yield None
        for callback in self._take_callbacks():
            attempt(callback)
            yield None
