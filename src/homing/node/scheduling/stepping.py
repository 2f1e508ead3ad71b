"""Stepping: awaits a coroutine and runs code around each of its steps, or awaits it in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from types import coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


@coroutine
def stepped(
    pending: Coroutine[Any, Any, Any], step: Callable[[Callable[[Any], Any], Any], Any]
) -> Generator[Any, Any, Any]:
    """Like `await pending`, but each step runs within `step(function, argument)`, which returns that step's result."""
    send: Callable[[Any], Any] = pending.send
    value: Any = None
    while True:
        try:
            waits_for = step(send, value)
        except StopIteration as stop:
            return stop.value
        send, value = pending.send, None
        try:
            value = yield waits_for
        except GeneratorExit:
            pending.close()
            raise
        except BaseException as error:
            send, value = pending.throw, error


async def in_own_task(loop: asyncio.AbstractEventLoop, pending: Coroutine[Any, Any, T]) -> T:
    """Like `await pending`, in a task of its own: the awaited code begins with an empty stack, so that deep nesting
    does not use up the stack. A cancellation is passed on."""
    task = loop.create_task(_outcome(pending))
    try:
        result, error = await task
    except BaseException:
        pending.close()  # the task may have been cancelled before it began
        raise
    if error is None:
        return cast(T, result)
    try:
        raise error
    finally:
        del error


async def _outcome(pending: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    """Returns the result and the exception of `pending`. A `SystemExit` that left the task would also end the loop."""
    try:
        return await pending, None
    except BaseException as error:
        return None, error


def is_cancelled(error: BaseException) -> bool:
    """Returns True if `error` is the cancellation of the current task, and not raised by code of the program."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


class Stopwatch:
    """Adds up the seconds in which it runs functions."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Returns `function(argument)`."""
        start = perf_counter()
        try:
            return function(argument)
        finally:
            self.seconds += perf_counter() - start
