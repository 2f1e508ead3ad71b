"""Looking at a process: what `handle_inspect` tells, whatever the process is at; and ten thousand of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import Probe, eventually
from .actors import Doer


class Shows(Doer):
    def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
        facts = {"sender": sender, "items": items}
        return facts if "fail" not in items else facts["none"]


class AsyncShows(Shows):
    async def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
        await asyncio.sleep(0)
        return super().handle_inspect(sender, *items)


KINDS = pytest.mark.parametrize("behavior", [Shows, AsyncShows])


@KINDS
async def test_inspect_gives_what_handle_inspect_tells(
    node: homing.Node, probe: Probe, behavior: type[act.Actor]
) -> None:
    pid = await node.spawn(behavior, name="shows")
    assert await node.inspect(pid, "a", "b") == {"sender": node.pid, "items": ("a", "b")}
    assert await node.inspect("shows") == {"sender": node.pid, "items": ()}
    assert await probe.do(lambda actor: actor.inspect(pid, "x")) == {"sender": probe.pid, "items": ("x",)}


@KINDS
async def test_what_handle_inspect_raises_goes_to_the_inspector_and_the_process_lives(
    node: homing.Node, behavior: type[act.Actor]
) -> None:
    pid = await node.spawn(behavior)
    with pytest.raises(KeyError, match="none"):
        await node.inspect(pid, "fail")
    assert await node.inspect(pid) == {"sender": node.pid, "items": ()}
    assert node.info().crashes == 0


async def test_a_process_that_tells_nothing_of_itself_gives_an_empty_mapping(node: homing.Node) -> None:
    assert await node.inspect(await node.spawn(act.Actor)) == {}


async def test_an_inspection_overtakes_all_that_waits(node: homing.Node) -> None:
    handled: list[int] = []

    class Progress(Doer):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            return len(handled)

    pid = await node.spawn(Progress)
    for _ in range(1000):
        node.send(pid, lambda actor: handled.append(1))
    assert await node.inspect(pid) == 0
    await eventually(lambda: len(handled) == 1000)


async def test_a_busy_process_times_an_inspection_out(node: homing.Node) -> None:
    gate = asyncio.Event()
    pid = await node.spawn(Shows)
    node.send(pid, lambda actor: gate.wait())
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    with pytest.raises(gen.CallTimeout):
        await node.inspect(pid, timeout=0.01)
    gate.set()
    await eventually(lambda: node.info().late_responses == 1)


async def test_an_inspection_of_a_process_that_ends_is_told_at_once(node: homing.Node) -> None:
    gate = asyncio.Event()
    pid = await node.spawn(Shows)
    node.send(pid, lambda actor: gate.wait())
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    inspection = asyncio.create_task(node.inspect(pid, timeout=3600))
    await eventually(lambda: node.info().open_calls)
    node.kill(pid)
    with pytest.raises(gen.ProcessTerminated):
        await inspection


async def test_ten_thousand_processes_live_and_all_of_them_answer(node: homing.Node) -> None:
    class Small(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return (self.pid, request)

    pids = [await node.spawn(Small) for _ in range(10_000)]
    answers = await asyncio.gather(*(node.call(pid, number) for number, pid in enumerate(pids)))
    assert answers == [(pid, number) for number, pid in enumerate(pids)]
    info = node.info()
    assert (info.processes, info.spawned, info.open_calls) == (10_000, 10_000, 0)
    assert len({await node.call(pid, "again") for pid in pids[::100]}) == 100
