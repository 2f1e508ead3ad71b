"""The mailbox: four lanes, a limit, and those who wait for it to drain.

Lanes are made when the first message for them comes: an empty deque is over 600 bytes, and most processes
never use more than one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ...gen import MailboxInfo
from .lane import make_lane

LOG_LANE_LIMIT = 10_000
"""Log records that wait for a log receiver at most; more are dropped and counted (`dropped_log`). Not measured:
a burst of a second at the rate at which a Python program can log."""

Entry = Any
"""What lies in a lane: the plain tuple (sender, message), or an envelope with a `handle` method."""


class Mailbox:
    """Lanes urgent, system, main and log, and what decides whether the short way of sending may be taken.

    guarded: the sender must take the long way: the main lane is not there yet, or has a limit, or the receiver
        tells names and aliases apart.
    paused: the owner takes nothing from the main lane now (a pool whose workers are all full).
    scheduled: the owner is in the scheduler's queue, is running, or cannot run: nobody has to wake it.
    dropped_newest, dropped_oldest: messages dropped because a lane was full, see `overflow`.
    drain_callbacks: (low water mark, callback) pairs, each called once when the main lane has drained to its mark.
    """

    __slots__ = (
        "drain_callbacks",
        "dropped_log",
        "dropped_newest",
        "dropped_oldest",
        "guarded",
        "limit",
        "logs",
        "main",
        "paused",
        "scheduled",
        "split",
        "system",
        "urgent",
    )

    def __init__(self, limit: int, split: bool) -> None:
        self.urgent: deque[Entry] | None = None
        self.system: deque[Entry] | None = None
        self.main: deque[Entry] | None = None
        self.logs: deque[Entry] | None = None
        self.limit = limit
        self.split = split
        self.guarded = True
        self.paused = False
        self.scheduled = True
        self.drain_callbacks: list[tuple[int, Callable[[], None]]] | None = None
        self.dropped_log = self.dropped_newest = self.dropped_oldest = 0

    def put(self, entry: Entry, priority: int, limit: int = 0) -> bool:
        """Puts `entry` at the end of the lane of a `MessagePriority`. False, and nothing put, if `limit` (0: none)
        are waiting there."""
        lane: deque[Entry] | None
        if priority == 0:
            lane = self.main or self.main_lane()
        elif priority == 1:
            lane = self.system
            if lane is None:
                lane = self.system = make_lane()
        else:
            lane = self.urgent
            if lane is None:
                lane = self.urgent = make_lane()
        if 0 < limit <= len(lane):
            return False
        lane.append(entry)
        return True

    def take_oldest(self, priority: int, may_go: Callable[[Entry], bool]) -> Entry | None:
        """Takes the first entry of which `may_go` is true out of the lane of a `MessagePriority`. None: there is
        none."""
        lane = (self.main, self.system, self.urgent)[priority]
        kept: list[Entry] = []
        found = None
        while lane and found is None:
            entry = lane.popleft()
            if may_go(entry):
                found = entry
            else:
                kept.append(entry)
        if lane is not None:
            lane.extendleft(reversed(kept))
        return found

    def main_lane(self) -> deque[Entry]:
        """The main lane, made if there is none yet."""
        if self.main is None:
            self.main = make_lane()
            self.guarded = self.split or self.limit > 0
        return self.main

    def put_log(self, entry: Entry) -> None:
        """Puts a log entry into the log lane, or drops and counts it."""
        lane = self.logs
        if lane is None:
            lane = self.logs = make_lane()
        if len(lane) >= LOG_LANE_LIMIT:
            self.dropped_log += 1
        else:
            lane.append(entry)

    @property
    def waiting(self) -> int:
        """Messages waiting in all lanes."""
        return sum(len(lane) for lane in (self.urgent, self.system, self.main, self.logs) if lane)

    @property
    def runnable(self) -> bool:
        """True if there is anything that the owner would take now."""
        return bool(self.urgent or self.system or (self.main and not self.paused) or self.logs)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once when the owner has ended."""
        self.when_drained(-1, callback)  # no lane is ever that empty

    def when_drained(self, low: int, callback: Callable[[], None]) -> None:
        """Calls `callback` once when at most `low` messages wait in the main lane, or when the owner has ended."""
        if self.drain_callbacks is None:
            self.drain_callbacks = []
        self.drain_callbacks.append((low, callback))

    def run_drain_callbacks(self, *, ended: bool = False) -> None:
        """Runs the callbacks whose mark is reached; all of them if the owner has `ended`. Raises what the first of them
        raised, when all have run."""
        callbacks = self.drain_callbacks
        if callbacks is None:
            return
        waiting = len(self.main) if self.main else 0
        due = [callback for low, callback in callbacks if ended or waiting <= low]
        self.drain_callbacks = [] if ended else [pair for pair in callbacks if waiting > pair[0]]
        if not self.drain_callbacks:
            self.drain_callbacks = None
        failure: BaseException | None = None
        for callback in due:
            try:
                callback()
            except BaseException as error:
                if failure is None:
                    failure = error
        if failure is not None:
            raise failure

    def discard(self) -> None:
        """Drops all that waits, also from a turn that is going on. Pooled buffers in it go back to their pool with the
        messages."""
        for lane in (self.urgent, self.system, self.main, self.logs):
            if lane is not None:
                lane.clear()
        self.urgent = self.system = self.main = self.logs = None
        self.guarded = True

    def mailbox_info(self) -> MailboxInfo:
        """How many messages wait in each lane."""
        return MailboxInfo(
            urgent=len(self.urgent or ()),
            system=len(self.system or ()),
            main=len(self.main or ()),
            log=len(self.logs or ()),
        )
