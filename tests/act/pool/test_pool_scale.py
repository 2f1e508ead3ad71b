"""Pools of many workers: what one of them costs does not depend on the others."""

from __future__ import annotations

import asyncio
from typing import Any

import homing
from homing import act, gen

from ...node.work import Work, work_of
from ...support import eventually


class Worker(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        raise ValueError("this is the end")


class Many(act.Pool):
    def init(self, size: int, route: Any) -> act.PoolOptions:
        return act.PoolOptions(worker=Worker, pool_size=size, route=route)


async def work_of_a_replacement(node: homing.Node, size: int) -> Work:
    pool = await node.spawn(Many, size, "source")
    workers = node._core.processes[pool].behavior._forwarder.workers

    async def kill_the_last() -> None:
        last = workers.processes[-1]
        node.kill(last.id)
        await eventually(lambda: workers.processes[-1] is not last)

    work = await work_of(kill_the_last)
    node.kill(pool)
    return work


async def work_of_growing(node: homing.Node, size: int) -> int:
    pool = await node.spawn(Many, 1, "source")
    behavior: Any = node._core.processes[pool].behavior
    lines = (await work_of(lambda: behavior.add_workers(size))).lines
    node.kill(pool)
    return lines


class Busy(act.Actor):
    """Waits at its first message for ever."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.Event().wait()


class Loaded(act.Pool):
    def init(self, size: int) -> act.PoolOptions:
        return act.PoolOptions(worker=Busy, pool_size=size, route="least")


async def receivers_looked_at(node: homing.Node, size: int) -> int:
    """How many workers are looked at for one message while all are busy."""
    pool = await node.spawn(Loaded, size)
    forwarder = node._core.processes[pool].behavior._forwarder
    for _ in range(size):
        node.send(pool, "wait")
    await eventually(lambda: node.info().running == size)
    looked = 0

    class Counting(list[Any]):
        def __getitem__(self, place: Any) -> Any:
            nonlocal looked
            looked += len(range(size)[place]) if isinstance(place, slice) else 1
            return super().__getitem__(place)

        def __iter__(self) -> Any:
            raise AssertionError("all of them")

    forwarder.workers.processes = Counting(forwarder.workers.processes)
    node.send(pool, "one more")
    await eventually(lambda: forwarder.forwarded == size + 1)
    for pid in node.processes():
        node.kill(pid)
    return looked


async def test_for_a_message_to_the_least_loaded_of_thousands_only_some_are_looked_at(node: homing.Node) -> None:
    assert await receivers_looked_at(node, 100) == await receivers_looked_at(node, 2000) < 100


async def test_the_successor_of_a_worker_costs_the_same_among_many(node: homing.Node) -> None:
    few, many = await work_of_a_replacement(node, 20), await work_of_a_replacement(node, 2000)
    assert many.lines <= few.lines + 200
    assert many.octets <= few.octets + 10_000


async def test_a_pool_with_keys_grows_at_the_same_cost_for_each_worker(node: homing.Node) -> None:
    few, many = await work_of_growing(node, 10), await work_of_growing(node, 100)
    assert many <= 12 * few
