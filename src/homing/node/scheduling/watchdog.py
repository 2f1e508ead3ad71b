"""The watchdog: names the callback that holds the node's loop, while it does so.

The scheduler notes which activity has the loop, and since when (`Scheduler.current`). A thread reads that twice in the
time that a callback may take, and logs an activity that takes longer, with the loop's stack at that moment. The loop
counts it when the callback is over. If the thread could not see it, because the callback kept the interpreter's lock,
the loop logs it then. The time for which the loop's thread waited for a processor is not the callback's fault: a turn
that was long only because of that is counted and logged separately.
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
from typing import TYPE_CHECKING

from ...gen.foreign import safe_repr
from ..logs import Place
from .processor_time import ProcessorClock, Reading

if TYPE_CHECKING:
    from ..core import Core
    from .activity import Activity

MOST_WRAPPED = 20
"""The most decorators of a method that are unwrapped. A class could claim that an object wraps itself."""

_SHORTEST = 0.0005
"""The shortest time between two looks, in seconds: constant looking would hold the loop itself."""

_RUNTIME = str(Path(__file__).parents[2])


class Watchdog:
    """Watches one node's loop.

    stalls: number of callbacks that held it longer than the limit. longest: the longest of them, in seconds.
    machine_stalls: number of turns that took so long because no processor was free.
    """

    def __init__(self, core: Core, limit: float | None) -> None:
        self._core = core
        self._limit = limit or inf
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._reported: set[tuple[Activity, float]] = set()
        self._clock: ProcessorClock | None = None
        self._last = self._before = Reading(0.0, None, None, 0.0)
        self._inside: tuple[float, Reading] | None = None  # start of the current turn, and the first reading within it
        self.stalls = 0
        self.machine_stalls = 0
        self.longest = 0.0
        core.scheduler.stall_seconds = self._limit
        core.scheduler.on_stall = self._ended

    def start(self) -> None:
        """Begins to watch the loop of the calling thread, unless the watchdog is disabled."""
        if self._limit < inf:
            self._clock = ProcessorClock()
            self._last = self._before = self._clock.read()
            threading.Thread(target=self._run, name=f"homing watchdog {self._core.name}", daemon=True).start()

    def stop(self) -> None:
        """Ends the thread."""
        self._over.set()

    def _run(self) -> None:
        seconds = min(max(self._limit / 2, _SHORTEST), threading.TIMEOUT_MAX)
        while True:
            try:
                if self._over.wait(seconds) or self._core.loop.is_closed():
                    return
                self._look()
            except Exception as error:  # attributes of the program's classes may be code, and so may source loaders
                self._core.attempt(self._failed, error)

    def _look(self) -> None:
        scheduler = self._core.scheduler
        with self._lock:
            clock = self._clock
            if clock is None:
                return
            since, activity = scheduler.since, scheduler.current
            span = self._read(clock, since)
            if activity is None or (activity, since) in self._reported or span is None:
                return
            held = self._seconds_on_loop(since)
            own = span.cpu if span.cpu is not None and span.waited is not None and clock.ready() else span.own
            if held < self._limit or held * own / span.at < self._limit:
                return
        place = place_of(self._core.thread, type(activity.behavior))
        with self._lock:
            if place is None or scheduler.current is not activity or scheduler.since != since:
                return  # the turn is over, and the stack is that of another
            self._reported.add((activity, since))
            held = self._seconds_on_loop(since)
        self._log(activity, "%s has held the loop for %.2f s%s, in %s (%s:%d)", held, span, place)

    def _failed(self, error: Exception) -> None:
        """Logs the failure. The thread continues, as the next turn may be another activity's."""
        text = "the watchdog could not look at what holds the loop: %s"
        self._core.limited_log.warning(self._core.loop.time(), "watchdog", text, safe_repr(error))

    def _read(self, clock: ProcessorClock, since: float) -> Reading | None:
        """Reads the clock, and returns the span since the first reading within this turn, which began at `since`; None
        if this is the first."""
        reading = clock.read()
        if since > self._last.at:
            self._before = self._last
        self._last = reading
        if self._inside is None or self._inside[0] != since:
            self._inside = (since, reading)
            return None
        return reading.since(self._inside[1])

    def _seconds_on_loop(self, since: float) -> float:
        return perf_counter() - since - self._core.scheduler.lent

    def _ended(self, activity: Activity, since: float, seconds: float) -> None:
        """Counts and logs, on the loop, a callback that held it for longer than the limit and is over."""
        with self._lock:
            seen = (activity, since) in self._reported
            self._reported.discard((activity, since))
            self._core.scheduler.current = None  # otherwise the thread could name it again before the next turn
            span = self._span_of_turn(since)
        own = seconds * span.own / span.at if span.at > 0 else seconds
        if not seen and own < self._limit:
            self._machine(seconds, seconds - own)
            return
        activity.stalls += 1
        self.stalls += 1
        self.longest = max(self.longest, seconds)
        if not seen:
            text = "%s held the loop for %.2f s%s, and was over before its place in the code could be read"
            self._log(activity, text, seconds, span, None)

    def _span_of_turn(self, since: float) -> Reading:
        """Returns the span from the last reading before a turn that began at `since` until now."""
        before = self._before if self._last.at > since else self._last
        return before.since(before) if self._clock is None else self._clock.read().since(before)

    def _machine(self, seconds: float, waited: float) -> None:
        """Counts and logs a turn that was long because no processor was free, without naming an activity."""
        self.machine_stalls += 1
        text = "the machine is busy: the loop had to wait for a processor for %.2f s of %.2f s"
        self._core.limited_log.warning(self._core.loop.time(), "machine", text, waited, seconds)

    def _log(self, activity: Activity, text: str, seconds: float, span: Reading, place: Place | None) -> None:
        """Logs as if from `place`, so that the record has its file, line and function."""
        where = () if place is None else (place.function, Path(place.path).name, place.line)
        args = (activity.title, seconds, _told(span, seconds), *where)
        here = Place(__file__, 0, "") if place is None else place
        log = self._core.bounded_log
        log.write(self._core.loop.time(), activity.log_adapter, logging.WARNING, text, args, place=here)


