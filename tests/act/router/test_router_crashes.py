"""What a router that crashes or is killed leaves: each message reaches each of its routes once, or is a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..supervisor.supervision import Given

NAME = "router"


class Full(act.Actor):
    """Handles nothing until its gate is open; then tells the probe."""

    def init(self, probe: Probe, gate: asyncio.Event) -> None:
        self.probe = probe
        self.gate = gate

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.gate.wait()
        self.probe.queue.put_nowait(("full", sender, message))


class Splitting(act.Router):
    """Routes (names, what); a function among the names is called instead."""

    def init(self) -> act.RouterOptions:
        routes = [act.RouteSpec(name=name, target=name) for name in ("free", "full")]
        return act.RouterOptions(routes=tuple(routes), overflow="wait")

    def route_message(self, sender: gen.PID, message: Any) -> Any:
        names, _ = message
        return names(self) if callable(names) else names


class Scene:
    """A supervised router with two routes, of which "full" holds a message and has one waiting: it has no room."""

    def __init__(self, node: homing.Node, probe: Probe) -> None:
        self.node, self.probe, self.gate = node, probe, asyncio.Event()

    async def start(self) -> None:
        self.free = await Probe.start(self.node, name="free")
        options = gen.ProcessOptions(mailbox_size=1)
        await self.node.spawn(Full, self.probe, self.gate, name="full", options=options)
        for number in range(2):
            self.node.send("full", number)
            if number == 0:
                await eventually(lambda: self.node.process_info("full").state is gen.ProcessState.RUNNING)
        self.letters = await Probe.start(self.node)
        kept = gen.ProcessOptions(preserve_mailbox=True, dead_letters=self.letters.pid)
        child = act.ChildSpec(name=NAME, behavior=Splitting, options=kept)
        await self.node.spawn(Given, act.SupervisorSpec(children=(child,)))

    @property
    def router(self) -> gen.PID:
        return self.node.process_info(NAME).pid

    async def restarted(self, before: gen.PID) -> None:
        await eventually(lambda: NAME in self.node._core.registry.routes and self.router != before)


@pytest.fixture
async def scene(node: homing.Node, probe: Probe) -> AsyncIterator[Scene]:
    made = Scene(node, probe)
    await made.start()
    yield made
    made.gate.set()  # the node's stop need not wait for what is held


async def test_a_message_that_waits_for_one_of_its_routes_is_not_given_to_the_others_again(scene: Scene) -> None:
    before = scene.router
    scene.node.send(NAME, (("free", "full"), "both"))
    scene.node.send(NAME, ("free", "behind"))
    assert await scene.free.get() == (("free", "full"), "both")
    scene.node.kill(before)
    await scene.restarted(before)
    scene.gate.set()
    assert [await scene.probe.get() for _ in range(3)] == [0, 1, (("free", "full"), "both")]
    assert await scene.free.get() == ("free", "behind")
    assert scene.letters.waiting() == []


async def test_a_message_that_some_routes_have_is_one_dead_letter_of_a_router_without_successor(
    scene: Scene,
) -> None:
    options = gen.ProcessOptions(dead_letters=scene.letters.pid)
    router = await scene.node.spawn(Splitting, options=options)
    message = (("free", "full"), "both")
    scene.node.send(router, message)
    assert await scene.free.get() == message
    scene.node.kill(router)
    letter = await scene.letters.get()
    assert (letter.pid, letter.sender, letter.message, letter.in_hand) == (router, scene.node.pid, message, False)
    assert scene.node.info().dead_letters == 1


@pytest.mark.parametrize("way", ["send", "call"])
async def test_a_message_that_crashes_the_router_is_a_dead_letter(scene: Scene, way: str) -> None:
    def crash(router: act.Router) -> str:
        raise RuntimeError("as asked")

    before = scene.router
    if way == "send":
        scene.node.send(NAME, (crash, 1))
    else:
        with pytest.raises(gen.ProcessTerminated):
            await scene.node.call(NAME, (crash, 1))
    letter = await scene.letters.get()
    assert (letter.pid, letter.message, letter.in_hand) == (before, (crash, 1), True)
    assert scene.node.info().dead_letters == 1


async def test_a_message_whose_routing_kills_the_router_is_a_dead_letter_or_reaches_its_route(scene: Scene) -> None:
    def kill(router: act.Router) -> str:
        scene.node.kill(router.pid)
        return "full"

    before = scene.router
    scene.node.send(NAME, (kill, 1))
    scene.node.send(NAME, ("free", 2))
    letter = await scene.letters.get()
    assert (letter.pid, letter.message, letter.in_hand) == (before, (kill, 1), True)
    assert await scene.free.get() == ("free", 2)


async def test_a_router_that_has_ended_is_not_kept_by_the_restart_of_a_route(node: homing.Node) -> None:
    class Sick(act.Actor):
        healthy = True

        def init(self) -> None:
            if not self.healthy:
                raise RuntimeError("not yet")

    class Owning(act.Router):
        def init(self) -> act.RouterOptions:
            return act.RouterOptions(routes=(act.RouteSpec(name="a", behavior=Sick),))

        def route_message(self, sender: gen.PID, message: Any) -> str:
            return "a"

    router = await node.spawn(Owning)
    process = node._process(router)
    Sick.healthy = False
    behavior: Any = process.behavior
    node.kill(behavior.routes()[0].pid)
    await eventually(lambda: process.timers)
    timers = tuple(process.timers)
    node.kill(router)
    await eventually(lambda: node.processes() == [])
    assert all(timer.cancelled() for timer in timers)
