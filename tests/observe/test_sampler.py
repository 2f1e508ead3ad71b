"""Sampling: only while somebody asks, in portions, and what rates and ages come of it. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen, meta, testing
from homing.observe import Observer, sampler
from homing.observe.ages import Age

from ..support import eventually, examples

QUIET = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)


class Slow(act.Actor):
    """Handles a message in two seconds."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(2)


def virtual(body: Any) -> Any:
    """Runs `body(node)` in virtual time."""

    async def main() -> Any:
        async with homing.start_node("v@localhost", QUIET) as node:
            result = await body(node)
            await node.stop(0)
            return result

    return testing.run_virtual(main)


def samplers_running() -> int:
    return sum(task.get_name() == "homing sampler" for task in asyncio.all_tasks())


def test_it_runs_from_the_first_question_until_a_minute_after_the_last() -> None:
    async def body(node: homing.Node) -> list[int]:
        observer = Observer(node)
        seen = [samplers_running()]
        await observer.ask({"what": "processes"})
        for seconds in (59, 1, 3):
            seen.append(samplers_running())
            await asyncio.sleep(seconds)
        seen.append(samplers_running())
        await observer.ask({"what": "node"})
        seen.append(samplers_running())
        return seen

    assert virtual(body) == [0, 1, 1, 1, 0, 1]


def test_all_observers_of_a_node_share_one() -> None:
    async def body(node: homing.Node) -> int:
        await asyncio.gather(*[Observer(node).ask({"what": "processes"}) for _ in range(5)])
        return samplers_running()

    assert virtual(body) == 1


async def test_it_ends_with_the_node_and_questions_are_answered_without() -> None:
    async with homing.start_node("short@localhost", QUIET) as node:
        observer = Observer(node)
        asking = asyncio.create_task(observer.ask({"what": "processes"}))
        await asyncio.sleep(0)
        await node.stop()
        assert (await asking)["total"] == 0
        assert (await observer.ask({"what": "processes"}))["total"] == 0
        await asyncio.sleep(0)
        assert samplers_running() == 0


async def test_an_observer_of_a_node_that_has_stopped_keeps_nothing(node: homing.Node) -> None:
    async with homing.start_node("short@localhost", QUIET) as short:
        pass
    kept = len(sampler.samplers._made)
    assert (await Observer(short).ask({"what": "processes"}))["total"] == 0
    assert (len(sampler.samplers._made), samplers_running()) == (kept, 0)


def test_a_question_is_answered_though_the_loop_was_blocked_for_longer_than_sampling_lingers() -> None:
    async def body(node: homing.Node) -> int:
        observer = Observer(node)
        asking = asyncio.create_task(observer.ask({"what": "processes"}))
        while observer.sampler.rounds == 0:
            await asyncio.sleep(0)
        observer.sampler._asked -= 2 * sampler.LINGER_SECONDS
        async with asyncio.timeout(5):
            return int((await asking)["total"])

    assert virtual(body) == 0


async def test_a_question_is_answered_though_the_program_cancels_all_tasks(node: homing.Node) -> None:
    observer = Observer(node)
    asking = asyncio.create_task(observer.ask({"what": "processes"}))
    await eventually(samplers_running)
    for task in asyncio.all_tasks():
        if task.get_name() == "homing sampler":
            task.cancel()
    async with asyncio.timeout(5):
        assert (await asking)["total"] == 0
        assert (await observer.ask({"what": "processes"}))["total"] == 0


def test_rates_are_those_between_the_last_two_samples() -> None:
    async def body(node: homing.Node) -> dict[str, Any]:
        class Sender(act.Actor):
            def handle_message(self, sender: gen.PID, message: Any) -> None:
                self.send("receiver", message)

        await node.spawn(act.Actor, name="receiver")
        pid = await node.spawn(Sender, name="sender")
        observer = Observer(node)
        await observer.ask({"what": "processes"})
        for _ in range(100):
            node.send(pid, 1)
            await asyncio.sleep(0.1)
        answer = await observer.ask({"what": "processes", "sort": "name"})
        return dict(zip(("receiver", "sender"), answer["processes"], strict=True))

    found = virtual(body)
    assert found["sender"]["in_rate"] == pytest.approx(10, rel=0.15)
    assert found["sender"]["out_rate"] == pytest.approx(10, rel=0.15)
    assert found["receiver"]["in_rate"] == pytest.approx(10, rel=0.15)
    assert found["receiver"]["out_rate"] == 0


