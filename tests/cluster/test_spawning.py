"""Processes started on other nodes, in virtual time: only what is offered, and none that nobody knows of."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from homing import act, gen

from .nodes import Keeper, Reading, behavior_of, members, until, virtual

A, B = "a@localhost", "b@localhost"


class Worker(act.Actor):
    """Started from elsewhere. alive: those that run; slow: seconds that their `init` takes."""

    alive: ClassVar[list[Worker]] = []
    slow = 0.0

    async def init(self, *args: Any) -> None:
        self.args = args
        if args == ("fail",):
            raise ValueError("no")
        if self.slow:
            await asyncio.sleep(self.slow)
        Worker.alive.append(self)

    def terminate(self, reason: Exception) -> None:
        Worker.alive.remove(self)


class Slow(Worker):
    slow = 3.0


OFFER = {
    "worker": gen.Spawnable(Worker),
    "slow": gen.Spawnable(Slow),
    "two": gen.Spawnable(Worker, most=2),
    "other": gen.Spawnable(Worker, nodes=("edge-*",)),
}


@pytest.fixture(autouse=True)
def none_alive() -> None:
    Worker.alive = []


@virtual
async def test_a_process_starts_there_with_the_arguments_and_can_be_sent_to() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, b):
        reading = Reading("x", 1.0)
        pid = await a.keeper.spawn_remote(B, "worker", 1, (2, [3]), reading)
        assert pid.node == B
        worker = behavior_of(b.node, pid)
        assert worker.args == (1, (2, [3]), reading)
        assert worker.parent == b.node._core.pid
        await asyncio.sleep(10)
        assert Worker.alive == [worker]


@virtual
async def test_what_is_not_offered_is_denied_with_the_reason() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, b):
        with pytest.raises(gen.SpawnDenied, match="offers no 'nothing'"):
            await a.keeper.spawn_remote(B, "nothing")
        with pytest.raises(gen.SpawnDenied, match="to other nodes than a@localhost"):
            await a.keeper.spawn_remote(B, "other")
        pids = [await a.keeper.spawn_remote(B, "two") for _ in range(2)]
        with pytest.raises(gen.SpawnDenied, match="as many as it allows"):
            await a.keeper.spawn_remote(B, "two")
        b.node.kill(pids[0])
        await until(lambda: len(Worker.alive) == 1)
        await a.keeper.spawn_remote(B, "two")


@virtual
async def test_by_default_nothing_is_offered() -> None:
    async with members("a", "b") as (a, _):
        with pytest.raises(gen.SpawnDenied):
            await a.keeper.spawn_remote(B, "worker")


@virtual
async def test_the_error_of_init_is_raised_at_the_asker() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, _):
        with pytest.raises(ValueError, match="no"):
            await a.keeper.spawn_remote(B, "worker", "fail")
        assert Worker.alive == []


@virtual
async def test_a_process_that_starts_too_late_is_ended() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, _):
        with pytest.raises(gen.CallTimeout):
            await a.keeper.spawn_remote(B, "slow", timeout=1.0)
        await asyncio.sleep(10)
        assert Worker.alive == []


@virtual
async def test_a_process_whose_answer_is_late_is_ended() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, _):
        a.engine.network.delay = 0.7
        with pytest.raises(gen.CallTimeout):
            await a.keeper.spawn_remote(B, "worker", timeout=1.0)
        await asyncio.sleep(10)
        assert Worker.alive == []


@virtual
async def test_a_process_whose_asker_is_gone_when_it_has_started_is_ended() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, _):
        asker = await a.node.spawn(Keeper)
        task = asyncio.create_task(behavior_of(a.node, asker).spawn_remote(B, "slow"))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(10)
        assert Worker.alive == []


@virtual
async def test_if_the_connection_ends_during_a_start_both_ends_give_it_up() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, _):
        start = asyncio.create_task(a.keeper.spawn_remote(B, "slow", timeout=30.0))
        await asyncio.sleep(0.1)
        a.engine.network.partition(A, B)
        with pytest.raises(gen.NodeDown):
            await start
        await asyncio.sleep(10)
        assert Worker.alive == []


@virtual
async def test_a_process_goes_on_when_the_connection_ends_later() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, _):
        await a.keeper.spawn_remote(B, "worker")
        await asyncio.sleep(0.1)
        a.engine.network.partition(A, B)
        await until(lambda: not a.cluster.links)
        await asyncio.sleep(10)
        assert len(Worker.alive) == 1


@virtual
async def test_a_node_that_is_not_there_is_unknown_and_the_own_node_starts_what_it_offers() -> None:
    async with members("a", spawnable=OFFER) as (a,):
        with pytest.raises(gen.NodeUnknown):
            await a.keeper.spawn_remote(B, "worker")
        pid = await a.keeper.spawn_remote(A, "worker", 5)
        assert behavior_of(a.node, pid).args == (5,)
        with pytest.raises(gen.CallTimeout):
            await a.keeper.spawn_remote(A, "slow", timeout=1.0)
        assert len(Worker.alive) == 1


@virtual
async def test_arguments_that_cannot_travel_are_refused_here() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, _):
        with pytest.raises(gen.NotTransferable):
            await a.keeper.spawn_remote(B, "worker", object())


@virtual
async def test_a_linked_asker_ends_with_the_process_that_it_has_started() -> None:
    async with members("a", "b", spawnable=OFFER) as (a, b):
        asker = await a.node.spawn(Keeper)
        pid = await behavior_of(a.node, asker).spawn_remote(B, "worker", link=True)
        await asyncio.sleep(1)
        b.node.send_exit(pid, gen.TerminateShutdown())
        await until(lambda: asker not in a.node.processes())
