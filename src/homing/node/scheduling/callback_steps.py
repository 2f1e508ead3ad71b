"""Callback steps: what a callback task runs itself, the rest of callbacks that wait for something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from time import perf_counter
from types import coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activity import Activity
    from .callback_tasks import CallbackTask, Gate, Pending


async def run(own: CallbackTask) -> None:
    """Runs the first callback of a new callback task, then the rest of each callback that has begun to wait. Between
    them the task waits at its gate; it ends once it is stepped and has no work."""
    own.task.remove_done_callback(own.never_begun)
    own.deadline = perf_counter() + own.scheduler.turn_seconds
    own.budget = own.scheduler.turn_messages
    begun = own.activity is None  # made in advance, see `CallbackTasks.prepare`
    if begun and own.kept():
        await _pause(own, own.gate)
    while (activity := own.activity) is not None and (pending := own.pending) is not None:
        own.activity = own.pending = None
        waiting: Pending | None = pending
        try:
            if not begun:
                continue_turn = partial(activity.continue_turn, pending, own.deadline, own.budget)
                waiting = own.scheduler.run_for(_charged(activity), continue_turn, own, True)
                del continue_turn
            if waiting is not None:
                await _finish(own, activity, waiting)
            own.look()
            if activity.task is own.task:  # otherwise it is the task of an asynchronous `terminate` by now
                activity.task = None
            if activity.task is None:
                activity.turn_over()
        except BaseException as error:
            own.failed(activity, pending, error)
            raise
        del activity, pending, waiting
        if not own.touched and own.kept():
            await _pause(own, own.gate)
            begun = True


@coroutine
def _pause(own: CallbackTask, gate: Gate) -> Generator[Any, Any, None]:
    """Waits until the task is stepped."""
    gate._asyncio_future_blocking = True
    try:
        yield gate
    except asyncio.CancelledError as error:
        if own.pending is None:
            raise
        # The callback was cancelled before it began to wait. Now the loop cancels what it waits for, or the callback.
        own.task.cancel(*error.args)
        own.task.uncancel()
    own.resumed()


async def _finish(own: CallbackTask, activity: Activity, waiting: Pending) -> None:
    """Continues a turn in which a callback waits for something."""
    pending: Pending | None = waiting
    while pending is not None:
        failure: BaseException | None = None
        try:
            await _rest_of(own, activity, pending)
        except BaseException as error:
            failure = error
        pending = None
        if failure is not None:
            activity.failed(failure)
            return
        activity.hand = None
        own.look()
        if activity.runnable and activity.alive and not own.touched and perf_counter() < own.deadline:
            advance = partial(activity.advance, own.deadline, own.budget)
            pending = own.scheduler.run_for(_charged(activity), advance, own, True)


@coroutine
def _rest_of(own: CallbackTask, activity: Activity, inner: Pending) -> Generator[Any, Any, Any]:
    """Awaits the rest of `inner`, which `own` has begun, and charges the time in which it runs, not the time in which
    it waits, to `activity`."""
    value: Any = None
    run_for = activity.scheduler.run_for
    activity = _charged(activity)
    waits_for, own.waits_for = own.waits_for, None
    while True:
        send: Callable[[Any], Any] = inner.send
        before = own.references()
        try:
            value = yield waits_for
        except GeneratorExit:
            inner.close()
            raise
        except BaseException as error:
            send, value = inner.throw, error
        own.waited(before)
        try:
            waits_for = run_for(activity, send, value, True)
        except StopIteration as stop:
            return stop.value


def _charged(activity: Activity) -> Activity:
    """Returns the process or meta-process whose callbacks run in `activity`."""
    acts_for = activity.acts_for
    return activity if acts_for is None else acts_for
