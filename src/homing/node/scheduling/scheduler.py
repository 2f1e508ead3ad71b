"""The scheduler: gives runnable processes and meta-processes their turns.

It runs them in slices. Whoever is made runnable during a slice runs in it, before the event loop is polled again: a
message costs no loop iteration. A slice ends after `slice_seconds`; then the loop polls sockets and timers. A turn ends
after `turn_messages` or `turn_seconds`; then the next in the queue has its turn (promise 6).
"""

from __future__ import annotations

import asyncio
import logging
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...gen import NodeForked, NodeOptions, NotAllowed
from ..logs import hand_out
from ..mailbox.lane import COMPILED, make_lane

if TYPE_CHECKING:
    from .activity import Activity

    thread_ident: Callable[[], int]

if not COMPILED:
    globals()["thread_ident"] = get_ident  # else the C function that scheduler.pxd names

MOST_NESTED = 8
"""Calls inside of calls that need not wait: each takes a good dozen of Python's frames, of which there are 1000."""

_LOG = logging.LoggerAdapter(logging.getLogger("homing.scheduler"))


def _log_fault(activity: Activity, error: BaseException) -> None:
    hand_out(_LOG, logging.CRITICAL, "fault in the runtime itself, during the turn of %s", (activity,), fault=error)


def _nobody_is_told(activity: Activity, since: float, seconds: float) -> None:
    """There is no watchdog."""


class InlineRequest:
    """A request whose callee is to run at once. callee: receives it. done: it has been answered."""

    __slots__ = ("callee", "done")

    callee: Activity
    done: bool

    def put(self) -> None:
        """Puts the request into the mailbox of the callee. Raises `MailboxFull`."""
        raise NotImplementedError


