"""What waits for the restart of a process when its node stops becomes dead letters, and who gets them handles them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import eventually


class Morgue(act.Actor):
    """Takes its time for each letter, and notes it."""

    def init(self, letters: list[Any]) -> None:
        self.letters = letters

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(0)
        if isinstance(message, gen.MessageDeadLetter):
            self.letters.append((message.message, message.in_hand))


class Worker(act.Actor):
    """Waits at its first message until it is told to go on, and then dies. Its `init` does as the test wants."""

    async def init(self, scene: Scene) -> None:
        self.scene = scene
        scene.starts += 1
        if scene.starts > 1:
            await scene.start_again()

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if self.scene.starts > 1:
            self.scene.handled.append(message)
            return
        self.scene.busy.set()
        await self.scene.die.wait()
        raise RuntimeError("asked for")


class Scene:
    """What has happened, and what is to happen."""

    def __init__(self) -> None:
        self.busy, self.die, self.starting, self.go_on = (asyncio.Event() for _ in range(4))
        self.starts = 0
        self.fails = False
        self.handled: list[Any] = []

    async def start_again(self) -> None:
        self.starting.set()
        await self.go_on.wait()
        if self.fails:
            raise ValueError("not again")


OPTIONS = gen.ProcessOptions(preserve_mailbox=True, dead_letters="morgue")
NEVER = act.Backoff(first=3600.0, most=3600.0)


class Kept(act.Supervisor):
    def init(self, scene: Scene, backoff: act.Backoff | None, *before: act.ChildSpec) -> act.SupervisorSpec:
        child = act.ChildSpec(name="worker", behavior=Worker, args=(scene,), options=OPTIONS)
        return act.SupervisorSpec(children=(*before, child), backoff=backoff, intensity=1000)


class Routed(act.Router):
    def init(self, scene: Scene) -> act.RouterOptions:
        return act.RouterOptions(routes=(act.RouteSpec(name="route", behavior=Worker, args=(scene,), options=OPTIONS),))

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return "route"


class Pooled(act.Pool):
    def init(self, scene: Scene) -> act.PoolOptions:
        return act.PoolOptions(
            worker=Worker, worker_args=(scene,), pool_size=1, worker_options=gen.ProcessOptions(dead_letters="morgue")
        )


LETTERS = [("first", True), *((number, False) for number in range(5))]


async def fill(node: homing.Node, scene: Scene, to: gen.Target) -> None:
    """One message in hand, five that wait; then the worker dies."""
    node.send(to, "first")
    await scene.busy.wait()
    for number in range(5):
        node.send(to, number)
    if not isinstance(to, str):
        await eventually(lambda: any(node.process_info(pid).mailbox.main == 5 for pid in node.processes()))
    scene.die.set()
    await eventually(lambda: node.info().dead_letters == 1)


async def test_a_stop_during_a_backoff_makes_dead_letters_that_are_handled(node: homing.Node) -> None:
    scene, letters = Scene(), []
    await node.spawn(Morgue, letters, name="morgue")
    await node.spawn(Kept, scene, NEVER)
    await fill(node, scene, "worker")
    assert await node.stop()
    assert letters == LETTERS
    assert node.info().discarded == 0


async def test_so_it_does_where_the_dead_letter_process_is_a_child_of_the_same_supervisor(node: homing.Node) -> None:
    scene, letters = Scene(), []
    morgue = act.ChildSpec(name="morgue", behavior=Morgue, args=(letters,))
    await node.spawn(Kept, scene, NEVER, morgue)
    await fill(node, scene, "worker")
    assert await node.stop()
    assert letters == LETTERS


@pytest.mark.parametrize("keeper", [Routed, Pooled])
async def test_so_do_routers_and_pools_that_cannot_start_a_process_again(
    node: homing.Node, keeper: type[act.Actor]
) -> None:
    scene, letters = Scene(), []
    scene.fails = True
    scene.go_on.set()
    await node.spawn(Morgue, letters, name="morgue")
    await fill(node, scene, await node.spawn(keeper, scene))
    await scene.starting.wait()
    assert await node.stop()
    assert letters == LETTERS


@pytest.mark.parametrize("fails", [False, True])
async def test_a_successor_that_is_being_started_gets_what_waits_and_if_it_fails_the_dead_letter_process_does(
    node: homing.Node, fails: bool
) -> None:
    scene, letters = Scene(), []
    scene.fails = fails
    await node.spawn(Morgue, letters, name="morgue")
    await node.spawn(Kept, scene, None)
    await fill(node, scene, "worker")
    await scene.starting.wait()
    stopping = asyncio.create_task(node.stop())
    await asyncio.sleep(0.01)
    assert letters == LETTERS[:1]
    scene.go_on.set()
    assert await stopping
    assert (letters, scene.handled) == ((LETTERS, []) if fails else (LETTERS[:1], [0, 1, 2, 3, 4]))


async def test_callers_who_wait_for_a_restart_are_told_at_once_when_the_node_stops(node: homing.Node) -> None:
    scene, letters = Scene(), []
    await node.spawn(Morgue, letters, name="morgue")
    await node.spawn(Kept, scene, NEVER)
    node.send("worker", "first")
    await scene.busy.wait()
    call = asyncio.create_task(node.call("worker", "question", timeout=60.0))
    await eventually(lambda: node.process_info("worker").mailbox.main == 1)
    scene.die.set()
    await eventually(lambda: node.info().dead_letters == 1)
    assert not call.done()
    assert await node.stop()
    with pytest.raises(gen.ProcessTerminated):
        await call
    assert letters == [("first", True), ("question", False)]


async def test_a_stop_at_once_waits_for_nobody_and_counts_what_waited(node: homing.Node) -> None:
    scene, letters = Scene(), []
    await node.spawn(Morgue, letters, name="morgue")
    await node.spawn(Kept, scene, NEVER)
    await fill(node, scene, "worker")
    await eventually(lambda: letters == LETTERS[:1])  # else the letter that waits is counted once more
    await node.stop(0)
    assert node.info().dead_letters == len(LETTERS)