def _told(span: Reading, seconds: float) -> str:
    """Returns the text for the processor time of the loop's thread, and of the program's other threads, in a turn that
    took `seconds`, estimated from `span`."""
    if span.cpu is None or span.at <= 0:
        return ""
    cpu, others = span.cpu * seconds / span.at, (span.program - span.cpu) * seconds / span.at
    shown = f", other threads {others:.2f} s" if others >= 0.01 else ""
    return f" (CPU {min(cpu, seconds):.2f} s{shown})"


# --- the stack ------------------------------------------------------------------------------------------------


def place_of(thread: int, kind: type) -> Place | None:
    """Returns the place of a thread in the code of a behavior of class `kind`. Keeps no frame: frames keep messages."""
    frames = _frames_of(thread)
    if not frames:
        return None
    codes = [frame.f_code for frame, _ in frames]
    own = [number for number, code in enumerate(codes) if _is_method(kind, code)]
    users = [number for number in own if not codes[number].co_filename.startswith(_RUNTIME)]
    number = (users or own or [0])[0]
    path, line, function = codes[number].co_filename, frames[number][1], codes[number].co_name
    if own:
        del frames[own[-1] + 1 :]  # the frames below are those of the loop and the runtime
    frames.reverse()
    stack = "Stack (most recent call last):\n" + "".join(StackSummary.extract(iter(frames)).format())
    return Place(path, line, function, stack.rstrip())


def _frames_of(thread: int) -> list[tuple[FrameType, int]]:
    """Returns the frames of a thread and their lines, the innermost first."""
    frame = sys._current_frames().get(thread)
    frames = []
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return frames


def _is_method(kind: type, code: CodeType) -> bool:
    """Returns True if `code` is that of a method of `kind`, or of a function that a decorator wraps into one."""
    method = getattr(kind, code.co_name, None)
    for _ in range(MOST_WRAPPED):
        if method is None:
            break
        if getattr(method, "__code__", None) is code:
            return True
        method = getattr(method, "__wrapped__", None)
    return False
