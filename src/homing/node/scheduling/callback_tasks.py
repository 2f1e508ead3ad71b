"""Callback tasks: the tasks in which asynchronous callbacks run, made before they are needed and used again.

A task made for a callback would begin one iteration of the loop later, and most callbacks never wait for anything. So
tasks are kept after a callback, and a slice begins the next callback itself, as the loop would: with one of them as the
current task, in that task's context. For the callback it is a task like any other. If the callback returns without
waiting for anything, the task itself was never stepped. If the callback waits, the slice steps the task, which waits
for the same, and from there on the loop steps it. A task that a callback may still refer to is not used again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from operator import is_
from sys import getrefcount
from typing import TYPE_CHECKING, Any, cast
from weakref import getweakrefcount

from ...gen import ProcessState, TerminateKill
from ...gen.copying import refuse_copy
from ..mailbox.envelope import close_unbegun
from ..mailbox.lane import COMPILED
from .callback_steps import run

if TYPE_CHECKING:
    from contextvars import Context

    from .activity import Activity
    from .scheduler import Scheduler

    PyContext_Enter: Callable[[Any], int]
    PyContext_Exit: Callable[[Any], int]
    begin_coroutine: Callable[[Any, Any], Any]
    reference_count: Callable[[Any], int]

if not COMPILED:
    globals()["reference_count"] = getrefcount

if sys.version_info >= (3, 12):
    from asyncio.tasks import _swap_current_task

    _CURRENT_TASKS: dict[Any, Any] | None = None
else:
    _CURRENT_TASKS: dict[Any, Any] | None = vars(asyncio.tasks)["_current_tasks"]

    def _swap_current_task(loop: Any, task: Any) -> Any:
        raise NotImplementedError


MOST_SPARE = 64
"""The most callback tasks that wait for work. Tasks at work are as many as callbacks that have not returned."""

_COMPILED = COMPILED
_NAME = "homing callback"
_RETURNED = object()
_RUNNING = ProcessState.RUNNING
_name_of = asyncio.Task.get_name

Pending = Coroutine[Any, Any, Any]


def enter_task(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> Any:
    """Makes `task` the current task of `loop`. Returns the one before, None if there was none."""
    current = _CURRENT_TASKS
    if current is None:
        return _swap_current_task(loop, task)
    outer = current.get(loop)
    current[loop] = task
    return outer


def enter_again(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> None:
    """Makes `task` the current task of `loop` again; None if it is to have none."""
    if task is None:
        _enter_none(loop)
        return
    try:
        enter_task(loop, task)
    except MemoryError:  # it takes memory if the loop has no current task
        enter_task(loop, task)


def _enter_none(loop: asyncio.AbstractEventLoop) -> None:
    current = _CURRENT_TASKS
    if current is None:
        _swap_current_task(loop, None)
        return
    try:
        del current[loop]
    except KeyError:
        pass


class CallbackTasks:
    """The callback tasks of one node. Each begins with a copy of the scheduler's context."""

    __slots__ = ("_closed", "_done", "_first", "_spare", "loop", "scheduler")

    __reduce__ = refuse_copy

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.loop = scheduler.loop
        self._first: CallbackTask | None = None  # of those that wait for work: chained by `following`
        self._spare = 0
        self._closed = False
        self._done: asyncio.Future[None] = self.loop.create_future()
        self._done.set_result(None)

    @property
    def spare(self) -> list[asyncio.Task[None]]:
        """The tasks that wait for work."""
        tasks: list[asyncio.Task[None]] = []
        callback_task = self._first
        while callback_task is not None:
            tasks.append(callback_task.task)
            callback_task = callback_task.following
        return tasks

    def start(self, activity: Activity, pending: Pending, deadline: float, budget: int) -> None:
        """Continues a turn in which a callback returned `pending`. If the turn is not over when this returns, then
        `activity.task` is the task in which it continues."""
        if activity.state is not _RUNNING and not activity.alive:
            # the callback ended its own activity before it returned the coroutine
            close_unbegun(pending, activity.hand)
            return
        callback_task = self.take()
        if callback_task is None:
            CallbackTask(self, activity, pending)
        else:
            callback_task.begin(activity, pending, deadline, budget)

    def take(self) -> CallbackTask | None:
        """Removes and returns a task that waits for work, None if there is none."""
        while self._first is not None:
            callback_task = self._first
            self._first = callback_task.following
            callback_task.following = None
            self._spare -= 1
            if not callback_task.gate.canceled:  # otherwise somebody has cancelled all tasks of the loop
                return callback_task
        return None

    def prepare(self, count: int) -> None:
        """Makes `count` tasks, at most as many as are kept, which wait for work from the loop's next iteration on."""
        for _ in range(min(count, MOST_SPARE)):
            CallbackTask(self, None, None)

    def keep(self, callback_task: CallbackTask) -> bool:
        """Keeps a callback task that has nothing to do. Returns False if it is not needed."""
        if self._closed or self._spare >= MOST_SPARE:
            return False
        callback_task.following = self._first
        self._first = callback_task
        self._spare += 1
        return True

    def close(self) -> None:
        """Ends the tasks that wait for work, when the node has stopped."""
        self._closed = True
        for task in self.spare:
            task.cancel()
        self._first = None
        self._spare = 0


