"""Stepping: to await something, and be there each time it runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from types import coroutine
from typing import Any


@coroutine
def stepped(
    pending: Coroutine[Any, Any, Any], step: Callable[[Callable[[Any], Any], Any], Any]
) -> Generator[Any, Any, Any]:
    """As `await pending`; whenever it runs, it does so in `step(function, argument)`, which gives what that gives."""
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


class Stopwatch:
    """Adds up the seconds in which it runs functions."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Gives `function(argument)`."""
        start = perf_counter()
        try:
            return function(argument)
        finally:
            self.seconds += perf_counter() - start
