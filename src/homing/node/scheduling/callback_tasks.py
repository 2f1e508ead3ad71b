"""Callback tasks: the tasks in which asynchronous callbacks run, lent before they are needed.

A task that is made for a callback begins with it an iteration of the loop later, and most callbacks never wait for
anything. So tasks that have served a callback are kept, and a slice steps one of them itself, as the loop would, for
the next: for the callback it is a task like any other. Should the callback wait for something, then the task waits for
it, from there on in the hands of the loop. A task that somebody may have got hold of serves no other callback.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from operator import is_
from sys import getrefcount
from time import perf_counter
from types import coroutine
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from ...gen import TerminateKill
from ..mailbox.envelope import close_unbegun

if TYPE_CHECKING:
    from .activity import Activity
    from .scheduler import Scheduler

MOST_SPARE = 64
"""CallbackTasks that wait for work at most. At work are as many as there are callbacks that have not returned."""

_NAME = "homing callback"
_RETURNED = object()

Pending = Coroutine[Any, Any, Any]


@coroutine
def _pause(gate: asyncio.Future[None]) -> Generator[Any, Any, None]:
    """As `await gate`, but goes on whenever the task is stepped, also if `gate` has not come."""
    gate._asyncio_future_blocking = True
    yield gate


class CallbackTasks:
    """The callback tasks of one node. Each begins with a copy of the scheduler's context."""

    __slots__ = ("_closed", "_done", "_spare", "loop", "scheduler")

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.loop = scheduler.loop
        self._spare: list[CallbackTask] = []
        self._closed = False
        self._done: asyncio.Future[None] = self.loop.create_future()
        self._done.set_result(None)

    def start(self, activity: Activity, pending: Pending, deadline: float, budget: int) -> None:
        """Goes on with a turn in which a callback gave back `pending`. If the turn is not over when this returns, then
        `activity.task` is the task in which it goes on."""
        if not activity.alive:
            close_unbegun(
                pending, activity.hand
            )  # the callback ended its own activity before it gave back the coroutine
            return
        spare = self._spare
        while spare:
            callback_task = spare.pop()
            if not callback_task.gate.done():  # else somebody has cancelled all tasks that there are
                callback_task.step(activity, pending, deadline, budget, self._done)
                return
        CallbackTask(self, activity, pending)

    def keep(self, callback_task: CallbackTask) -> bool:
        """Takes a callback task that has nothing to do. False if it is not needed."""
        if self._closed or len(self._spare) >= MOST_SPARE:
            return False
        self._spare.append(callback_task)
        return True

    def close(self) -> None:
        """The node has stopped: ends those that wait for work."""
        self._closed = True
        for callback_task in self._spare:
            callback_task.task.cancel()
        self._spare.clear()