class Gate:
    """Awaited by a callback task while it has nothing to do: a future as far as a task needs one.

    asked: True if the task was cancelled while it was busy.
    busy: True while the task's callback runs, although for the loop the task waits here: a cancellation then takes
        effect when the callback waits for something, as if the loop had stepped the task.
    canceled: True if the task was cancelled while it waited here.
    wakeup: steps the task, when called with a future that is done.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_loop", "_message", "asked", "busy", "canceled", "wakeup")

    __reduce__ = refuse_copy

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._context = context
        self._message: Any = None
        self.asked = False
        self.busy = False
        self.canceled = False
        self.wakeup: Callable[[Any], object] | None = None

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Returns the loop of the task."""
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Called by the task when it begins to wait."""
        self.wakeup = callback

    def cancel(self, msg: Any = None) -> bool:
        """Called by the task when it is cancelled. Returns False if the task has to remember that itself."""
        if self.busy or self.canceled or self.wakeup is None:
            self.asked = True
            return False
        self._loop.call_soon(self.wakeup, self, context=self._context)
        self._message = msg
        self.canceled = True
        return True

    def result(self) -> None:
        """Called by the task when it is stepped by its cancellation. Raises `CancelledError`."""
        if self.canceled:
            raise asyncio.CancelledError() if self._message is None else asyncio.CancelledError(self._message)


class CallbackTask:
    """One task, and its work.

    activity, pending: its next work: a coroutine that has begun to wait, for `waits_for`; or, for a new task, one that
        has not begun.
    deadline, budget: the end of the activity's turn.
    touched: True if a callback has left something at the task, so that it cannot be used again.
    """

    __slots__ = (
        "_before",
        "_context",
        "_inside",
        "_loop",
        "_pool",
        "_references",
        "_weak_references",
        "activity",
        "budget",
        "deadline",
        "following",
        "gate",
        "pending",
        "scheduler",
        "task",
        "touched",
        "waits_for",
    )

    __reduce__ = refuse_copy

    def __init__(self, pool: CallbackTasks, activity: Activity | None, pending: Pending | None) -> None:
        """Begins in the loop's next iteration, with `pending`, a callback of `activity`, if there is one."""
        self._pool = pool
        self._loop = pool.loop
        self.scheduler = pool.scheduler
        self.activity = activity
        self.pending = pending
        self.deadline = 0.0
        self.budget = 0
        self.waits_for: Any = None
        self.touched = False
        self.following: CallbackTask | None = None  # in the chain of those that wait for work
        self._inside = True  # the task itself runs callbacks, not a slice in its name
        self._before = self._references = 0
        self._weak_references: int = 0
        self._context = pool.scheduler.context.copy()
        self.gate = Gate(pool.loop, self._context)
        # Not by the loop's task factory: an eager task would begin before `self.task` is set.
        self.task = asyncio.Task(run(self), loop=pool.loop, name=_NAME, context=self._context)
        if activity is not None:
            activity.task = self.task
        self.task.add_done_callback(self.never_begun)

    def begin(self, activity: Activity, pending: Pending | None, deadline: float, budget: int) -> None:
        """Continues a turn now, in the name of the task, which waits at its gate. pending: None for a place."""
        gate = self.gate
        gate.busy = True
        gate.asked = False
        activity.task = self.task
        handled = activity.handled
        waiting: Pending | None = None
        try:
            waiting = activity.continue_turn(pending, deadline, budget, self)
            if waiting is None:
                if self.touched or activity.handled != handled:  # other callbacks have run since it was looked at
                    self.look()
                if activity.task is self.task:  # otherwise it is the task of an asynchronous `terminate` by now
                    activity.task = None
                gate.busy = False
                if self.touched or not self._pool.keep(self):
                    self._step()  # without work: ends the task
                return
            self.activity = activity
            self.pending = waiting
            self.deadline = deadline
            self.budget = budget
            self._step()
            if self.pending is waiting:
                raise RuntimeError("a callback's task does not continue")
        except BaseException as error:
            self._not_stepped(activity, waiting, error)
            raise

    def _step(self) -> None:
        """Steps the task, which waits at its gate."""
        gate = self.gate
        outer = asyncio.current_task(self._loop)
        if outer is not None:
            enter_again(self._loop, None)
        try:
            self._before = self.references()
            self._context.run(cast("Callable[[Any], object]", gate.wakeup), self._pool._done)
        finally:
            gate.busy = False
            if outer is not None:
                enter_again(self._loop, outer)

    def _not_stepped(self, activity: Activity, waiting: Pending | None, error: BaseException) -> None:
        """Abandons a task that could not be stepped or await its callback, for lack of memory."""
        if activity.task is self.task:
            activity.task = None
        self.gate.busy = False
        if waiting is None or self.pending is waiting:
            self.activity = self.pending = None
            self.waits_for = None
            self.task.cancel()
        elif activity.alive:
            activity.failed(error)

    def start_callback(self, pending: Pending, entry: object) -> bool:
        """Begins a callback, for `entry` of the mailbox. Returns True if it waits for something; otherwise it has
        returned, and `touched` says whether the task can be used again."""
        self.touched = True
        self._references = self.references()
        self._weak_references = getweakrefcount(self.task)
        # not by `send`, which raises when the callback returns, and that takes longer than all the rest
        if not self._inside:
            waits_for = self._begin_now(pending, entry)
        elif _COMPILED:
            waits_for = begin_coroutine(pending, _RETURNED)
        else:
            waits_for = next(pending.__await__(), _RETURNED)
        if waits_for is _RETURNED:
            self.look()
            return False
        self.waits_for = waits_for
        return True

    def _begin_now(self, pending: Pending, entry: object) -> Any:
        """Begins a callback with the task as the current one. Returns what it waits for, `_RETURNED` if it has
        returned."""
        begun = False
        try:
            outer = enter_task(self._loop, self.task)
            try:
                if _COMPILED:
                    PyContext_Enter(self._context)
                    try:
                        begun = True
                        return begin_coroutine(pending, _RETURNED)
                    finally:
                        PyContext_Exit(self._context)
                steps = pending.__await__()
                begun = True
                return self._context.run(next, steps, _RETURNED)
            finally:
                enter_again(self._loop, outer)
        finally:
            if not begun:
                close_unbegun(pending, entry)

    def look(self) -> None:
        """Finds out whether a callback has left something at the task: a reference, a cancellation, a variable."""
        self.touched = True
        if self.references() != self._references:
            return
        task, before, now = self.task, self.scheduler.context, self._context
        count = len(before)
        self.touched = (
            getweakrefcount(task) != self._weak_references
            or (task.cancelling() > 0 if self._inside else self.gate.asked)
            or bool(task._callbacks)
            or _name_of(task) is not _NAME
            or len(now) != count  # not `!=`, which compares values of the program
            or (count > 0 and not (all(map(is_, now, before)) and all(map(is_, now.values(), before.values()))))
        )

    def kept(self) -> bool:
        """Makes the task, which has nothing to do, a spare one. Returns False if it is not needed."""
        if not self._pool.keep(self):
            return False
        self._inside = False
        return True

    def resumed(self) -> None:
        """Called by the task after it has waited at its gate."""
        self._inside = True
        self.gate.wakeup = None
        self.waited(self._before)

    def references(self) -> int:
        """Returns the number of all references to the task."""
        return reference_count(self.task)

    def waited(self, before: int) -> None:
        """Adjusts the expected references after a wait, before which there were `before`: those to the task that exist
        now, such as that of its waker, were not left by a callback."""
        self._references += self.references() - before

    def failed(self, activity: Activity, pending: Pending, error: BaseException) -> None:
        """Ends the activity after a failure of the runtime itself, mostly for lack of memory: its callback cannot
        continue."""
        if activity.task is self.task:
            activity.task = None
        if activity.alive:
            close_unbegun(pending, activity.hand)
            activity.failed(error)

    def never_begun(self, task: asyncio.Task[None]) -> None:
        """Ends the activity if the task was cancelled before the loop began with it, so that `run` never ran."""
        activity, pending = self.activity, self.pending
        self.activity = self.pending = None
        if activity is not None and pending is not None:
            close_unbegun(pending, activity.hand)
            if activity.task is task:
                activity.task = None
            activity.end(TerminateKill())
