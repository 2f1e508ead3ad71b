"""Waiting for oneself: a callback that awaits its own end is refused at once, as a call to itself is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import DEADLINE

Wait = Callable[[homing.Node, gen.PID], Any]

WAITS: dict[str, Wait] = {
    "node.stop": lambda node, pid: node.stop(),
    "node.stop within a time": lambda node, pid: node.stop(0.1),
    "node.wait": lambda node, pid: node.wait(),
    "node.application_stop": lambda node, pid: node.application_stop("app"),
    "node.application_wait": lambda node, pid: node.application_wait("app"),
    "node.call": lambda node, pid: node.call(pid, "hello"),
    "node.inspect": lambda node, pid: node.inspect(pid),
}
"""What waits for the process `pid`, a member of "app"."""


class Member(act.Actor):
    """Awaits in each of its callbacks what it is told, and keeps what that raised."""

    async def init(self, node: homing.Node, wait: Wait, raised: dict[str, BaseException]) -> None:
        self.running, self.wait, self.raised = node, wait, raised
        await self.check("init")

    async def check(self, callback: str) -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                await self.wait(self.running, self.pid)
        except Exception as error:
            self.raised[callback] = error

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.check("handle_message")

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> None:
        await self.check("handle_call")

    async def terminate(self, reason: Exception) -> None:
        await self.check("terminate")


@pytest.mark.parametrize("what", WAITS)
async def test_a_callback_that_waits_for_its_own_end_is_refused(node: homing.Node, what: str) -> None:
    raised: dict[str, BaseException] = {}

    class App(gen.Application):
        def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
            member = gen.ApplicationMember(behavior=Member, args=(node, WAITS[what], raised), name="member")
            return gen.ApplicationSpec(name="app", members=(member,))

    await node.application_start(await node.application_load(App))
    node.send("member", 1)
    await node.call("member", 1)
    assert await node.application_stop("app")
    expected = {"init", "handle_message", "handle_call", "terminate"}
    assert set(raised) == expected
    for error in raised.values():
        # one that ends has no address any more
        assert isinstance(error, gen.NotAllowed | gen.ProcessTerminated), error
    assert isinstance(raised["handle_message"], gen.NotAllowed)
    assert node.info().state == "running"


async def test_a_callback_may_begin_a_stop_that_it_does_not_wait_for(node: homing.Node) -> None:
    class Stops(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            node.stop_soon()

    node.send(await node.spawn(Stops), 1)
    async with asyncio.timeout(DEADLINE):
        await node.wait()
    assert node.info().state == "stopped"


async def test_a_task_of_a_callback_may_stop_the_node(node: homing.Node) -> None:
    tasks: list[asyncio.Task[bool]] = []

    class Stops(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            tasks.append(asyncio.create_task(node.stop()))

    node.send(await node.spawn(Stops), 1)
    async with asyncio.timeout(DEADLINE):
        await node.wait()
        assert await tasks[0]


async def test_the_source_of_a_meta_process_may_stop_the_node(node: homing.Node) -> None:
    class Source(gen.MetaBehavior):
        async def start(self) -> None:
            await node.stop()

    class Owner(act.Actor):
        async def init(self) -> None:
            await self.spawn_meta(Source())

    await node.spawn(Owner)
    async with asyncio.timeout(DEADLINE):
        await node.wait()
    assert node.info().state == "stopped"


async def test_another_process_may_stop_the_application(node: homing.Node) -> None:
    class App(gen.Application):
        def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
            return gen.ApplicationSpec(name="app", members=(gen.ApplicationMember(behavior=act.Actor, name="member"),))

    class Other(act.Actor):
        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> bool:
            return await node.application_stop("app")

    await node.application_start(await node.application_load(App))
    assert await node.call(await node.spawn(Other), "stop")
