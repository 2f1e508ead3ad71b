"""The timeout of silence: `idle_timeout` and `handle_timeout`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.testing import run_virtual

from ...support import eventually
from ..actors import QUIET, Doer

BAD = [0, -1.0, "3", True, float("nan"), [], 1e12]


class Quiet(Doer):
    """Notes when `handle_timeout` was called."""

    def init(self, seconds: float | None, times: list[float]) -> None:  # type: ignore[override]
        self.reasons = []
        self.times = times
        self.idle_timeout = seconds

    def handle_timeout(self) -> Any:
        self.times.append(asyncio.get_running_loop().time())

    def handle_response(self, label: Any, answer: Any) -> None:
        """Ends the silence."""

    def handle_event(self, event: Any) -> None:
        """Ends the silence."""


def virtual(main: Callable[[homing.Node, list[float]], Coroutine[Any, Any, None]]) -> None:
    """Runs `main` with a node in virtual time; `times` begin with the start."""

    async def run() -> None:
        async with homing.start_node("test@localhost", QUIET) as node:
            await main(node, [])

    run_virtual(run)


def rounded(times: list[float]) -> list[float]:
    return [round(time, 3) for time in times]


def test_it_is_called_after_each_silence() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        pid = await node.spawn(Quiet, 3.0, times)
        await asyncio.sleep(2.0)
        node.send(pid, lambda actor: None)
        await asyncio.sleep(9.5)
        assert rounded(times) == [5, 8, 11]

    virtual(main)


def test_a_thousand_messages_set_no_timer() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        pid = await node.spawn(Quiet, 3.0, times)
        loop: Any = asyncio.get_running_loop()
        await asyncio.sleep(0.001)
        calls, call_at = [0], loop.call_at

        def counting(*args: Any, **how: Any) -> Any:
            calls[0] += 1
            return call_at(*args, **how)

        loop.call_at = counting
        for _ in range(1000):
            node.send(pid, lambda actor: None)
            await asyncio.sleep(0)
        del loop.call_at
        assert (calls, node.process_info(pid).messages_in) == ([0], 1000)

    virtual(main)


def test_the_silence_begins_when_the_callback_has_ended() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        pid = await node.spawn(Quiet, 1.0, times)
        node.send(pid, lambda actor: asyncio.sleep(10))
        await asyncio.sleep(11.5)
        assert rounded(times) == [11]

    virtual(main)


def test_a_slow_init_does_not_count() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        class Slow(Quiet):
            async def init(self, seconds: float, times: list[float]) -> None:  # type: ignore[override]
                super().init(seconds, times)
                await asyncio.sleep(4)

        await node.spawn(Slow, 1.0, times)
        await asyncio.sleep(1.5)
        assert rounded(times) == [5]

    virtual(main)


@pytest.mark.parametrize("what", ["message", "request", "response", "event"])
def test_whatever_is_handled_ends_the_silence(what: str) -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        pid, other = await node.spawn(Quiet, 3.0, times), await node.spawn(Doer)
        token = await node.call(other, lambda actor: actor.register_event("tick"))
        if what == "event":
            await node.call(pid, lambda actor: actor.monitor_event(gen.Event("tick", node.name)))
        if what == "response":
            node.send(pid, lambda actor: actor.send_request(other, lambda it: asyncio.sleep(2)) and None)
        await asyncio.sleep(2.0)
        match what:
            case "message":
                node.send(pid, lambda actor: None)
            case "request":
                await node.call(pid, lambda actor: None)
            case "event":
                await node.call(other, lambda actor: actor.send_event("tick", token, 1))
        await asyncio.sleep(3.5)
        assert rounded(times) == [5]

    virtual(main)


def test_inspections_do_not_end_the_silence() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        pid = await node.spawn(Quiet, 3.0, times)
        for _ in range(7):
            await asyncio.sleep(0.5)
            await node.inspect(pid)
        assert rounded(times) == [3]

    virtual(main)


def test_it_can_be_changed_and_switched_off_at_any_time() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        pid = await node.spawn(Quiet, 10.0, times)
        await asyncio.sleep(1)
        node.send(pid, lambda actor: setattr(actor, "idle_timeout", 2.0))
        await asyncio.sleep(2.5)
        assert rounded(times) == [3]
        node.send(pid, lambda actor: setattr(actor, "idle_timeout", 5.0))
        await asyncio.sleep(5.5)
        assert rounded(times) == [3, 8.5]
        node.send(pid, lambda actor: setattr(actor, "idle_timeout", None))
        await asyncio.sleep(100)
        assert rounded(times) == [3, 8.5]
        assert await node.call(pid, lambda actor: actor.idle_timeout) is None

    virtual(main)


def test_handle_timeout_may_switch_it_off() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        class Once(Quiet):
            def handle_timeout(self) -> None:
                super().handle_timeout()
                self.idle_timeout = None

        await node.spawn(Once, 1.0, times)
        await asyncio.sleep(10)
        assert rounded(times) == [1]

    virtual(main)


def test_an_asynchronous_handle_timeout_is_awaited() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        class Slow(Quiet):
            async def handle_timeout(self) -> None:
                await asyncio.sleep(2)
                super().handle_timeout()

        await node.spawn(Slow, 1.0, times)
        await asyncio.sleep(7)
        assert rounded(times) == [3, 6]

    virtual(main)


def test_a_class_may_set_it() -> None:
    async def main(node: homing.Node, times: list[float]) -> None:
        class Mixin:
            idle_timeout = 2.0

        class Set(Mixin, act.Actor):  # type: ignore[misc]
            def handle_timeout(self) -> None:
                times.append(asyncio.get_running_loop().time())
                raise gen.TerminateNormal

        pid = await node.spawn(Set)
        await asyncio.sleep(3)
        assert (rounded(times), pid in node.processes()) == ([2], False)

    virtual(main)


def test_a_derived_class_may_switch_it_off() -> None:
    class Set(act.Actor):
        idle_timeout = 2.0

    class Off(Set):
        idle_timeout = None

    async def main(node: homing.Node, times: list[float]) -> None:
        await node.spawn(Off)
        await asyncio.sleep(3)

    virtual(main)


@pytest.mark.parametrize("value", BAD)
async def test_a_bad_value_is_refused(node: homing.Node, value: Any) -> None:
    def change(actor: Any) -> None:
        with pytest.raises(gen.BadOption, match="idle_timeout="):
            actor.idle_timeout = value
        assert actor.idle_timeout is None

    await node.call(await node.spawn(Doer), change)


@pytest.mark.parametrize("value", BAD)
def test_a_bad_value_in_a_class_is_refused_when_the_class_is_made(value: Any) -> None:
    with pytest.raises(gen.BadOption, match="idle_timeout="):
        type("Bad", (act.Actor,), {"idle_timeout": value})


async def test_it_works_on_a_thread(node: homing.Node) -> None:
    called: list[int] = []

    class Threaded(act.Actor):
        def init(self) -> None:
            self.idle_timeout = 0.01

        def handle_timeout(self) -> None:
            called.append(1)

    await node.spawn(Threaded, options=gen.ProcessOptions(thread=True))
    await eventually(lambda: len(called) >= 2)


async def test_a_pool_may_have_it(node: homing.Node) -> None:
    called: list[int] = []

    class Pool(act.Pool):
        def init(self) -> act.PoolOptions:
            self.idle_timeout = 0.01
            return act.PoolOptions(worker=Doer, pool_size=1)

        def handle_timeout(self) -> None:
            called.append(1)

    await node.spawn(Pool)
    await eventually(lambda: len(called) >= 2)


async def test_the_end_of_the_process_ends_it(node: homing.Node) -> None:
    pid = await node.spawn(Quiet, 0.01, times := list[float]())
    await eventually(lambda: times)
    node.kill(pid)
    await eventually(lambda: pid not in node.processes())
    count = len(times)
    await asyncio.sleep(0.05)
    assert len(times) == count


async def test_a_crash_in_handle_timeout_is_a_crash(node: homing.Node) -> None:
    class Crash(act.Actor):
        idle_timeout = 0.001

        def handle_timeout(self) -> None:
            raise ValueError("a bug")

    pid = await node.spawn(Crash)
    await eventually(lambda: pid not in node.processes())
    assert node.info().crashes == 1


@pytest.mark.parametrize("ends_by", ["callback", "timeout"])
def test_the_silence_of_callbacks_side_by_side_begins_when_the_last_has_ended(ends_by: str) -> None:
    class Slow(Quiet):
        async def handle_timeout(self) -> None:  # type: ignore[override]
            super().handle_timeout()
            await asyncio.sleep(0.5 if ends_by == "timeout" else 0)

    async def main(node: homing.Node, times: list[float]) -> None:
        pid = await node.spawn(Slow, 1.0, times, options=gen.ProcessOptions(concurrency=10))
        if ends_by == "callback":
            for seconds in (4, 2, 3):
                node.send(pid, lambda actor, seconds=seconds: asyncio.sleep(seconds))
        await asyncio.sleep(6.2)
        assert rounded(times) == ([5, 6] if ends_by == "callback" else [1, 2.5, 4, 5.5])

    virtual(main)
