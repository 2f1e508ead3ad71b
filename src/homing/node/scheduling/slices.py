"""Slices: runnable processes and meta-processes get their turns, in slices of time.

An activity that becomes runnable during a slice runs in it, before the event loop polls again: a message costs no loop
iteration. A slice ends after `slice_seconds`; then the loop polls sockets and timers. A turn ends after `turn_messages`
or `turn_seconds`; then the next activity in the queue has its turn (promise 6).

Two more queues are for work that may come by the thousand at once: processes that end by an exit signal, and the
runtime's own work that grows with the number of receivers (`run_in_portions`). They have a share of each slice, so that
neither the sockets nor the working processes wait for all of it.

Rule: whatever fails here, mostly for lack of memory, a scheduled activity is in a queue, and a slice is due unless all
queues are empty. So state changes after operations that may fail, and operations that must not fail are tried twice.
"""

from __future__ import annotations

import asyncio
import logging
from _thread import get_ident
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from math import inf
from typing import TYPE_CHECKING, Any, TypeGuard

from ...gen import NodeForked, NodeOptions, NotAllowed, ProcessState
from ...gen.copying import refuse_copy
from ...gen.retrying import twice
from ..logs import hand_out
from ..mailbox.lane import COMPILED, STAND_INS, make_lane

if TYPE_CHECKING:
    from .activity import Activity

    clock: Callable[[], float]
    filled: Callable[[deque[Any] | None], TypeGuard[deque[Any]]]
    thread_ident: Callable[[], int]
    PyContext_Copy: Callable[[Any], Any]
    PyContext_Enter: Callable[[Any], int]
    PyContext_Exit: Callable[[Any], int]

_COMPILED = COMPILED

if not COMPILED:
    globals().update(STAND_INS)

PORTION = 64
"""Steps of a work in portions before the next work or the next process has its turn: about 0.1 ms."""

MOST_WOKEN = 64
"""The most tasks woken by works in portions in one slice. The event loop steps all of them in its next iteration, at
some 15 us each, before it polls again."""

MOST_READY = 64
"""While this number of processes or more are ready, works in portions make no more ready than they must; and while this
number are about to end, they add no more. Thousands of processes would hold more objects than the garbage collector,
which stops everything, should scan."""

WAKES = object()
"""Yielded by a work in portions after a step that has woken a task."""

_OVER = object()

_CLOCK_STEP = 8
"""Steps of a work between two readings of the clock."""

_LOG = logging.LoggerAdapter(logging.getLogger("homing.scheduler"))


def _log_fault(activity: Activity | None, error: BaseException) -> None:
    hand_out(_LOG, logging.CRITICAL, "fault in the runtime itself, during the turn of %s", (activity,), fault=error)


def queue_up(queue: deque[Any], entry: Any) -> None:
    """Adds `entry` at the end of `queue`. Retries once if there is no memory."""
    try:
        queue.append(entry)
    except MemoryError:
        queue.append(entry)


def _nobody_is_told(activity: Activity, since: float, seconds: float) -> None:
    """The `on_stall` without a watchdog: does nothing."""


