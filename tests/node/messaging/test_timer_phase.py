"""Timers on a clock of the test's own: it stands still while anything runs, and jumps to what is due next."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen

from ...support import eventually
from ..actors import QUIET


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits for a time to come: when nothing is left to do, it is that time."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def ticks(period: float, blocked: list[float]) -> list[float]:
    """The times at which a process gets the ticks of `period` if handling the n-th blocks the loop for `blocked[n]`."""

    class Clock(act.Actor):
        def init(self, times: list[float]) -> None:
            self.times = times
            self.loop: Any = asyncio.get_running_loop()
            self.start = self.loop.time()
            self.send_every(self.pid, "tick", period)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.times.append(self.loop.time() - self.start)
            if len(self.times) <= len(blocked):
                self.loop.now += blocked[len(self.times) - 1]

    async def main() -> list[float]:
        times: list[float] = []
        async with homing.start_node("clock@localhost", QUIET) as node:
            await node.spawn(Clock, times)
            await eventually(lambda: len(times) > len(blocked))
        return times[: len(blocked) + 1]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def test_ticks_are_due_at_whole_periods_from_the_start() -> None:
    assert ticks(0.25, [0, 0, 0]) == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_a_late_tick_does_not_shift_the_next() -> None:
    assert ticks(0.25, [0.125, 0.125, 0]) == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_ticks_missed_while_the_loop_was_blocked_come_as_one_and_the_phase_stays() -> None:
    assert ticks(0.25, [0.9375, 0, 0]) == pytest.approx([0.25, 1.1875, 1.25, 1.5])


@settings(max_examples=100)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_however_long_the_loop_is_blocked_the_phase_stays_and_no_tick_comes_twice(eighths: list[int]) -> None:
    """In eighths of a period."""
    expected, now, due = [], 0, 8
    for blocked in [*eighths, 0]:
        now = max(now, due)
        expected.append(now)
        due = max(due, now // 8 * 8) + 8
        now += blocked
    assert ticks(0.125, [each / 64 for each in eighths]) == pytest.approx([each / 64 for each in expected])


def test_timers_fire_in_the_order_of_their_times_and_at_their_times() -> None:
    class Clock(act.Actor):
        def init(self, fired: list[Any]) -> None:
            self.fired = fired
            self.start = asyncio.get_running_loop().time()
            for seconds in (2.0, 0.0, 1.0):
                self.send_after(self.pid, seconds, seconds)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.fired.append((message, asyncio.get_running_loop().time() - self.start))

    async def main() -> list[Any]:
        fired: list[Any] = []
        async with homing.start_node("clock@localhost", QUIET) as node:
            await node.spawn(Clock, fired)
            await eventually(lambda: len(fired) == 3)
        return fired

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        fired = runner.run(main())
    assert [seconds for seconds, _ in fired] == [0.0, 1.0, 2.0]
    assert [time for _, time in fired] == pytest.approx([0.0, 1.0, 2.0])
