"""Callback tasks: the tasks in which asynchronous callbacks run, made before they are needed and used again.

A task made for a callback would begin one iteration of the loop later, and most callbacks never wait for anything. So
tasks are kept after a callback, and a slice steps one of them itself for the next callback, as the loop would: for the
callback it is a task like any other. If the callback waits for something, then the task waits, and from there on the
loop steps it. A task that a callback may still refer to is not used again.
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
"""The most callback tasks that wait for work. Tasks at work are as many as callbacks that have not returned."""

_NAME = "homing callback"
_RETURNED = object()

Pending = Coroutine[Any, Any, Any]


@coroutine
def _pause(gate: asyncio.Future[None]) -> Generator[Any, Any, None]:
    """Like `await gate`, but resumes whenever the task is stepped, even if `gate` is not done."""
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
        """Continues a turn in which a callback returned `pending`. If the turn is not over when this returns, then
        `activity.task` is the task in which it continues."""
        if not activity.alive:
            close_unbegun(
                pending, activity.hand
            )  # the callback ended its own activity before it returned the coroutine
            return
        spare = self._spare
        while spare:
            callback_task = spare.pop()
            if not callback_task.gate.done():  # otherwise somebody has cancelled all tasks of the loop
                callback_task.step(activity, pending, deadline, budget, self._done)
                return
        CallbackTask(self, activity, pending)

    def keep(self, callback_task: CallbackTask) -> bool:
        """Keeps a callback task that has nothing to do. Returns False if it is not needed."""
        if self._closed or len(self._spare) >= MOST_SPARE:
            return False
        self._spare.append(callback_task)
        return True

    def close(self) -> None:
        """Ends the tasks that wait for work, when the node has stopped."""
        self._closed = True
        for callback_task in self._spare:
            callback_task.task.cancel()
        self._spare.clear()


class CallbackTask:
    """One task, and its work.

    gate: the future that the task awaits while it has nothing to do. It is never done: `step` resumes the task.
    touched: True if a callback has left something at the task, so that it cannot be used again.
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
        """Begins with `pending`, a callback of `activity`, in the loop's next iteration."""
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
        # Not by the loop's task factory: an eager task would begin before `self.task` is set.
        self.task = activity.task = asyncio.Task(self._run(), loop=pool.loop, name=_NAME, context=self._context)
        self.task.add_done_callback(self._never_begun)

    def step(
        self, activity: Activity, pending: Pending, deadline: float, budget: int, done: asyncio.Future[None]
    ) -> None:
        """Makes the task, which waits at its gate, continue a turn now."""
        self._activity = activity
        self._pending = pending
        self._deadline = deadline
        self._budget = budget
        activity.task = self.task
        loop = self._pool.loop
        outer = None
        try:
            wakeup = self._wakeup
            if wakeup is None:
                wakeup = self._wakeup = self.gate._callbacks[0][0]
            current = asyncio.current_task(loop)
            if current is not None:
                _leave_task(loop, current)
                outer = current
            self.gate.remove_done_callback(wakeup)
            self._context.run(wakeup, done)
        except BaseException as error:
            self._not_stepped(activity, pending, error)
            raise
        finally:
            if outer is not None:
                _enter_task(loop, outer)

    def _not_stepped(self, activity: Activity, pending: Pending, error: BaseException) -> None:
        """Abandons a task that could not be stepped or await its callback, for lack of memory: it never resumes."""
        if activity.task is self.task:
            activity.task = None
        if self._pending is pending:
            self._activity = self._pending = None
            self.task.cancel()
        elif activity.alive:
            activity.failed(error)

    def start_callback(self, pending: Pending) -> bool:
        """Begins a callback. Returns True if it waits for something; otherwise it has returned, and `touched` says
        whether the task can be used again."""
        # not by `send`, which raises when the callback returns, and that takes longer than all the rest
        waits_for = next(pending.__await__(), _RETURNED)
        if waits_for is _RETURNED:
            self._look()
            return False
        self._waits_for = waits_for
        return True

    def _look(self) -> None:
        """Finds out whether a callback has left something at the task: a reference, a cancellation, a variable."""
        self.touched = True
        if getrefcount(self.task) != self._references:  # counted as in `_run`, without a local name for the task
            return
        task, before, now = self.task, self._pool.scheduler.context, self._context
        self.touched = (
            getweakrefcount(task) != self._weak_references
            or task.cancelling() > 0
            or bool(task._callbacks)
            or task.get_name() is not _NAME
            or len(now) != len(before)  # not `!=`, which compares values of the program
            or (len(before) > 0 and not (all(map(is_, now, before)) and all(map(is_, now.values(), before.values()))))
        )

    async def _run(self) -> None:
        self.task.remove_done_callback(self._never_begun)
        scheduler = self._pool.scheduler
        self._deadline = perf_counter() + scheduler.turn_seconds
        self._budget = scheduler.turn_messages
        in_slice = False  # if it is in a slice, that charges the time and ends the turn
        while (activity := self._activity) is not None and (pending := self._pending) is not None:
            self._activity = self._pending = None
            self._references = getrefcount(self.task)
            self._weak_references = getweakrefcount(self.task)
            try:
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
                if activity.task is self.task:  # otherwise it is the task of an asynchronous `terminate` by now
                    activity.task = None
                if not in_slice and activity.task is None:
                    activity.turn_over()
            except BaseException as error:
                self._failed(activity, pending, error)
                raise
            del activity, pending, waiting
            if not self.touched and self._pool.keep(self):
                await _pause(self.gate)
                in_slice = True

    def _failed(self, activity: Activity, pending: Pending, error: BaseException) -> None:
        """Ends the activity after a failure of the runtime itself, mostly for lack of memory: its callback cannot
        continue."""
        if activity.task is self.task:
            activity.task = None
        if activity.alive:
            close_unbegun(pending, activity.hand)
            activity.failed(error)

    async def _finish(self, activity: Activity, waiting: Pending) -> None:
        """Continues a turn in which a callback waits for something."""
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
        """Returns the number of all references to the task."""
        return getrefcount(self.task)

    def waited(self, before: int) -> None:
        """Adjusts the expected references after a wait, before which there were `before`: those to the task that exist
        now, such as that of its waker, were not left by a callback."""
        self._references += getrefcount(self.task) - before

    def _never_begun(self, task: asyncio.Task[None]) -> None:
        """Ends the activity if the task was cancelled before the loop began with it, so that `_run` never ran."""
        activity, pending = self._activity, self._pending
        self._activity = self._pending = None
        if activity is not None and pending is not None:
            close_unbegun(pending, activity.hand)
            if activity.task is task:
                activity.task = None
            activity.end(TerminateKill())


@coroutine
def _rest_of(callback_task: CallbackTask, activity: Activity, inner: Pending) -> Generator[Any, Any, Any]:
    """Awaits the rest of `inner`, which `callback_task` has begun, and charges the time in which it runs, not the time
    in which it waits, to `activity`."""
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
