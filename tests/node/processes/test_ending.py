"""Ending processes from outside: who ends in time, who is killed, and what the caller is told."""

from __future__ import annotations

import asyncio
from typing import Any

import homing
from homing import gen
from homing.node.processes.ending import end_and_wait

from ...support import eventually
from ..actors import Doer, hang, throw_later


async def finish(node: homing.Node, pids: list[gen.PID], seconds: float | None) -> dict[gen.PID, Exception]:
    return await end_and_wait(node._core, node.pid, pids, gen.TerminateShutdown("enough"), seconds)


async def test_processes_end_for_the_reason_given_and_have_ended_when_it_returns(node: homing.Node) -> None:
    reasons: list[Exception] = []
    pids = [await node.spawn(Doer, reasons) for _ in range(3)]
    ended = await finish(node, pids, None)
    assert list(ended) == pids
    assert list(ended.values()) == reasons
    assert [str(reason) for reason in reasons] == ["enough"] * 3
    assert node.processes() == []


async def test_those_that_had_ended_are_left_out(node: homing.Node) -> None:
    gone = await node.spawn(Doer)
    node.kill(gone)
    assert await finish(node, [gone], 5.0) == {}
    assert await finish(node, [], None) == {}


async def test_one_that_does_not_end_in_time_is_killed(node: homing.Node) -> None:
    idle, stuck = await node.spawn(Doer), await node.spawn(Doer)
    node.send(stuck, hang)
    await eventually(lambda: node.process_info(stuck).state is gen.ProcessState.RUNNING)
    ended = await finish(node, [idle, stuck], 0.02)
    assert {pid: type(reason) for pid, reason in ended.items()} == {
        idle: gen.TerminateShutdown,
        stuck: gen.TerminateKill,
    }


async def test_no_time_means_that_all_are_killed(node: homing.Node) -> None:
    idle, stuck = await node.spawn(Doer), await node.spawn(Doer)
    node.send(stuck, hang)
    ended = await finish(node, [idle, stuck], 0)
    assert [type(reason) for reason in ended.values()] == [gen.TerminateKill] * 2


async def test_the_reason_is_that_for_which_a_process_really_ended(node: homing.Node) -> None:
    pid = await node.spawn(Doer)
    gate = asyncio.Event()

    async def crash_later(actor: Any) -> None:
        await gate.wait()
        await throw_later(ValueError("own fault"))(actor)

    node.send(pid, crash_later)
    await eventually(lambda: node.process_info(pid).state is gen.ProcessState.RUNNING)
    ending = asyncio.create_task(finish(node, [pid], None))
    await asyncio.sleep(0)
    gate.set()
    assert repr((await ending)[pid]) == "ValueError('own fault')"