class CallbackTask:
    """One task, and what it works on.

    gate: what the task waits for while it has nothing to do. It never comes: `step` lets the task go on.
    touched: a callback has left something at the task, so it can serve no other.
    """

    __slots__ = (
        "_activity",
        "_budget",
        "_context",
        "_deadline",
        "_pending",
        "_pool",
        "_references",
        "_waits_for",
        "_wakeup",
        "_weak_references",
        "gate",
        "task",
        "touched",
    )

    def __init__(self, pool: CallbackTasks, activity: Activity, pending: Pending) -> None:
        """It begins with `pending`, a callback of `activity`, in the loop's next iteration."""
        self._pool = pool
        self._activity: Activity | None = activity
        self._pending: Pending | None = pending
        self._deadline = 0.0
        self._budget = 0
        self._context = pool.scheduler.context.copy()
        self._waits_for: Any = None
        self.touched = False
        self._wakeup: Callable[[asyncio.Future[None]], object] | None = None
        self.gate: asyncio.Future[None] = pool.loop.create_future()
        # Not by the loop's task factory: an eager one would begin before there is a task to speak of.
        self.task = activity.task = asyncio.Task(self._run(), loop=pool.loop, name=_NAME, context=self._context)
        self.task.add_done_callback(self._never_begun)

    def step(
        self, activity: Activity, pending: Pending, deadline: float, budget: int, done: asyncio.Future[None]
    ) -> None:
        """Lets the task, which waits at its gate, go on with a turn, now."""
        self._activity = activity
        self._pending = pending
        self._deadline = deadline
        self._budget = budget
        activity.task = self.task
        wakeup = self._wakeup
        if wakeup is None:
            wakeup = self._wakeup = self.gate._callbacks[0][0]
        loop = self._pool.loop
        outer = asyncio.current_task(loop)
        if outer is not None:
            _leave_task(loop, outer)
        try:
            self.gate.remove_done_callback(wakeup)
            self._context.run(wakeup, done)
        finally:
            if outer is not None:
                _enter_task(loop, outer)

    def start_callback(self, pending: Pending) -> bool:
        """Begins with a callback. True if it waits for something; else it has returned, and `touched` tells whether the
        task can serve another."""
        # `send` would raise where it returns, and that takes longer than the rest
        waits_for = next(pending.__await__(), _RETURNED)
        if waits_for is _RETURNED:
            self._look()
            return False
        self._waits_for = waits_for
        return True

    def _look(self) -> None:
        """Finds out whether any callback has left something at the task: a reference, a cancellation, a variable."""
        self.touched = True
        if getrefcount(self.task) != self._references:  # counted as `_run` has counted them, without a name for it
            return
        task, before, now = self.task, self._pool.scheduler.context, self._context
        self.touched = (
            getweakrefcount(task) != self._weak_references
            or task.cancelling() > 0
            or bool(task._callbacks)
            or task.get_name() is not _NAME
            or len(now) != len(before)  # not `!=`, which compares values of the program's
            or (len(before) > 0 and not (all(map(is_, now, before)) and all(map(is_, now.values(), before.values()))))
        )

    async def _run(self) -> None:
        self.task.remove_done_callback(self._never_begun)
        scheduler = self._pool.scheduler
        self._deadline = perf_counter() + scheduler.turn_seconds
        self._budget = scheduler.turn_messages
        in_slice = False  # whoever runs it in a slice charges the time and ends the turn
        while (activity := self._activity) is not None and (pending := self._pending) is not None:
            self._activity = self._pending = None
            self._references = getrefcount(self.task)
            self._weak_references = getweakrefcount(self.task)
            if in_slice:
                waiting = activity.continue_turn(pending, self._deadline, self._budget, self)
            else:
                continue_turn = partial(activity.continue_turn, pending, self._deadline, self._budget)
                waiting = scheduler.run_for(activity, continue_turn, self, True)
                del continue_turn
            if waiting is not None:
                in_slice = False
                await self._finish(activity, waiting)
            self._look()
            if activity.task is self.task:  # else it is that of an asynchronous `terminate` by now
                activity.task = None
            if not in_slice and activity.task is None:
                activity.turn_over()
            del activity, pending, waiting
            if not self.touched and self._pool.keep(self):
                await _pause(self.gate)
                in_slice = True

    async def _finish(self, activity: Activity, waiting: Pending) -> None:
        """Goes on with a turn in which a callback waits for something."""
        pending: Pending | None = waiting
        while pending is not None:
            failure: BaseException | None = None
            try:
                await _rest_of(self, activity, pending)
            except BaseException as error:
                failure = error
            pending = None
            if failure is not None:
                activity.failed(failure)
                return
            activity.hand = None
            self._look()
            if activity.runnable and activity.alive and not self.touched and perf_counter() < self._deadline:
                advance = partial(activity.advance, self._deadline, self._budget)
                pending = self._pool.scheduler.run_for(activity, advance, self, True)

    def references(self) -> int:
        """How many references to the task there are, whoever has them."""
        return getrefcount(self.task)

    def waited(self, before: int) -> None:
        """The task had `before` references when it began to wait. What lets it go on now, and any that have come
        meanwhile, were not left by a callback."""
        self._references += getrefcount(self.task) - before

    def _never_begun(self, task: asyncio.Task[None]) -> None:
        """It was cancelled before the loop began with it, so `_run` never ran."""
        activity, pending = self._activity, self._pending
        self._activity = self._pending = None
        if activity is not None and pending is not None:
            close_unbegun(pending, activity.hand)
            if activity.task is task:
                activity.task = None
            activity.end(TerminateKill())


@coroutine
def _rest_of(callback_task: CallbackTask, activity: Activity, inner: Pending) -> Generator[Any, Any, Any]:
    """Awaits the rest of `inner`, with which `callback_task` has begun, and charges the time in which it runs (not that
    in which it waits) to `activity`."""
    value: Any = None
    run_for = activity.scheduler.run_for
    waits_for, callback_task._waits_for = callback_task._waits_for, None
    while True:
        send: Callable[[Any], Any] = inner.send
        before = callback_task.references()
        try:
            value = yield waits_for
        except GeneratorExit:
            inner.close()
            raise
        except BaseException as error:
            send, value = inner.throw, error
        callback_task.waited(before)
        try:
            waits_for = run_for(activity, send, value, True)
        except StopIteration as stop:
            return stop.value
