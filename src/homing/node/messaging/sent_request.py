"""Requests that do not stop their sender: one open request of `send_request`; and the deadlines of all open calls.

The semantics are those of OTP's `gen_server:send_request/4` with a request-id collection, which keeps a label for each
request. The response is one entry of the sender's main lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any

from ...gen import CallTimeout, ProcessState, Ref, Target
from ...gen.copying import refuse_copy
from ...gen.retrying import Again
from ..mailbox.envelope import Response
from ..scheduling.slices import WAKES
from .waiter import Waiter

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process
    from ..scheduling.activity import Activity

_KEPT = 64
"""Closed requests that may stay among the deadlines, beside as many as are open: to remove each at once would take a
search for each."""


LATE_SECONDS = 0.05
"""If a call's timer fires later than this, in seconds, the program was suspended (SIGSTOP, a machine that slept) or the
loop was held. Ordinary callbacks take less."""

GRACE_SECONDS = 0.05
"""Seconds for which the call then waits in addition: the answer may be in a socket or a mailbox, not yet read."""

_ZOMBIE, _TERMINATED = ProcessState.ZOMBIE, ProcessState.TERMINATED


class SentRequest(Waiter):
    """One open request. When it is answered, it becomes a `Response` in the mailbox of its sender, `caller`.

    label: as given to `send_request`. number: that of its ref.
    due: when it times out, by the loop's clock; seconds: its timeout.
    """

    __slots__ = ("_deadlines", "due", "label", "number")

    blocks = False

    def __init__(
        self,
        caller: Process,
        callee: Activity,
        target: Target,
        ref: Ref,
        label: Any,
        seconds: float,
        deadlines: Deadlines,
    ) -> None:
        self.caller: Any = caller
        self.callee = callee
        self.target = target
        self.ref = ref
        self.done = False
        self.seconds = seconds
        self.due = 0.0
        self.number = ref.id
        self.label = label
        self._deadlines = deadlines

    def __hash__(self) -> int:
        return self.number

    def open(self) -> None:
        """From here on it ends by an answer, by the end of the callee, or by its timeout."""
        self._wait_at(self.callee)
        self.due = self._deadlines.add(self)

    def finish(self, answer: Any, error: Exception | None) -> None:
        """Puts the first answer or error that comes into the mailbox of its sender, even if that is full. If there is
        no memory for that, it stays open until its timeout."""
        if not self.done:
            self.respond(Response(self.callee.id, self.ref, self.label, answer if error is None else error))

    def respond(self, response: Response) -> None:
        """Puts the response into the mailbox of its sender, if that is alive, and ends the request."""
        caller = self.caller
        if caller.state is not _ZOMBIE and caller.state is not _TERMINATED:
            # a process that forwards its main lane handles what is its own in the system lane
            caller.put(response, 1 if caller.forwards else 0)
            self.close()
            if not caller.scheduled:
                scheduler = caller.scheduler
                scheduler.schedule(caller)
        else:
            caller.core.calls.late_responses += 1
            self.close()

    def close(self) -> None:
        """Ends it without a response."""
        self.done = True
        if self.callee.pending is not None:
            self.callee.pending.pop(self, None)
        self.label = None
        self._deadlines.closed()


class Deadlines:
    """The deadlines of the open requests of one node, and of the calls whose callers wait, in a heap with one timer of
    the loop: the timer is set again when it fires, or for an earlier deadline. A timer for each call costs several
    times as much. A closed request leaves the heap later, with many others."""

    __slots__ = ("_clock", "_closed", "_core", "_due", "_graced", "_heap", "_last", "_open", "_timer")

    __reduce__ = refuse_copy

    def __init__(self, core: Core, open_calls: dict[Ref, Waiter]) -> None:
        self._core = core
        self._clock = core.loop.time
        self._open = open_calls
        self._heap: list[tuple[float, int, Waiter]] = []  # when it is due, its place, and itself
        self._last = 0  # counts the entries, so that the requests themselves are never compared
        self._closed = 0
        self._due = inf  # when the timer fires
        self._graced = False
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, request: Waiter) -> float:
        """Makes `request` fail in its `seconds` from now. Returns when that is."""
        heap = self._heap
        when = self._clock() + request.seconds
        due: float = when
        self._last += 1
        entry = (when, self._last, request)
        earlier = heap[(len(heap) - 1) >> 1][0] if heap else due
        if earlier <= due:
            heap.append(entry)  # the usual case: it is due behind the one that would be above it in the heap
        else:
            heappush(heap, entry)
        if due < self._due:
            self._set_timer(when)
        return due

    def closed(self) -> None:
        """Notes that a request of the heap was closed: it is `done`."""
        self._closed += 1
        if self._closed > _KEPT and 2 * self._closed > len(self._heap):
            kept = [entry for entry in self._heap if not entry[2].done]
            heapify(kept)
            self._heap[:] = kept
            self._closed = 0

    def stop(self) -> None:
        """Cancels the timer, when the node has stopped."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, due: float) -> None:
        timer = self._core.loop.call_at(due, self._fire)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer
        self._due = due

    def _fire(self) -> None:
        now = self._clock()
        if now - self._due > LATE_SECONDS and not self._graced:
            self._graced = True  # once: see `GRACE_SECONDS`
            self._set_timer(now + GRACE_SECONDS)
            return
        self._graced = False
        self._timer, self._due = None, inf
        try:
            work = Again(self._expire, now)
        except MemoryError:  # otherwise no timer would be set until the next request
            work = Again(self._expire, now)
        self._core.scheduler.run_in_portions(iter, work)

    def _expire(self, now: float) -> Iterator[object]:
        """Fails the requests whose time is over, step by step, and sets the timer for the next."""
        heap = self._heap
        while heap and (heap[0][2].done or heap[0][0] <= now):
            request = heap[0][2]
            woken = None
            if request.done:
                self._closed -= 1
                heappop(heap)
            else:
                error = CallTimeout(request.target, request.seconds)
                self._open.pop(request.ref, None)
                request.finish(None, error)
                woken = WAKES if request.blocks else None
            yield woken
        if heap and heap[0][0] < self._due:
            self._set_timer(heap[0][0])
