"""The mailbox: four lanes, a limit, and callbacks that wait for it to drain.

Lanes are made when the first message for them comes: an empty deque is over 600 bytes, and most processes
never use more than one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from ...gen import MailboxInfo
from ...gen.copying import refuse_copy
from .lane import make_lane, put_back, take_all

LOG_LANE_LIMIT = 10_000
"""The most log records that wait for a log receiver; more are dropped and counted (`dropped_log`). Not measured: a
burst of a second at the rate at which a Python program can log."""

_number = count()
"""Orders drain callbacks with the same mark: the first to wait is called first."""

Entry = Any
"""An entry of a lane: the plain tuple (sender, message), or an envelope with a `handle` method."""


class Mailbox:
    """The lanes urgent, system, main and log, and the state that decides whether the short way of sending may be used.

    guarded: senders must use the long way: the main lane does not exist yet, or has a limit, or the receiver has
        `split_handle`.
    paused: the owner takes nothing from the main lane at present (a pool whose workers are all full).
    closed: the owner has ended for good: entries put from now on are dropped.
    scheduled: the owner is in the scheduler's queue, is running, or cannot run: a sender need not schedule it.
    dropped_newest, dropped_oldest: messages dropped because a lane was full, see `overflow`.
    outstanding: messages taken that still count as queued in the main lane, because the owner handles several at once
        (`node/processes/concurrent.py`). 0 for all other owners.
    drain_callbacks: a heap of (minus the low-water mark, number, callback), each called once when the main lane has
        drained to its mark. The first in the heap is due first.
    end_callbacks: each is called once when the owner has ended.
    """

    __slots__ = (
        "closed",
        "drain_callbacks",
        "dropped_log",
        "dropped_newest",
        "dropped_oldest",
        "end_callbacks",
        "guarded",
        "limit",
        "logs",
        "main",
        "outstanding",
        "paused",
        "scheduled",
        "split",
        "system",
        "urgent",
    )

    __reduce__ = refuse_copy

    def __init__(self, limit: int, split: bool) -> None:
        self.urgent: deque[Entry] | None = None
        self.system: deque[Entry] | None = None
        self.main: deque[Entry] | None = None
        self.logs: deque[Entry] | None = None
        self.limit = limit
        self.outstanding = 0
        self.split = split
        self.guarded = True
        self.paused = False
        self.scheduled = True
        self.drain_callbacks: list[tuple[int, int, Callable[[], None]]] | None = None
        self.end_callbacks: list[Callable[[], None]] | None = None
        self.closed = False
        self.dropped_log = self.dropped_newest = self.dropped_oldest = 0

    def put(self, entry: Entry, priority: int, limit: int = 0) -> bool:
        """Adds `entry` at the end of the lane of a `MessagePriority`. Returns False without adding it if `limit`
        entries (0: no limit) are queued there."""
        lane: deque[Entry] | None
        if priority == 0:
            lane = self.main
            if lane is None:
                lane = self.main_lane()
        elif priority == 1:
            lane = self.system
            if lane is None:
                lane = self._attached("system")
        else:
            lane = self.urgent
            if lane is None:
                lane = self._attached("urgent")
        if 0 < limit <= len(lane):
            return False
        lane.append(entry)
        if lane is not self.main:
            self.settle(lane)
        return True

    def _attached(self, name: str) -> deque[Entry]:
        """Returns the lane of that name, and creates it if needed. A closed mailbox does not keep the new lane.

        Creating a lane may run finalizers, and so may putting an entry into it: these may put something there too, and
        end the owner.
        """
        fresh = make_lane()
        lane: deque[Entry] | None = getattr(self, name)
        if lane is None:
            lane = fresh
            if not self.closed:
                setattr(self, name, lane)
        return lane

    def put_first(self, name: str, entries: list[Entry]) -> None:
        """Adds `entries` at the head of the lane of that name, in order."""
        lane = self.main_lane() if name == "main" else self._attached(name)
        lane.extendleft(reversed(entries))
        if lane is not getattr(self, name):
            self.drop(lane)

    def settle(self, lane: deque[Entry]) -> None:
        """Drops the entries of `lane`, as `discard` would have done, if the owner has ended meanwhile. Call it after
        putting something into a lane other than the main lane."""
        if lane is not self.main and lane is not self.system and lane is not self.urgent:
            self.drop(lane)

    def drop(self, lane: deque[Entry]) -> None:
        """Drops all entries of a lane."""
        lane.clear()

    def take_oldest(self, priority: int, may_go: Callable[[Entry], bool]) -> Entry | None:
        """Removes and returns the first entry of which `may_go` is true in the lane of a `MessagePriority`, or None if
        there is none."""
        lane = (self.main, self.system, self.urgent)[priority]
        kept: list[Entry] = []
        found = None
        try:
            while lane and found is None:
                kept.append(None)  # allocates the place before the entry is removed
                entry = kept[-1] = lane.popleft()
                if may_go(entry):
                    found = kept.pop()
        finally:
            for entry in reversed(kept):
                if entry is not None:
                    put_back(lane, entry)
        if lane is not None:
            self.settle(lane)
        return found

    def main_lane(self) -> deque[Entry]:
        """Returns the main lane, and creates it if needed."""
        lane = self.main
        if lane is None:
            lane = self._attached("main")
            if not self.closed:
                self.guarded = self.split or self.limit > 0
        return lane

    def put_log(self, entry: Entry) -> None:
        """Adds a log entry to the log lane, or drops and counts it."""
        lane = self.logs
        if lane is None:
            lane = self._attached("logs")
        if len(lane) >= LOG_LANE_LIMIT:
            self.dropped_log += 1
        else:
            lane.append(entry)

    @property
    def waiting(self) -> int:
        """The number of messages waiting in all lanes."""
        return sum(len(lane) for lane in (self.urgent, self.system, self.main, self.logs) if lane)

    @property
    def runnable(self) -> bool:
        """True if there is anything that the owner would take now."""
        return bool(self.urgent or self.system or (self.main and not self.paused) or self.logs)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once when the owner has ended."""
        fresh: list[Callable[[], None]] = []
        if self.end_callbacks is None:
            self.end_callbacks = fresh
        self.end_callbacks.append(callback)

    def when_drained(self, low: int, callback: Callable[[], None]) -> None:
        """Calls `callback` once when at most `low` messages wait in the main lane, or when the owner has ended."""
        waits = (-low, next(_number), callback)
        fresh: list[tuple[int, int, Callable[[], None]]] = []  # made first, as that may run a finalizer
        if self.drain_callbacks is None:
            self.drain_callbacks = fresh
        heappush(self.drain_callbacks, waits)

    def run_drain_callbacks(self) -> None:
        """Runs the callbacks whose mark is reached; the others cost nothing, however many they are. Raises the first
        exception of a callback, after all have run."""
        callbacks = self.drain_callbacks
        if callbacks is None:
            return
        waiting = (len(self.main) if self.main else 0) + self.outstanding
        due: list[Callable[[], None] | None] = []
        failure: BaseException | None = None
        try:
            while callbacks and waiting <= -callbacks[0][0]:
                due.append(None)  # allocates the place before the callback leaves the heap: then nothing may fail
                due[-1] = heappop(callbacks)[2]
        except MemoryError as error:
            failure = error  # callbacks still in the heap are called the next time
        if not callbacks and self.drain_callbacks is callbacks:
            self.drain_callbacks = None
        for callback in due:
            try:
                if callback is not None:
                    callback()
            except BaseException as error:
                if failure is None:
                    failure = error
        if failure is not None:
            raise failure

    def take_lanes(self) -> list[deque[Entry]]:
        """Removes and returns all lanes, also during a turn."""
        self.guarded = True
        taken = []
        for name in ("urgent", "system", "main", "logs"):
            lane = getattr(self, name)
            if lane is not None:
                setattr(self, name, None)  # first: the caller does not drop entries put from now on
                taken.append(take_all(lane))
        return taken

    def mailbox_info(self) -> MailboxInfo:
        """Returns how many messages wait in each lane."""
        return MailboxInfo(
            urgent=len(self.urgent or ()),
            system=len(self.system or ()),
            main=len(self.main or ()),
            log=len(self.logs or ()),
        )
