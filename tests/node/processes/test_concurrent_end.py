"""The end of a process whose callbacks run side by side: at each point, each message is handled, a dead letter, or
counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen
from homing.testing import run_virtual

from ...support import Probe, eventually, examples
from ..actors import QUIET, Keeper
from .test_concurrent import Worker, beside, held


async def letters(node: homing.Node) -> list[gen.MessageDeadLetter]:
    kept: list[Any] = []
    await node.spawn(Keeper, kept, name="letters")
    return kept


async def boom(actor: Any) -> None:
    await asyncio.sleep(0)
    raise ValueError("boom")


def now(actor: Any) -> None:
    raise ValueError("boom")


async def normal(actor: Any) -> None:
    await asyncio.sleep(0)
    raise gen.TerminateNormal


class Noted(Worker):
    """Notes the cancellations of its callbacks, and what was in flight when `terminate` ran."""

    noted: list[Any]

    def terminate(self, reason: Exception) -> None:
        self.noted.append(("terminate", type(reason), self.now))


@pytest.mark.parametrize(("end", "reason"), [(boom, ValueError), (now, ValueError), (normal, gen.TerminateNormal)])
async def test_a_callback_that_raises_ends_the_process_and_cancels_the_others(
    node: homing.Node, probe: Probe, end: Any, reason: type
) -> None:
    kept = await letters(node)
    noted: list[Any] = []
    kind = type("Kind", (Noted,), {"noted": noted})
    pid = await node.spawn(kind, options=beside(5, dead_letters="letters"))
    await probe.do(lambda actor: actor.monitor_pid(pid))
    calls = [asyncio.ensure_future(node.call(pid, (9, tag), timeout=9)) for tag in range(3)]
    await eventually(lambda: node.process_info(pid).in_flight == 3)
    node.send(pid, end)
    assert isinstance((await probe.get()).reason, reason)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [gen.ProcessTerminated] * 3
    assert noted == [("terminate", reason, 0)]
    await eventually(lambda: len(kept) == (3 if end is normal else 4))
    cut = [letter for letter in kept if letter.message is not end]
    assert [letter.message for letter in cut] == [(9, tag) for tag in range(3)]
    assert all(letter.in_hand for letter in kept)
    assert {type(letter.reason) for letter in kept} == {reason}


async def test_a_kill_cancels_all_callbacks(node: homing.Node, probe: Probe) -> None:
    kept = await letters(node)
    pid = await node.spawn(Worker, options=beside(20, dead_letters="letters"))
    await probe.do(lambda actor: actor.monitor_pid(pid))
    await held(node, pid, 20)
    node.kill(pid)
    assert isinstance((await probe.get()).reason, gen.TerminateKill)
    await eventually(lambda: len(kept) == 20)


async def test_an_exit_signal_cancels_all_callbacks(node: homing.Node, probe: Probe) -> None:
    kept = await letters(node)
    pid = await node.spawn(Worker, options=beside(20, dead_letters="letters"))
    await probe.do(lambda actor: actor.monitor_pid(pid))
    await held(node, pid, 10)
    await probe.do(lambda actor: actor.send_exit(pid, gen.TerminateShutdown))
    assert isinstance((await probe.get()).reason, gen.TerminateShutdown)
    await eventually(lambda: len(kept) == 10)


async def test_an_exit_signal_ends_a_process_at_its_limit_too(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Worker, options=beside(2))
    await probe.do(lambda actor: actor.monitor_pid(pid))
    await held(node, pid, 2)
    await probe.do(lambda actor: actor.send_exit(pid, gen.TerminateShutdown))
    assert isinstance((await probe.get()).reason, gen.TerminateShutdown)


async def test_a_callback_that_delays_its_cancellation_delays_the_end(node: homing.Node, probe: Probe) -> None:
    gate = asyncio.Event()
    noted: list[Any] = []
    kind = type("Kind", (Noted,), {"noted": noted})

    async def stubborn(actor: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            noted.append("cancelled")
            await gate.wait()
            noted.append("over")

    pid = await node.spawn(kind, options=beside(5))
    await probe.do(lambda actor: actor.monitor_pid(pid))
    node.send(pid, stubborn)
    await asyncio.sleep(0.001)
    node.send(pid, now)
    await eventually(lambda: noted)
    assert node.process_info(pid).state is gen.ProcessState.ZOMBIE
    gate.set()
    assert isinstance((await probe.get()).reason, ValueError)
    assert noted == ["cancelled", "over", ("terminate", ValueError, 0)]


async def test_a_callback_that_returns_in_spite_of_its_cancellation_was_handled(node: homing.Node) -> None:
    kept = await letters(node)
    returned: list[int] = []

    async def returns(actor: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            returned.append(1)

    pid = await node.spawn(Worker, options=beside(5, dead_letters="letters"))
    node.send(pid, returns)
    await asyncio.sleep(0.001)
    node.kill(pid)
    await eventually(lambda: pid not in node.processes())
    assert (returned, kept) == ([1], [])


async def test_a_callback_that_ignores_its_cancellation_is_left_behind() -> None:
    async with homing.start_node("left@localhost", QUIET) as node:
        await letters(node)
        gate = asyncio.Event()

        async def ignores(actor: Any) -> None:
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    pass

        pid = await node.spawn(Worker, options=beside(5, dead_letters="letters"))
        node.send(pid, ignores)
        await asyncio.sleep(0.001)
        await node.stop(0.05)
        assert node.info().state == "stopped"
        assert node.info().dead_letters == 1
        gate.set()
        await asyncio.sleep(0)


async def test_a_stop_waits_for_callbacks_in_flight(node: homing.Node) -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0.02)
        done.append(number)

    pid = await node.spawn(Worker, options=beside(10))
    for number in range(30):
        node.send(pid, lambda actor, number=number: work(number))
    await node.stop(5)
    assert sorted(done) == list(range(30))


async def test_a_callback_may_kill_its_own_process(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Worker, options=beside(5))
    await probe.do(lambda actor: actor.monitor_pid(pid))
    await held(node, pid, 2)

    async def end(actor: Any) -> None:
        node.kill(pid)
        await asyncio.sleep(9)

    node.send(pid, end)
    assert isinstance((await probe.get()).reason, gen.TerminateKill)


async def test_a_callback_that_ends_its_process_before_its_coroutine_begins_never_begins(
    node: homing.Node, probe: Probe
) -> None:
    kept = await letters(node)
    pid = await node.spawn(Worker, options=beside(5, dead_letters="letters"))
    await probe.do(lambda actor: actor.monitor_pid(pid))

    async def never() -> None:
        raise AssertionError

    def end(actor: Any) -> Any:
        node.kill(pid)
        return never()

    node.send(pid, end)
    assert isinstance((await probe.get()).reason, gen.TerminateKill)
    await eventually(lambda: kept)
    assert [letter.message for letter in kept] == [end]


async def test_a_key_function_may_end_its_process(node: homing.Node, probe: Probe) -> None:
    kept = await letters(node)

    def key(message: Any) -> int:
        if message == 3:
            node.kill(pid)
        return 1

    async def handle(actor: Any, sender: Any, message: Any) -> None:
        await asyncio.sleep(9)

    kind = type("Kind", (act.Actor,), {"handle_message": handle})
    pid = await node.spawn(kind, options=beside(5, dead_letters="letters", concurrency_key=key))
    await probe.do(lambda actor: actor.monitor_pid(pid))
    for number in range(6):
        node.send(pid, number)
    assert isinstance((await probe.get()).reason, gen.TerminateKill)
    await eventually(lambda: len(kept) == 6)
    assert sorted(letter.message for letter in kept) == list(range(6))


async def test_a_kill_before_the_first_callback_task_is_there_ends_the_process(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(5))
    node.send(pid, asyncio.sleep)
    await asyncio.sleep(0)
    node.kill(pid)
    await eventually(lambda: pid not in node.processes())


async def test_a_restart_gets_what_waited_and_not_what_was_in_flight(node: homing.Node) -> None:
    handled: list[Any] = []
    gate = asyncio.Event()

    class Child(act.Actor):
        async def handle_message(self, sender: Any, message: Any) -> None:
            if message == "boom":
                await gate.wait()
                raise ValueError(message)
            if message == "slow":
                await asyncio.sleep(9)
            handled.append(message)

    class Parent(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = beside(3, preserve_mailbox=True, concurrency_key=lambda message: message)
            return act.SupervisorSpec(children=(act.ChildSpec(name="child", behavior=Child, options=options),))

    await node.spawn(Parent)
    for message in ("boom", "slow", "slow", "boom", 1, "slow", 2, 3, 4):
        node.send("child", message)
    await asyncio.sleep(0.001)
    gate.set()
    await eventually(lambda: {2, 3, 4} <= set(handled), "what waited at the first")


class Chaos(act.Actor):
    """Handles (number, steps, seconds): waits so many times, then perhaps raises."""

    handled: list[int]

    async def handle_message(self, sender: Any, message: Any) -> None:
        number, waits, fails = message
        for _ in range(waits):
            await asyncio.sleep(0.001)
        if fails:
            raise ValueError(number)
        self.handled.append(number)


@pytest.mark.thorough
@settings(max_examples=examples(60, 2000), suppress_health_check=list(HealthCheck))
@given(
    messages=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([False] * 9 + [True])), max_size=30),
    concurrency=st.integers(1, 12),
    keys=st.sampled_from([0, 1, 3]),
    how=st.sampled_from(["kill", "exit", "stop", "none"]),
    after=st.integers(0, 8),
)
def test_each_message_is_handled_or_a_dead_letter_or_counted(
    messages: list[tuple[int, bool]], concurrency: int, keys: int, how: str, after: int
) -> None:
    async def live() -> None:
        async with homing.start_node("chaos@localhost", QUIET) as node:
            handled: list[int] = []
            kept = await letters(node)
            kind = type("Own", (Chaos,), {"handled": handled})
            key = (lambda message: message[0] % keys) if keys else None
            options = beside(concurrency, dead_letters="letters", concurrency_key=key)
            pid = await node.spawn(kind, options=options)
            sent = 0
            for number, (waits, fails) in enumerate(messages):
                if number % 3 == 2:
                    await asyncio.sleep(0.001)
                try:
                    node.send(pid, (number, waits, fails))
                except gen.ProcessTerminated:
                    break
                sent += 1
            await asyncio.sleep(after / 2000)
            if pid in node.processes():
                if how == "kill":
                    node.kill(pid)
                elif how == "exit":
                    node.send_exit(pid, gen.TerminateShutdown)
            if how != "stop":
                await asyncio.sleep(0.2)
                assert how == "none" or pid not in node.processes()
            counted = node.info().discarded
            if how == "stop":
                await node.stop(1)
            counted = node.info().discarded
            dead = [letter.message[0] for letter in kept]
            assert len(set(handled)) == len(handled)
            assert not set(handled) & set(dead)
            assert len(handled) + node.info().dead_letters + counted == sent

    run_virtual(live)
