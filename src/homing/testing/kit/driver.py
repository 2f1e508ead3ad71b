"""The event loop of a unit test: runs until nothing is left to do, in virtual time."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from time import process_time
from typing import Any

from ...datagram.sockets.substitute import enter
from ...node.scheduling.callback_tasks import enter_again
from .sockets import UnitSockets

_PATIENCE = 5.0
"""Seconds of real time for which a callback may wait for a thread (`asyncio.to_thread`)."""

_ROUNDING = 1e-9
"""Seconds by which a timer may be late: sums of floating-point seconds are not exact."""

_ROUNDS = 20
_SECONDS = 1.0
"""Iterations of the loop, without a pause and without a step of the clock, and the processor time that they have taken.
More than both is an endless loop, such as a process that answers each of its messages by another to itself. (Processor
time, as a debugger may stop the program.)"""


class StepClock(selectors.DefaultSelector):
    """A selector that stops the loop when nothing is left to do until `limit`.

    now: virtual time, in seconds. next: the time of the next timer when the loop was stopped; None without any.
    jobs: number of calls that threads are running. rounds: iterations since the clock last moved. endless: True if the
    loop was stopped because it would not come to rest.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()
        self._stop = stop
        self.now = 0.0
        self.limit = 0.0
        self.next: float | None = None
        self.jobs = 0
        self._begin()

    def begin(self, limit: float) -> None:
        """Prepares a run until `limit`."""
        self.limit = limit
        self._begin()

    def _begin(self) -> None:
        self.rounds = 0
        self.endless = False
        self._began = process_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is not None and timeout <= 0:
            self.rounds += 1
            self.endless = self.rounds > _ROUNDS and process_time() - self._began > _SECONDS
            if self.endless:
                self._stop()
            return ready
        if not ready and self.jobs:
            ready = super().select(_PATIENCE)
        if not ready:
            self._step(timeout)
        return ready

    def _step(self, timeout: float | None) -> None:
        """Moves the clock to the next timer, if that is due until `limit`; otherwise stops the loop."""
        self.next = None if timeout is None else max(self.now + timeout, math.nextafter(self.now, math.inf))
        if self.next is not None and self.next <= self.limit + _ROUNDING:
            self.now = self.next
            self._begin()
        else:
            self._stop()


class UnitLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, with a `StepClock`. (Its slices end by the real time that they take, so that the
    loop notices processes that never rest. It has no `time_is_virtual`.)"""

    _closed = True  # until `__init__` has run: asyncio's `__del__` reads it

    def __init__(self) -> None:
        self.clock = StepClock(self.stop)
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now

    def run_in_executor(self, executor: Executor | None, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self.clock.jobs += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, future: asyncio.Future[Any]) -> None:
        self.clock.jobs -= 1


class Driver:
    """Runs the loop. Within a test that is itself a coroutine, the loop of that test stands still meanwhile."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=UnitLoop)
        loop = self._runner.get_loop()
        assert isinstance(loop, UnitLoop)  # noqa: S101 - for type checkers
        self.loop = loop
        self._sockets = UnitSockets()
        self.running = False

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.loop.clock.now

    @property
    def endless(self) -> bool:
        """True if the loop was stopped because it would not come to rest."""
        return self.loop.clock.endless

    def run(self, busy: Callable[[], bool], seconds: float, most: float, step: Callable[[], None]) -> bool:
        """Runs until nothing is left to do within `seconds`; while `busy()`, for up to `most` seconds more. `step` is
        called before each of these steps. Returns False if it is still busy then, or `endless`."""
        clock = self.loop.clock
        end = clock.now + seconds
        self._run_until(end)
        clock.now = max(clock.now, end)
        last = clock.now + most
        while busy() and not self.endless:
            if clock.next is None or clock.next > last:
                return False
            step()
            self._run_until(clock.next)
        return not self.endless

    def _run_until(self, limit: float) -> None:
        self.loop.clock.begin(limit)
        with self._inside():
            self.loop.run_forever()

    def close(self) -> None:
        """Cancels all tasks and closes the loop."""
        with self._inside():
            self.loop.clock.limit = math.inf
            self.loop.clock.jobs += 1  # the thread that ends the loop's executor
            self._runner.close()

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """A context in which no other loop runs, and sockets are those of the kit."""
        outer = asyncio._get_running_loop()
        task = asyncio.current_task(outer) if outer is not None else None
        leave = enter(self._sockets.bind)
        if outer is not None:
            enter_again(outer, None)
            asyncio._set_running_loop(None)
        self.running = True
        try:
            yield
        finally:
            self.running = False
            leave()
            if outer is not None:
                asyncio._set_running_loop(outer)
                enter_again(outer, task)
