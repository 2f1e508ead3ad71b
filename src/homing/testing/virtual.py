"""An event loop on which waiting takes no time: when nothing is left to do, its clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..gen.options import check_seconds

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock begins at 0 and moves only when every task waits: then to the next timer, at once.

    A node on it is the same in each run: turns and slices end after so many messages, not after some time. Only the
    loop's own time is virtual (`asyncio.sleep`, timers, timeouts), not `time.time` or `time.monotonic`. Without any
    timer it waits in real time.

    patience: seconds of real time that it waits for threads and for sockets of the system before the clock jumps. 0:
        none, for programs that have neither.
    """

    time_is_virtual = True
    _closed = True  # until it is made: asyncio looks when it is thrown away

    def __init__(self, *, patience: float = 0.0) -> None:
        check_seconds("patience", patience, zero=True)
        self._clock = _Clock(patience)
        super().__init__(self._clock)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
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
    """Runs `main(*args)`, an `async def`, on a `VirtualLoop`, as `asyncio.run` does on a real one, and gives its
    result. An hour of `asyncio.sleep` is over at once."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(patience=patience)) as runner:
        return runner.run(main(*args))
