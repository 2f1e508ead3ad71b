"""Timers that are due later than the next events: the kernel keeps one, instead of a timeout for each wait."""

from __future__ import annotations

import asyncio
import os
import re
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

import homing

from .sockets import datagrams, feed, needs_selector, run, serving

pytestmark = needs_selector

FAR = 3600.0
T = TypeVar("T")


def alarms() -> list[str]:
    """Returns what the kernel says of each timer that this process has: the time that is left until it rings."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if os.readlink(entry) == "anon_inode:[timerfd]":
                text = Path("/proc/self/fdinfo", entry.name).read_text()
                found.append(re.search(r"it_value: (.*)", text)[1])  # type: ignore[index]
        except FileNotFoundError:
            pass  # the descriptor of the listing itself
    return found


class Echo:
    """A served socket; each datagram that it gets is read, and lets it get another one, `times` times in all."""

    def __init__(self, times: int, done: Callable[[], object]) -> None:
        self.sock, self.left, self.done = datagrams(1), times, done

    def called(self) -> None:
        self.sock.recv(100)
        self.left -= 1
        if self.left:
            feed(self.sock)
        else:
            self.done()


@contextmanager
def echo(times: int, done: Callable[[], object]) -> Iterator[Echo]:
    served = Echo(times, done)
    serving().on_readable(served.sock.fileno(), served.called)
    try:
        yield served
    finally:
        serving().on_readable(served.sock.fileno(), None)
        served.sock.close()


def without_deadline(main: Callable[[], Awaitable[T]]) -> T:
    """Runs `main` on a new loop that has no other timers than those of `main`."""
    with asyncio.Runner(loop_factory=homing.new_event_loop) as runner:
        return runner.run(main())  # type: ignore[arg-type]


def test_waits_for_one_timer_share_an_alarm() -> None:
    async def main() -> list[str]:
        loop, done, seen = asyncio.get_running_loop(), asyncio.Event(), []
        timer = loop.call_later(FAR, print)
        with echo(20, lambda: (seen.extend(alarms()), done.set())):
            await done.wait()
        timer.cancel()
        return seen

    (left,) = without_deadline(main)
    assert re.fullmatch(r"\(35\d\d, \d+\)", left)


def test_without_timers_there_is_no_alarm() -> None:
    async def main() -> list[str]:
        done, seen = asyncio.Event(), []
        with echo(20, lambda: (seen.extend(alarms()), done.set())):
            await done.wait()
        return seen

    assert without_deadline(main) == []


def test_the_timer_it_stands_for_is_neither_early_nor_lost() -> None:
    async def main() -> None:
        loop, due = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        moment = loop.time() + 0.05
        loop.call_at(moment, lambda: due.set_result(loop.time()))
        with echo(20, lambda: None):
            assert await due >= moment - 1e-6

    run(main)


def test_an_earlier_timer_comes_before_it() -> None:
    async def main() -> list[str]:
        loop, order, done = asyncio.get_running_loop(), [], asyncio.Event()
        late = loop.call_later(60, lambda: (order.append("late"), done.set()))
        with echo(10, lambda: loop.call_later(0.01, lambda: (order.append("early"), done.set()))):
            await done.wait()
        late.cancel()
        return order

    assert run(main) == ["early"]


def test_one_that_is_not_needed_any_more_disturbs_nobody() -> None:
    async def main() -> int:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        timer = loop.call_later(0.02, print, "cancelled timers do not run")
        with echo(10, timer.cancel):
            loop.call_later(0.06, done.set)
            await done.wait()
        return len(alarms())

    assert run(main) <= 1


def test_it_survives_the_renewal_of_the_epoll() -> None:
    async def main() -> None:
        loop, due = asyncio.get_running_loop(), asyncio.Event()
        loop.call_later(0.05, due.set)
        kept = -1
        with datagrams(1) as closed, echo(10, lambda: None) as served:
            # its file stays open by another descriptor, so that epoll reports it until the selector has a new one
            kept = os.dup(closed.fileno())
            serving().on_readable(closed.fileno(), lambda: served.left < 5 and closed.close())
            try:
                await due.wait()
            finally:
                os.close(kept)

    run(main)


def test_timers_come_in_time_without_a_descriptor_for_it() -> None:
    async def main() -> list[str]:
        loop, due = asyncio.get_running_loop(), asyncio.Event()
        loop.call_later(0.05, due.set)
        with echo(10, lambda: None):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                await due.wait()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return alarms()

    assert run(main) == []


@pytest.mark.parametrize("close", ["runner", "loop"])
def test_its_descriptor_is_closed_with_the_loop(close: str) -> None:
    async def main() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        loop.call_later(FAR, print)
        with echo(10, done.set):
            await done.wait()
        assert alarms()

    if close == "runner":
        run(main)
    else:
        loop = homing.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
    assert alarms() == []
