"""The mailbox of an activity: what others do with it, and what becomes of it when its owner ends."""

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
    """A mailbox whose owner is woken, pauses, and ends.

    hand: the entry whose callback waits for something, or has failed.
    id: the address of the owner. state: what it does.
    scheduler: the core's.
    timers: what is cancelled when it ends.
    """

    __slots__ = ("core", "hand", "id", "scheduler", "state", "timers")

    def __init__(self, core: Core, id: PID | Alias, limit: int, split: bool) -> None:
        super().__init__(limit, split)
        self.core = core
        self.scheduler: Any = core.scheduler  # which takes the activity that this is a part of
        self.id = id
        self.state = _INIT
        self.hand: Entry | None = None
        self.timers: set[Cancellable] | None = None

    @property
    def alive(self) -> bool:
        """False once no address leads here any more."""
        return self.state is not _ZOMBIE and self.state is not _TERMINATED

    def traps_exit(self, sender: PID) -> bool:
        """True if an exit signal from `sender` becomes a message here."""
        return False

    # --- pausing the main lane ----------------------------------------------------------------------------

    def pause(self) -> None:
        """Leaves the main lane alone until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Takes from the main lane again."""
        if self.paused:
            self.paused = False
            if self.main and not self.scheduled:
                self.scheduler.schedule(self)

    def put_back(self, entries: list[Entry]) -> None:
        """Puts `entries` at the head of the main lane, in order."""
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
        if self.closed:  # it was found alive; nobody else would call any more
            self.core.loop.call_soon(self._run_late)

    def _run_late(self) -> None:
        for callback in self._take_callbacks():
            self.core.attempt(callback)

    def _take_callbacks(self) -> list[Callable[[], None]]:
        """Takes out all callbacks that wait for it to drain or to end."""
        drained, ended = self.drain_callbacks, self.end_callbacks
        self.drain_callbacks = self.end_callbacks = None
        try:
            return _in_order(drained, ended)
        except MemoryError:  # nobody else would call them
            return _in_order(drained, ended)

    def put_runtime(self, entry: Entry, priority: int) -> None:
        """Puts what the runtime itself sends: it passes a full mailbox. Nothing happens if the activity has ended."""
        if self.alive:
            self.put(entry, priority)
            if not self.scheduled:
                self.scheduler.schedule(self)

    def put_exit(self, signal: Exit, priority: int = 2) -> None:
        """As `put_runtime`, of an exit signal. Who ends by it does so when those that work have had their turn: they
        may be many."""
        if self.alive:
            self.put(signal, priority)
            if self.scheduled:
                return
            try:
                ends = not self.traps_exit(signal.sender)
            except BaseException:
                ends = False  # an attribute of the program's; it raises in the process's own turn again
            if ends:
                self.scheduler.schedule_end(self)
            else:
                self.scheduler.schedule(self)

    def own(self, timer: Cancellable) -> None:
        """Cancels `timer` when the activity ends, unless it is discarded from `timers` before."""
        timers = self.timers or set()
        if self.timers is None:  # as it is now: to make a set may run a finalizer, which has made one
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
            self.core.calls.lost(entry.ref, owner)  # a caller that found it alive, and called after that

    def discard(self) -> Iterator[None]:
        """Drops all that waits, also from a turn that is going on, and counts the messages among it, step by step.
        Pooled buffers in them go back to their pool with the messages."""
        for lane in self.take_lanes():
            while lane:
                self._drop(lane.popleft())
                yield None

    def release(self) -> Iterator[object]:
        """Frees what an activity that has ended holds: timers, waiting messages, callbacks. Step by step, as there may
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
