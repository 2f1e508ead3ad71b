"""An event loop on which waiting takes no time: when all tasks wait, its clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..gen import BadOption
from ..gen.options import check_seconds

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock begins at 0 and moves only when every task waits: then at once to the next timer.

    A node on it behaves the same in each run: turns and slices end after a number of messages, not after a time. Only
    the loop's own time is virtual (`asyncio.sleep`, timers, timeouts), not `time.time` or `time.monotonic`. Without any
    timer it waits in real time.

    patience: seconds of real time that it waits for threads and for real sockets before the clock jumps. 0: no wait,
        for programs without threads and real sockets.
    """

    time_is_virtual = True
    _closed = True  # until `__init__` has run: asyncio's `__del__` reads it

    def __init__(self, *, patience: float = 0.0) -> None:
        check_seconds("patience", patience, zero=True)
        self._clock = _Clock(patience)
        super().__init__(self._clock)

    def time(self) -> float:
        """Returns the virtual seconds since the loop was made."""
        return self._clock.now


class _Clock(selectors.DefaultSelector):
    """A selector that does not wait for time to pass."""

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = patience
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(min(timeout, self._patience))
        if not ready:
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
        return ready


def run_virtual(main: Callable[..., Coroutine[Any, Any, T]], *args: Any, patience: float = 0.0) -> T:
    """Runs `main(*args)`, an `async def`, on a `VirtualLoop`, as `asyncio.run` does on a real loop, and returns its
    result. An hour of `asyncio.sleep` is over at once. Raises `BadOption` if `main` is not a function."""
    if not callable(main):
        if asyncio.iscoroutine(main):
            main.close()
        raise BadOption("main", main, "give the function itself and its arguments: run_virtual(main, 5)")
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(patience=patience)) as runner:
        return runner.run(main(*args))
