"""The states of a process, each reached and seen from outside; and kill in each of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.gen import ProcessState

from ...support import Probe, eventually
from ..actors import Doer, hang


async def test_a_process_is_in_init_until_its_init_is_done(node: homing.Node) -> None:
    gate = asyncio.Event()

    class Late(act.Actor):
        async def init(self) -> None:
            await gate.wait()

    spawning = asyncio.create_task(node.spawn(Late, name="late"))
    await eventually(lambda: node.info().names)
    assert node.process_info("late").state is ProcessState.INIT
    gate.set()
    await spawning
    assert node.process_info("late").state is ProcessState.SLEEP


async def test_a_process_sleeps_between_messages_and_runs_in_its_handlers(node: homing.Node) -> None:
    pid = await node.spawn(Doer)
    states: list[ProcessState] = [node.process_info(pid).state]
    node.send(pid, lambda actor: states.append(node.process_info(pid).state))
    states.append(node.process_info(pid).state)
    await eventually(lambda: len(states) == 3)
    states.append(node.process_info(pid).state)
    assert states == [ProcessState.SLEEP, ProcessState.SLEEP, ProcessState.RUNNING, ProcessState.SLEEP]


async def test_an_asynchronous_handler_that_waits_is_running(node: homing.Node) -> None:
    pid = await node.spawn(Doer)
    node.send(pid, hang)
    await eventually(lambda: node.process_info(pid).state is ProcessState.RUNNING)
    assert node.info().running == 1
    node.kill(pid)


async def test_a_process_with_an_open_call_waits_for_the_response_and_then_runs_again(node: homing.Node) -> None:
    gate = asyncio.Event()
    caller, callee = await node.spawn(Doer), await node.spawn(Doer)
    states: list[ProcessState] = []

    async def call(actor: Doer) -> None:
        await actor.call(callee, lambda other: gate.wait())
        states.append(node.process_info(caller).state)

    node.send(caller, call)
    await eventually(lambda: node.process_info(caller).state is ProcessState.WAIT_RESPONSE)
    gate.set()
    await eventually(lambda: node.process_info(caller).state is ProcessState.SLEEP)
    assert states == [ProcessState.RUNNING]


async def test_two_open_calls_are_waited_for_until_the_last_is_answered(node: homing.Node) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    caller = await node.spawn(Doer)
    callees = [await node.spawn(Doer) for _ in gates]

    def ask(actor: Doer, index: int) -> Any:
        return actor.call(callees[index], lambda other: gates[index].wait())

    node.send(caller, lambda actor: gather(ask(actor, 0), ask(actor, 1)))
    await eventually(lambda: node.info().open_calls == 2)
    gates[0].set()
    await eventually(lambda: node.info().open_calls == 1)
    assert node.process_info(caller).state is ProcessState.WAIT_RESPONSE
    gates[1].set()
    await eventually(lambda: node.process_info(caller).state is ProcessState.SLEEP)


async def gather(*several: Any) -> None:
    await asyncio.gather(*several)


async def test_a_process_whose_terminate_takes_time_is_a_zombie_that_no_address_leads_to(node: homing.Node) -> None:
    gate = asyncio.Event()

    class Slow(act.Actor):
        async def terminate(self, reason: Exception) -> None:
            await gate.wait()

    pid = await node.spawn(Slow, name="slow")
    node.kill(pid)
    assert node.process_info(pid).state is ProcessState.ZOMBIE
    assert node.info().zombies == 1
    for to, error in ((pid, gen.ProcessTerminated), ("slow", gen.NameUnknown)):
        with pytest.raises(error):
            node.send(to, "hello")
        with pytest.raises(error):
            await node.call(to, "hello")
    gate.set()
    await eventually(lambda: pid not in node.processes())


async def test_a_terminated_process_is_known_to_have_lived(node: homing.Node) -> None:
    pid = await node.spawn(Doer)
    node.kill(pid)
    with pytest.raises(gen.ProcessTerminated):
        node.process_info(pid)


# --- kill ------------------------------------------------------------------------------------------------


async def test_a_sleeping_process_is_killed_at_once(node: homing.Node) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons)
    node.send(pid, lambda actor: reasons.append(LookupError()))
    node.kill(pid)
    assert node.processes() == []
    assert [type(reason) for reason in reasons] == [gen.TerminateKill]
    await asyncio.sleep(0)
    assert len(reasons) == 1


async def test_a_process_killed_while_its_handler_waits_sees_the_cancellation(node: homing.Node) -> None:
    notes: list[Any] = []

    async def wait(actor: Doer) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            notes.append(node.process_info(actor.pid).state)

    pid = await node.spawn(Doer, notes)
    node.send(pid, wait)
    await eventually(lambda: node.process_info(pid).state is ProcessState.RUNNING)
    await asyncio.sleep(0)
    node.kill(pid)
    await eventually(lambda: node.processes() == [])
    assert notes[0] is ProcessState.ZOMBIE
    assert [type(note) for note in notes[1:]] == [gen.TerminateKill]


async def test_a_process_killed_before_its_handlers_task_began_never_begins(node: homing.Node) -> None:
    notes: list[Any] = []

    async def begin(actor: Doer) -> None:
        notes.append("begun")

    def start_and_kill(actor: Doer) -> None:
        asyncio.get_running_loop().call_soon(node.kill, pid)

    pid = await node.spawn(Doer, notes)
    other = await node.spawn(Doer)
    node.send(other, start_and_kill)
    node.send(pid, begin)
    await eventually(lambda: pid not in node.processes())
    assert [type(note) for note in notes] == [gen.TerminateKill]


@pytest.mark.parametrize("asynchronous_before", [False, True])
async def test_a_handler_that_kills_its_own_process_returns_and_is_the_last(
    node: homing.Node, asynchronous_before: bool
) -> None:
    notes: list[Any] = []

    async def before(actor: Doer) -> None:
        await asyncio.sleep(0)

    def kill(actor: Doer) -> None:
        node.kill(actor.pid)
        notes.append("returned")

    pid = await node.spawn(Doer, notes)
    if asynchronous_before:
        node.send(pid, before)
    node.send(pid, kill)
    for number in range(5):
        node.send(pid, lambda actor, number=number: notes.append(number))
    await eventually(lambda: node.processes() == [])
    assert notes[0] == "returned"
    assert [type(note) for note in notes[1:]] == [gen.TerminateKill]
    assert node.info().discarded == 5


async def test_a_handler_that_kills_its_own_process_with_the_last_message_of_a_turn_ends_too() -> None:
    options = gen.NodeOptions(handle_signals=False, turn_messages=2, turn_seconds=10)
    async with homing.start_node("turn@localhost", options) as node:
        reasons: list[Exception] = []
        pid = await node.spawn(Doer, reasons)
        node.send(pid, lambda actor: asyncio.sleep(0))
        node.send(pid, lambda actor: None)
        node.send(pid, lambda actor: node.kill(actor.pid))
        await eventually(lambda: node.processes() == [])
        assert [type(reason) for reason in reasons] == [gen.TerminateKill]


async def test_a_handler_that_kills_its_own_process_and_gives_back_a_coroutine_ends_without_it(
    node: homing.Node,
) -> None:
    reasons: list[Exception] = []

    def kill(actor: Doer) -> Any:
        node.kill(actor.pid)
        return hang(actor)

    node.send(await node.spawn(Doer, reasons), kill)
    await eventually(lambda: node.processes() == [])
    assert [type(reason) for reason in reasons] == [gen.TerminateKill]


async def test_a_process_killed_while_it_waits_for_a_response_leaves_no_open_call(node: homing.Node) -> None:
    caller, callee = await node.spawn(Doer), await node.spawn(Doer)
    gate = asyncio.Event()
    node.send(caller, lambda actor: actor.call(callee, lambda other: gate.wait()))
    await eventually(lambda: node.process_info(caller).state is ProcessState.WAIT_RESPONSE)
    node.kill(caller)
    await eventually(lambda: node.info().open_calls == 0)
    gate.set()
    await eventually(lambda: node.info().late_responses == 1)
    assert node.processes() == [callee]


@pytest.mark.parametrize("init_fails", [False, True])
async def test_a_process_killed_in_its_init_is_never_born(node: homing.Node, probe: Probe, init_fails: bool) -> None:
    gate = asyncio.Event()

    class Late(act.Actor):
        async def init(self) -> None:
            await gate.wait()
            if init_fails:
                raise LookupError

        def terminate(self, reason: Exception) -> None:
            raise AssertionError("it never lived")

    spawning = asyncio.create_task(node.spawn(Late, name="late"))
    await eventually(lambda: node.info().names)
    await probe.do(lambda actor: actor.monitor("late"))
    node.kill(node.process_info("late").pid)
    gate.set()
    with pytest.raises(LookupError if init_fails else gen.ProcessTerminated):
        await spawning
    assert isinstance((await probe.get()).reason, gen.TerminateKill)
    assert node.processes() == [probe.pid]
    assert node.info().names == 0


async def test_killing_a_zombie_cuts_its_terminate_short_but_never_before_it_began(node: homing.Node) -> None:
    notes: list[str] = []

    class Slow(act.Actor):
        async def terminate(self, reason: Exception) -> None:
            notes.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                notes.append("cut")

    pid = await node.spawn(Slow, name="slow")
    node.kill(pid)
    node.kill(pid)
    node.kill(pid)
    await eventually(lambda: node.processes() == [])
    assert notes == ["begun", "cut"]


async def test_a_killed_process_that_swallows_the_cancellation_handles_no_further_message(node: homing.Node) -> None:
    notes: list[Any] = []
    gate = asyncio.Event()

    async def swallow(actor: Doer) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            notes.append("swallowed")
        await gate.wait()

    pid = await node.spawn(Doer, notes)
    node.send(pid, swallow)
    node.send(pid, lambda actor: notes.append("second"))
    await eventually(lambda: node.process_info(pid).state is ProcessState.RUNNING)
    await asyncio.sleep(0)
    node.kill(pid)
    await eventually(lambda: notes)
    assert node.process_info(pid).state is ProcessState.ZOMBIE
    gate.set()
    await eventually(lambda: node.processes() == [])
    assert [type(note) for note in notes] == [str, gen.TerminateKill]


async def test_what_a_killed_process_began_before_its_handler_returned_is_refused(node: homing.Node) -> None:
    refused: list[str] = []

    def kill(actor: Doer) -> None:
        node.kill(actor.pid)
        for what, attempt in {
            "alias": actor.create_alias,
            "name": lambda: actor.register_name("zombie"),
            "event": lambda: actor.register_event("zombie"),
            "link": lambda: actor.link(other),
            "monitor": lambda: actor.monitor(other),
            "timer": lambda: actor.send_after(other, "x", 0),
        }.items():
            with pytest.raises(gen.NotAllowed):
                attempt()
            refused.append(what)

    other = await node.spawn(Doer)
    node.send(await node.spawn(Doer), kill)
    await eventually(lambda: node.processes() == [other])
    assert len(refused) == 6