class Slices:
    """One queue of runnable activities on one event loop.

    current: the activity that has the loop now, None if none has; `since`: the time since when; `lent`: seconds of that
        time for which other activities had the loop, in turns run within its own. For the watchdog.
    stall_seconds: `on_stall(activity, since, seconds)` is called when an activity has held the loop that long.
    armed: a slice is running or due; adding to `ready` is enough.
    ended: when the last slice ended, by the scheduler's clock.
    leaving: processes that will end by an exit signal.
    taken: the message of the last `Scheduler.run_lone` has become its receiver's.
    works: unfinished works of `run_in_portions`.
    node: the name of the node. thread: the thread of its loop; 0 in a fork, where the loop must not continue.
    context: the context variables as they were when the node was started. Each slice runs in a copy, so that it does
        not get the variables of the task that arms it.
    """

    __slots__ = (
        "_end",
        "_portion_end",
        "_portion_woken",
        "_slices",
        "_woken",
        "armed",
        "context",
        "current",
        "ended",
        "leaving",
        "lent",
        "loop",
        "node",
        "on_stall",
        "ready",
        "since",
        "slice_seconds",
        "stall_seconds",
        "taken",
        "thread",
        "turn_messages",
        "turn_seconds",
        "works",
    )

    __reduce__ = refuse_copy

    def __init__(self, node: str, loop: asyncio.AbstractEventLoop, options: NodeOptions) -> None:
        self.node = node
        self.loop = loop
        self.thread = get_ident()
        self.ready: deque[Activity] = make_lane()
        self.leaving: deque[Activity] = make_lane()
        self.works: deque[Iterator[object]] = make_lane()
        self.armed = False
        self.context = copy_context()
        self._portion_end = 0.0
        self._portion_woken = 0
        self._woken = 0
        self._slices = 0
        self._end = 0.0
        self.ended = 0.0
        self.current: Activity | None = None
        self.since = 0.0
        self.lent = 0.0
        self.taken = False
        self.stall_seconds = inf
        self.on_stall: Callable[[Activity, float, float], None] = _nobody_is_told
        self.turn_messages = options.turn_messages
        self.turn_seconds = options.turn_seconds
        self.slice_seconds = options.slice_seconds

    def require_thread(self) -> None:
        """Raises `NotAllowed` on any thread but the node's, `NodeForked` in a forked process."""
        if thread_ident() != self.thread:
            self.refuse_thread()

    def refuse_thread(self) -> None:
        """Raises the error of `require_thread`."""
        if self.thread == 0:
            raise NodeForked(self.node)
        raise NotAllowed(
            f"this belongs to the thread of node {self.node!r}, but was called on another thread; there use "
            "node.send_threadsafe, or give the process a thread of its own with gen.ProcessOptions(thread=True)"
        )

    def forked(self) -> None:
        """Clears all queues, in a fork of the OS process in which the node runs."""
        self.thread = 0
        for queue in (self.ready, self.leaving, self.works):
            queue.clear()

    def schedule(self, activity: Activity) -> None:
        """Queues `activity`, which must not be scheduled yet."""
        self.ready.append(activity)
        activity.scheduled = True
        if not self.armed:
            self._arm()

    def _arm(self) -> None:
        """Schedules a slice for the loop's next iteration, unless one is due already."""
        if self.armed:
            return
        try:
            self.loop.call_soon(self._slice, context=self.context.copy())
        except MemoryError:
            self.loop.call_soon(self._slice, context=self.context.copy())
        self.armed = True

    def _run_now(self, activity: Activity | None = None, sender: Any = None, message: Any = None) -> None:
        """Runs a slice at once; `armed` is set already. It begins with `activity`, if given: see `_turn`."""
        before = self._slices
        try:
            if _COMPILED:  # as below, without the cost of a bound method and a call through Python
                context = PyContext_Copy(self.context)
                PyContext_Enter(context)
                try:
                    self._run_slice(activity, sender, message)
                finally:
                    PyContext_Exit(context)
            else:
                self.context.copy().run(self._run_slice, activity, sender, message)
        finally:
            if self._slices == before:  # the slice has not begun
                self.armed = False
                if self.ready or self.leaving or self.works:
                    self._arm()

    def schedule_end(self, activity: Activity) -> None:
        """Queues `activity`, which must not be scheduled yet, for its end by an exit signal."""
        queue_up(self.leaving, activity)
        activity.scheduled = True
        self._arm()

    def run_in_portions(self, steps: Callable[..., Iterator[object]], *args: Any) -> None:
        """Runs all steps of `steps(*args)`: the first `PORTION` now, the rest between the turns of processes."""
        work = twice(steps, *args)
        try:
            more = self._goes_on(work)
        except MemoryError:
            more = True  # the remaining steps
        if more:
            queue_up(self.works, work)
            self._arm()

    def _goes_on(self, work: Iterator[object]) -> bool:
        """Runs the next steps of `work`: at most `PORTION`, for at most a turn's time. Returns True if more remain."""
        end = 0.0
        for number in range(PORTION):
            if number % _CLOCK_STEP == _CLOCK_STEP - 1:
                now = clock()
                if not end:
                    end = now + self.turn_seconds
                elif now >= end:
                    break
            step = next(work, _OVER)
            if step is _OVER:
                return False
            if step is WAKES:
                self._woken += 1
        return True

    def may_go_on(self) -> bool:
        """Returns False once loops that call this have held the event loop for a slice: it must poll, see `breathe`."""
        try:
            now = clock()
            if self._end:
                return now < self._end
            if not self._portion_end:
                self.loop.call_soon(self._portion_over, context=self.context)  # first, as it resets `_portion_end`
                self._portion_end = now + self.slice_seconds
        except MemoryError:
            return True
        return now < self._portion_end

    def _portion_over(self) -> None:
        self._portion_end = 0.0
        self._portion_woken = 0

    async def breathe(self, *, wakes: bool = False) -> None:
        """Lets the event loop poll, if loops over many processes, which await this for each process, have held it for a
        slice; or if as many processes are about to end as may wait for that.

        wakes: True if this step has woken a task. After as many as in works in portions, the loop polls too.
        """
        self._portion_woken += wakes
        if not self.may_go_on() or self._portion_woken >= MOST_WOKEN or len(self.leaving) >= MOST_READY:
            self._portion_woken = 0
            await asyncio.sleep(0)

    def _turn(self, activity: Activity, now: float, sender: Any = None, message: Any = None) -> float:
        """Gives `activity` its turn. Returns the time at its end. sender, message: if given, a message that did not go
        through the mailbox, see `Activity.turn_with`."""
        self.current = activity
        self.since = now
        self.lent = 0.0
        if sender is None:
            activity.turn(now + self.turn_seconds, self.turn_messages)
        else:
            activity.turn_with(sender, message, now + self.turn_seconds, self.turn_messages)
        later = clock()
        activity.running_time += later - now
        if later - now - self.lent >= self.stall_seconds:
            self.on_stall(activity, now, later - now - self.lent)
        return later

    def keep(self, activity: Activity | None) -> None:
        """Queues an activity whose turn has failed before it could begin, unless it is in a queue."""
        if activity is not None and activity.state is ProcessState.SLEEP and activity.scheduled:
            waits = any(other is activity for queue in (self.ready, self.leaving) for other in queue)
            if not waits:
                queue_up(self.ready, activity)

    def _slice(self) -> None:
        self._run_slice(None, None, None)

    def _run_slice(self, activity: Activity | None, sender: Any, message: Any) -> None:
        self._slices += 1
        ready = self.ready
        now = entered = 0.0
        outer, since, lent = self.current, self.since, self.lent
        try:
            now = entered = clock()
            end = self._end = now + self.slice_seconds
            if activity is not None:
                now = self._turn(activity, now, sender, message)
            while True:
                while filled(ready) and now < end:
                    activity = ready.take() if _COMPILED else ready.popleft()  # type: ignore[attr-defined]
                    now = self._turn(activity, now)
                if not filled(self.leaving) and not filled(self.works):
                    break
                activity = None
                now = self._run_others(now, end)
                if not ready or now >= end or self._woken >= MOST_WOKEN:
                    break
        except BaseException as error:
            twice(self.keep, self.current)
            _log_fault(activity, error)
            raise
        finally:
            self.current, self.since, self.lent = outer, since, lent + now - entered
            self._end = 0.0
            self.ended = now
            self._woken = 0
            self.armed = False
            if filled(ready) or filled(self.leaving) or filled(self.works):
                self._arm()

    def _run_others(self, now: float, end: float) -> float:
        """Ends processes and continues works in portions, in turns: until `end`, and for at least a quarter of a slice.
        Returns the time."""
        share = now + self.slice_seconds / 4
        while self.leaving or self.works:
            if self.leaving:
                now = self._turn(self.leaving.popleft(), now)
            if self.works and len(self.leaving) < MOST_READY:
                self.current = None
                work = self.works.popleft()
                more = True  # also if it fails, mostly for lack of memory: the remaining steps
                try:
                    more = self._goes_on(work)
                finally:
                    if more:
                        queue_up(self.works, work)
                now = clock()
            if now >= share and (now >= end or len(self.ready) >= MOST_READY):
                break
            if self._woken >= MOST_WOKEN:
                break
        return now