class Scheduler:
    """One queue of runnable activities on one event loop.

    current: who has the loop now, None if nobody; since when (`since`), and the seconds of that time (`lent`) in which
        others had it, whose turns it ran inside of its own. For the watchdog.
    stall_seconds: `on_stall(activity, since, seconds)` is called when one has held the loop that long.
    armed: a slice is running or will run; adding to `ready` is enough.
    node: the name of the node. thread: the thread of its loop; 0 in a fork, where the loop is not to go on.
    context: the context variables as they were when the node was started. Each slice runs in a copy: whoever arms it,
        a task of the user's say, lends its own to nobody.
    """

    __slots__ = (
        "_depth",
        "_end",
        "_inline_end",
        "armed",
        "context",
        "current",
        "lent",
        "loop",
        "node",
        "on_stall",
        "ready",
        "since",
        "slice_seconds",
        "stall_seconds",
        "thread",
        "turn_messages",
        "turn_seconds",
    )

    def __init__(self, node: str, loop: asyncio.AbstractEventLoop, options: NodeOptions) -> None:
        self.node = node
        self.loop = loop
        self.thread = get_ident()
        self.ready: deque[Activity] = make_lane()
        self.armed = False
        self.context = copy_context()
        self._depth = 0
        self._end = 0.0
        self._inline_end = 0.0
        self.current: Activity | None = None
        self.since = 0.0
        self.lent = 0.0
        self.stall_seconds = inf
        self.on_stall: Callable[[Activity, float, float], None] = _nobody_is_told
        self.turn_messages = options.turn_messages
        self.turn_seconds = options.turn_seconds
        self.slice_seconds = options.slice_seconds

    def require_thread(self) -> None:
        """Raises `NotAllowed` on any thread but the node's, `NodeForked` in a fork."""
        if thread_ident() != self.thread:  # noqa: F821 - see above
            self.refuse_thread()

    def refuse_thread(self) -> None:
        """Raises what `require_thread` says."""
        if self.thread == 0:
            raise NodeForked(self.node)
        raise NotAllowed(
            f"this belongs to the thread of node {self.node!r}, and was called on another one; there use "
            "node.send_threadsafe, or give the process a thread of its own with gen.ProcessOptions(thread=True)"
        )

    def forked(self) -> None:
        """This is a fork of the OS process in which the node runs: nobody has a turn any more."""
        self.thread = 0
        self.ready.clear()

    def schedule(self, activity: Activity) -> None:
        """Queues `activity`, which must not be scheduled yet."""
        activity.scheduled = True
        self.ready.append(activity)
        if not self.armed:
            self.armed = True
            self.loop.call_soon(self._slice, context=self.context.copy())

    def run_for(self, activity: Activity, function: Callable[[Any], Any], argument: Any, charged: bool = False) -> Any:
        """Gives `function(argument)`, which is a step of a callback of `activity` outside of its turns.

        charged: adds the time to its running time.
        """
        outer, since, lent = self.current, self.since, self.lent
        now = perf_counter()
        self.current = activity
        self.since = now
        self.lent = 0.0
        try:
            return function(argument)
        finally:
            seconds = perf_counter() - now
            if charged:
                activity.running_time += seconds
            if seconds - self.lent >= self.stall_seconds:
                self.on_stall(activity, now, seconds - self.lent)
            self.current, self.since, self.lent = outer, since, lent + seconds

    def run_with(self, source: Callable[[], None]) -> bool:
        """Calls `source`, which makes activities runnable, and runs a slice at once if none is due: for a socket's
        callback, so that what it delivers costs no other iteration of the loop. True if nobody is runnable now."""
        self.require_thread()
        if self.armed:
            source()
            return False
        self.armed = True
        try:
            source()
        finally:
            self.context.copy().run(self._slice)
        return not self.armed

    def run_inline(self, request: InlineRequest) -> float:
        """Delivers the request of `request` and runs what that sets going, at once: where the answer comes before the
        slice is over, the call need not wait at all. Gives the seconds that the others took.

        A task that never has to wait would never let the loop poll: outside of a slice this goes on for `slice_seconds`
        at most, then it only queues until the loop has polled.
        """
        now = perf_counter()
        end = self._end or self._inline_end
        if not end:
            end = self._inline_end = now + self.slice_seconds
            self.loop.call_soon(self._polled, context=self.context)
        if now >= end or self._depth >= MOST_NESTED:
            self._deliver(request)
            return 0.0
        if self.armed:
            self._run_nested(request, end)
        else:
            self.armed = True
            try:
                self._deliver(request)
            finally:
                self.context.copy().run(self._slice)
        return perf_counter() - now

    def _deliver(self, request: InlineRequest) -> None:
        request.put()
        callee = request.callee
        if not callee.scheduled:
            self.schedule(callee)

    def _run_nested(self, request: InlineRequest, end: float) -> None:
        """Runs who is made runnable by the request of `request`, and nobody else, until that is answered."""
        fresh = make_lane()
        ready, self.ready = self.ready, fresh
        before, self._end = self._end, end
        self._depth += 1
        try:
            self._deliver(request)
            if self.ready:
                self.context.copy().run(self._run_until, request)
        finally:
            self._depth -= 1
            self._end = before
            rest, self.ready = self.ready, ready
            while rest:  # one made runnable while they move is put behind them at once
                ready.append(rest.popleft())

    def _run_until(self, request: InlineRequest) -> None:
        ready = self.ready
        now = perf_counter()
        outer, since, lent, entered = self.current, self.since, self.lent, now
        while ready and not request.done and now < self._end:
            activity = ready.popleft()
            self.current = activity
            self.since = now
            self.lent = 0.0
            activity.turn(now + self.turn_seconds, self.turn_messages)
            later = perf_counter()
            activity.running_time += later - now
            if later - now - self.lent >= self.stall_seconds:
                self.on_stall(activity, now, later - now - self.lent)
            now = later
        self.current, self.since, self.lent = outer, since, lent + now - entered

    def _polled(self) -> None:
        self._inline_end = 0.0

    def _slice(self) -> None:
        ready = self.ready
        now = perf_counter()
        end = self._end = now + self.slice_seconds
        outer, since, lent, entered = self.current, self.since, self.lent, now
        try:
            while ready:
                activity = ready.popleft()
                self.current = activity
                self.since = now
                self.lent = 0.0
                activity.turn(now + self.turn_seconds, self.turn_messages)
                later = perf_counter()
                activity.running_time += later - now
                if later - now - self.lent >= self.stall_seconds:
                    self.on_stall(activity, now, later - now - self.lent)
                now = later
                if now >= end:
                    break
        except BaseException as error:
            _log_fault(activity, error)
            raise
        finally:
            self.current, self.since, self.lent = outer, since, lent + now - entered
            self._end = 0.0
            if ready:
                self.loop.call_soon(self._slice, context=self.context.copy())
            else:
                self.armed = False
