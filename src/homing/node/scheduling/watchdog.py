"""The watchdog: names the callback that holds the node's loop, while it does.

The scheduler notes which activity has the loop, and since when (`Scheduler.current`). A thread looks at that twice in
the time that a callback may take, and logs an activity that takes longer, with the loop's stack at that moment. The
loop counts, when the callback is over; what the thread has not seen, because the callback kept the interpreter's lock,
is logged then.
"""

from __future__ import annotations

import logging
import sys
import threading
from math import inf
from pathlib import Path
from time import perf_counter
from traceback import StackSummary
from types import CodeType, FrameType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..core import Core
    from .activity import Activity

_SHORTEST = 0.0005
"""Seconds between two looks at least: to look all the time would hold the loop itself."""

_RUNTIME = str(Path(__file__).parents[2])


class Place(NamedTuple):
    """Where a callback is: a line of the behavior's own code, and the stack from the callback on."""

    path: str
    line: int
    function: str
    stack: str


class Watchdog:
    """Watches one node's loop. stalls: callbacks that held it longer than the limit. longest: of them, in seconds."""

    def __init__(self, core: Core, limit: float | None) -> None:
        self._core = core
        self._limit = limit or inf
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._reported: set[tuple[Activity, float]] = set()
        self.stalls = 0
        self.longest = 0.0
        core.scheduler.stall_seconds = self._limit
        core.scheduler.on_stall = self._ended

    def start(self) -> None:
        """Begins to watch, unless that is switched off."""
        if self._limit < inf:
            threading.Thread(target=self._run, name=f"homing watchdog {self._core.name}", daemon=True).start()

    def stop(self) -> None:
        """Ends the thread."""
        self._over.set()

    def _run(self) -> None:
        seconds = min(max(self._limit / 2, _SHORTEST), threading.TIMEOUT_MAX)
        while not self._over.wait(seconds) and not self._core.loop.is_closed():
            self._look()

    def _look(self) -> None:
        scheduler = self._core.scheduler
        since, activity = scheduler.since, scheduler.current
        if activity is None or (activity, since) in self._reported or self._seconds_on_loop(since) < self._limit:
            return
        place = place_of(self._core.thread, type(activity.behavior))
        with self._lock:
            if place is None or scheduler.current is not activity or scheduler.since != since:
                return  # it is over, and the stack is another's
            self._reported.add((activity, since))
            held = self._seconds_on_loop(since)
        _log_stall(activity, "has held the loop for %.2f s, in %s (%s:%d)", held, place)

    def _seconds_on_loop(self, since: float) -> float:
        return perf_counter() - since - self._core.scheduler.lent

    def _ended(self, activity: Activity, since: float, seconds: float) -> None:
        """On the loop: a callback is over that held it for longer than the limit."""
        with self._lock:
            seen = (activity, since) in self._reported
            self._reported.discard((activity, since))
            self._core.scheduler.current = None  # else it could be seen, and named, once more until the next has it
        activity.stalls += 1
        self.stalls += 1
        self.longest = max(self.longest, seconds)
        if not seen:
            _log_stall(activity, "held the loop for %.2f s, and was over before it could be seen where", seconds, None)


def _log_stall(activity: Activity, text: str, seconds: float, place: Place | None) -> None:
    """Logs as from the place itself, so that the record has its file, line and function."""
    log, title = activity.log_adapter, activity.title
    if not log.isEnabledFor(logging.WARNING):
        return
    path, line, function, stack = place or Place(__file__, 0, "", "")
    args = (title, seconds, function, Path(path).name, line) if place else (title, seconds)
    level, extra = logging.WARNING, dict(log.extra or {})
    record = log.logger.makeRecord(
        log.logger.name, level, path, line, f"%s {text}", args, None, function, extra, stack or None
    )
    log.logger.handle(record)


# --- the stack ------------------------------------------------------------------------------------------------


def place_of(thread: int, kind: type) -> Place | None:
    """Where a thread is in the code of a behavior of class `kind`. No frame is kept: frames keep messages."""
    frames = _frames_of(thread)
    if not frames:
        return None
    codes = [frame.f_code for frame, _ in frames]
    own = [number for number, code in enumerate(codes) if _is_method(kind, code)]
    users = [number for number in own if not codes[number].co_filename.startswith(_RUNTIME)]
    number = (users or own or [0])[0]
    path, line, function = codes[number].co_filename, frames[number][1], codes[number].co_name
    if own:
        del frames[own[-1] + 1 :]  # what is below are the loop and the runtime
    frames.reverse()
    stack = "Stack (most recent call last):\n" + "".join(StackSummary.extract(iter(frames)).format())
    return Place(path, line, function, stack.rstrip())


def _frames_of(thread: int) -> list[tuple[FrameType, int]]:
    """The frames of a thread and their lines, the innermost first."""
    frame = sys._current_frames().get(thread)
    frames = []
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return frames


def _is_method(kind: type, code: CodeType) -> bool:
    """True if `code` is that of a method of `kind`, or of what a decorator has made one from."""
    method = getattr(kind, code.co_name, None)
    while method is not None:
        if getattr(method, "__code__", None) is code:
            return True
        method = getattr(method, "__wrapped__", None)
    return False
