"""Stepping: to await something, and be there each time it runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from time import perf_counter
from types import coroutine
from typing import Any


@coroutine
def stepped(pending: Coroutine[Any, Any, Any], step: AbstractContextManager[Any]) -> Generator[Any, Any, Any]:
    """As `await pending`, inside of `step` whenever it runs, and outside while it waits."""
    send: Callable[[Any], Any] = pending.send
    value: Any = None
    while True:
        with step:
            try:
                waits_for = send(value)
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
    """Adds up the seconds of its blocks."""

    __slots__ = ("_start", "seconds")

    def __init__(self) -> None:
        self._start = 0.0
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, *error: object) -> None:
        self.seconds += perf_counter() - self._start