def test_the_age_of_the_oldest_message_is_known_to_a_period() -> None:
    async def body(node: homing.Node) -> list[tuple[float, Age | None]]:
        pid = await node.spawn(Slow)
        observer = Observer(node)
        await observer.ask({"what": "processes"})
        loop = asyncio.get_running_loop()
        sent = []
        found: list[tuple[float, Age | None]] = []
        for _ in range(20):
            node.send(pid, 1)
            sent.append(loop.time())
            await asyncio.sleep(1)
            process = observer.core.processes[pid]
            if process.waiting:
                found.append((loop.time() - sent[process.handled], observer.sampler.age(process)))
        return found

    found = virtual(body)
    assert len(found) > 15
    for true, age in found:
        assert age is not None
        assert not age.at_least
        assert abs(age.seconds - true) <= sampler.PERIOD + 0.01
    assert found[-1][0] > 8


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 9)),
        st.tuples(st.just("sleep"), st.floats(0.01, 5)),
        st.tuples(st.just("block"), st.floats(0.1, 10)),
    ),
    max_size=60,
)


@settings(max_examples=examples(50, 2000))
@given(STEPS)
def test_whatever_comes_and_however_long_the_loop_is_blocked_an_age_is_as_exact_as_documented(
    steps: list[tuple[str, float]],
) -> None:
    async def body(node: homing.Node) -> None:
        pid = await node.spawn(Slow)
        observer = Observer(node)
        await observer.ask({"what": "processes"})
        loop: Any = asyncio.get_running_loop()
        process = observer.core.processes[pid]
        sent: list[float] = []
        blocked = 0.0
        for what, amount in steps:
            if what == "send":
                for _ in range(int(amount)):
                    node.send(pid, 1)
                    sent.append(loop.time())
            elif what == "sleep":
                await asyncio.sleep(amount)
            else:
                loop._clock.now += amount
                blocked += amount
            observer.sampler.keep()
            age = observer.sampler.age(process)
            if not process.waiting:
                assert age is None
                continue
            true = loop.time() - sent[process.handled]
            assert age is not None
            assert not age.at_least
            assert abs(age.seconds - true) <= max(sampler.PERIOD + blocked, true / 8) + 0.01

    virtual(body)


def test_a_message_that_waited_before_anybody_asked_is_at_least_as_old_as_the_observation() -> None:
    async def body(node: homing.Node) -> list[tuple[float, bool]]:
        pid = await node.spawn(Slow)
        for _ in range(100):
            node.send(pid, 1)
        await asyncio.sleep(50)
        observer = Observer(node)
        rows = []
        for _ in range(2):
            answer = await observer.ask({"what": "processes"})
            rows.append((answer["processes"][0]["oldest"], answer["processes"][0]["oldest_at_least"]))
            await asyncio.sleep(10)
        return rows

    first, second = virtual(body)
    assert first == (pytest.approx(0.05, abs=0.02), True)
    assert second == (pytest.approx(10.05, abs=1), True)


def test_a_process_that_keeps_up_has_no_oldest_message() -> None:
    async def body(node: homing.Node) -> Any:
        await node.spawn(act.Actor)
        return (await Observer(node).ask({"what": "processes"}))["processes"][0]["oldest"]

    assert virtual(body) is None


def test_histograms_count_each_message_that_was_handled() -> None:
    async def body(node: homing.Node) -> tuple[int, int]:
        pid = await node.spawn(act.Actor)
        observer = Observer(node)
        await observer.ask({"what": "processes"})
        for _ in range(30):
            node.send(pid, 1)
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        return observer.sampler.handling.total, observer.sampler.queue_age.total

    assert virtual(body) == (30, 30)


async def test_the_loop_polls_between_portions_of_a_sample(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = await longest_step(node, monkeypatch, Observer(node).sampler.ready(), sampler.Sampler, "_sampled")
    assert longest <= sampler.PORTION


async def longest_step(
    node: homing.Node,
    monkeypatch: pytest.MonkeyPatch,
    work: Coroutine[Any, Any, Any],
    owner: Any,
    name: str,
    count: int = 2000,
) -> int:
    """The most calls of `owner.name` between two polls of the loop, with `count` more processes."""
    for _ in range(count):
        await node.spawn(act.Actor)
    calls, longest = 0, 0
    function = getattr(owner, name)
    loop = asyncio.get_running_loop()

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return function(*args, **kwargs)

    def poll() -> None:
        nonlocal calls, longest
        longest, calls = max(longest, calls), 0
        handles[0] = loop.call_soon(poll)

    monkeypatch.setattr(owner, name, counted)
    handles = [loop.call_soon(poll)]
    await work
    handles[0].cancel()
    assert longest > 0
    return max(longest, calls)


async def test_a_socket_that_opens_and_closes_while_it_is_sampled_does_no_harm(node: homing.Node) -> None:
    class Owner(act.Actor):
        async def init(self) -> None:
            await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1")))

    observer = Observer(node)
    for _ in range(5):
        pid = await node.spawn(Owner)
        await observer.sampler.ready()
        node.kill(pid)
    assert (await observer.ask({"what": "sockets"}))["total"] == 0
