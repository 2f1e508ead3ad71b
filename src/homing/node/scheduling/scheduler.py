"""The scheduler: slices, and work outside of their order: sources, calls, steps of callbacks.

A call runs its callee at once, within the caller's own turn: see `Scheduler.run_inline`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...gen.copying import refuse_copy
from ...gen.retrying import twice
from ..mailbox.lane import COMPILED, STAND_INS, make_lane
from .slices import Slices, queue_up

if TYPE_CHECKING:
    import asyncio

    from ...gen import NodeOptions
    from .activity import Activity
    from .source import Source

    clock: Callable[[], float]

if not COMPILED:
    globals().update(STAND_INS)

MOST_NESTED = 8
"""Calls within calls that run at once: each takes over a dozen of Python's frames, which are limited to 1000."""


class InlineRequest:
    """A request whose callee is to run at once. callee: receives it. done: True once it has been answered."""

    __slots__ = ("callee", "done")

    callee: Activity
    done: bool

    __reduce__ = refuse_copy

    def put(self) -> None:
        """Puts the request into the mailbox of the callee. Raises `MailboxFull`."""
        raise NotImplementedError


class Scheduler(Slices):
    """Runs all runnable activities on one event loop: in slices, and at once."""

    __slots__ = ("_depth", "_inline_end")

    __reduce__ = refuse_copy

    def __init__(self, node: str, loop: asyncio.AbstractEventLoop, options: NodeOptions) -> None:
        super().__init__(node, loop, options)
        self._depth = 0
        self._inline_end = 0.0

    def run_for(self, activity: Activity, function: Callable[[Any], Any], argument: Any, charged: bool = False) -> Any:
        """Returns `function(argument)`, a step of a callback of `activity` outside of its turns.

        charged: adds the time to the activity's running time.
        """
        outer, since, lent = self.current, self.since, self.lent
        now = clock()
        self.current = activity
        self.since = now
        self.lent = 0.0
        try:
            return function(argument)
        finally:
            seconds = clock() - now
            if charged:
                activity.running_time += seconds
            if seconds - self.lent >= self.stall_seconds:
                self.on_stall(activity, now, seconds - self.lent)
            self.current, self.since, self.lent = outer, since, lent + seconds

    def run_with(self, source: Source) -> bool:
        """Takes the messages of `source`, and runs a slice at once if none is due: for a socket's callback, so that its
        messages need no other iteration of the loop. Returns True if no activity is runnable then."""
        self.require_thread()
        if self.armed:
            source.put_messages()
            return False
        self.armed = True
        try:
            source.put_messages()
        finally:
            self._run_now()
        return not self.armed

    def run_lone(self, activity: Activity, sender: Any, message: Any) -> bool:
        """Gives `activity`, which sleeps and has an empty mailbox, a turn that begins with `message`, in a slice at
        once: as `run_with`, for one message. No slice may be due. Returns False if it did not take the message, as it
        has ended or been woken since; if this raises, `taken` says whether it did."""
        self.taken = False
        self.require_thread()
        self.armed = True
        self._run_now(activity, sender, message)
        return self.taken

    def run_inline(self, request: InlineRequest) -> float:
        """Delivers `request` and at once runs the activities that this makes runnable: if the answer comes before the
        slice is over, the call need not wait at all. Returns the seconds that the other activities took.

        A task that never has to wait would never let the loop poll: outside of a slice this runs activities for at most
        `slice_seconds`, then it only queues them until the loop has polled.
        """
        now = clock()
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
                self._run_now()
        return clock() - now

    def runs_alone(self, due: deque[Any]) -> bool:
        """Returns True if what runs now is no slice, and nothing but that runs before the loop polls. due: the loop's
        callbacks that are due."""
        return not self._end and not self.ready and len(due) == (self._inline_end > 0)  # for which `_polled` is due

    def _deliver(self, request: InlineRequest) -> None:
        request.put()
        callee = request.callee
        if not callee.scheduled:
            self.schedule(callee)

    def _run_nested(self, request: InlineRequest, end: float) -> None:
        """Runs the activities made runnable by `request`, and no others, until it has been answered."""
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
            while rest:  # if another becomes runnable meanwhile, it is queued behind them at once
                queue_up(ready, rest.popleft())

    def _run_until(self, request: InlineRequest) -> None:
        ready = self.ready
        now = clock()
        outer, since, lent, entered = self.current, self.since, self.lent, now
        try:
            while ready and not request.done and now < self._end:
                now = self._turn(ready.popleft(), now)
        except BaseException:
            twice(self.keep, self.current)
            raise
        finally:
            self.current, self.since, self.lent = outer, since, lent + now - entered

    def _polled(self) -> None:
        self._inline_end = 0.0
