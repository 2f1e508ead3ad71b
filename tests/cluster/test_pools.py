"""A pool with workers on other nodes, in virtual time: back-pressure, order of keys, and nodes that come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

import pytest

from homing import act, gen, meta
from homing.cluster.memory_engine import MemoryNetwork

from ..support import UDPPeer, eventually
from .nodes import Member, member, until, virtual

POOL = "pool"


class Worker(act.Actor):
    """Works elsewhere. done: (node, worker, message) of all."""

    done: ClassVar[list[tuple[str, gen.PID, Any]]] = []
    seconds = 0.0

    async def handle_message(self, sender: Any, message: Any) -> None:
        if message == "crash":
            raise ValueError("crash")
        if self.seconds:
            await asyncio.sleep(self.seconds)
        Worker.done.append((self.node, self.pid, message))

    async def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return f"{request} at {self.node}"


class Slow(Worker):
    seconds = 1.0


class Front(act.Pool):
    """The pool."""

    def init(self, how: dict[str, Any]) -> act.PoolOptions:
        return act.PoolOptions(**how)


OFFER = {"worker": gen.Spawnable(Worker), "slow": gen.Spawnable(Slow)}


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    Worker.done = []


async def front(network: MemoryNetwork, name: str = "worker", each: int = 2, **how: Any) -> tuple[Member, gen.PID]:
    edge = await member(network, "edge")
    options = {"workers_on": gen.On(tag="w", name=name, each=each), **how}
    return edge, await edge.node.spawn(Front, options, name=POOL)


async def worker_node(network: MemoryNetwork, name: str) -> Member:
    return await member(network, name, tags=("w",), spawnable=OFFER)


async def facts(edge: Member) -> Any:
    return await edge.node.inspect(POOL)


async def has_workers(edge: Member, number: int) -> None:
    async with asyncio.timeout(60):
        while (await facts(edge))["running"] != number:
            await asyncio.sleep(0.01)


async def stop(*ones: Member) -> None:
    for one in ones:
        await one.node.stop()


@virtual
async def test_nodes_with_the_tag_get_workers_and_each_gets_its_share() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network)
    others = [await worker_node(network, name) for name in ("x", "y")]
    await has_workers(edge, 4)
    for number in range(400):
        edge.node.send(pool, number)
    await until(lambda: len(Worker.done) == 400)
    assert sorted(message for _, _, message in Worker.done) == list(range(400))
    assert set(Counter(worker for _, worker, _ in Worker.done).values()) == {100}
    found = await facts(edge)
    assert found["messages_forwarded"] == 400
    await stop(edge, *others)


@virtual
async def test_messages_wait_until_a_node_comes() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network)
    for number in range(10):
        edge.node.send(pool, number)
    await asyncio.sleep(5)
    assert (await facts(edge))["messages_waiting"] == 10
    other = await worker_node(network, "x")
    await until(lambda: len(Worker.done) == 10)
    await stop(edge, other)


@virtual
async def test_a_slow_worker_elsewhere_gets_no_more_than_its_mailbox_size_and_the_pool_waits() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network, "slow", each=1, worker_mailbox_size=10)
    other = await worker_node(network, "x")
    await has_workers(edge, 1)
    for number in range(100):
        edge.node.send(pool, number)
    for _ in range(120):
        await asyncio.sleep(1)
        waiting = sum(process.waiting for process in other.node._core.processes.values())
        assert waiting <= 10 + 4  # and its marks
    assert [message for _, _, message in Worker.done] == list(range(100))
    assert (await facts(edge))["pauses"] > 0
    await stop(edge, other)


@virtual
async def test_workers_of_this_node_and_elsewhere_share_the_work_and_calls_are_answered() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network, each=1, worker=Worker, pool_size=1)
    other = await worker_node(network, "x")
    await has_workers(edge, 2)
    answers = [await edge.node.call(pool, "ask") for _ in range(4)]
    assert set(answers) == {"ask at edge@localhost", "ask at x@localhost"}
    await stop(edge, other)


@virtual
async def test_a_call_fails_when_the_node_of_its_worker_goes_down_and_others_take_what_waits() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network, "slow", each=1, worker_mailbox_size=4)
    one, two = await worker_node(network, "x"), await worker_node(network, "y")
    await has_workers(edge, 2)
    calls = [asyncio.create_task(edge.node.call(pool, number, timeout=60.0)) for number in range(20)]
    await asyncio.sleep(1.5)
    network.freeze("x@localhost")
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    assert 0 < len(failed) <= 4
    assert all(isinstance(answer, gen.NodeDown) for answer in failed)
    assert (await facts(edge))["pool_size"] == 1
    network.thaw("x@localhost")
    await has_workers(edge, 2)
    await stop(edge, one, two)


@virtual
async def test_a_worker_that_crashes_is_replaced_on_its_node() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network, each=1)
    other = await worker_node(network, "x")
    await has_workers(edge, 1)
    edge.node.send(pool, "crash")
    await asyncio.sleep(1)
    edge.node.send(pool, "after")
    await until(lambda: Worker.done)
    assert (await facts(edge))["worker_restarts"] == 1
    await stop(edge, other)


@virtual
async def test_a_key_keeps_its_worker_and_its_order_while_nodes_come_and_go() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network, route=lambda sender, message: message[0])
    others = [await worker_node(network, name) for name in ("x", "y", "z")]
    await has_workers(edge, 6)

    async def send_all(round: int) -> dict[int, gen.PID]:
        Worker.done = []
        for number in range(10):
            for key in range(60):
                edge.node.send(pool, (key, round, number))
        await until(lambda: len(Worker.done) == 600)
        found: dict[int, gen.PID] = {}
        for _, worker, (key, _, _) in Worker.done:
            assert found.setdefault(key, worker) == worker
        for key in range(60):
            assert [number for _, _, (one, _, number) in Worker.done if one == key] == list(range(10))
        return found

    before = await send_all(1)
    late = await worker_node(network, "late")
    await has_workers(edge, 8)
    after = await send_all(2)
    moved = [key for key in range(60) if before[key] != after[key]]
    assert {after[key].node for key in moved} == {"late@localhost"}
    assert 0 < len(moved) < 30
    await late.node.stop()
    await has_workers(edge, 6)
    assert await send_all(3) == before
    await stop(edge, *others)


@virtual
async def test_workers_end_with_the_pool_and_with_its_node() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network)
    other = await worker_node(network, "x")
    await has_workers(edge, 2)

    def offered() -> list[Any]:
        return [one for one in other.node._core.processes.values() if isinstance(one.behavior, Worker)]

    assert len(offered()) == 2
    edge.node.send_exit(pool, gen.TerminateShutdown())
    await until(lambda: not offered())
    await edge.node.spawn(Front, {"workers_on": gen.On(tag="w", name="worker", each=3)})
    await until(lambda: len(offered()) == 3)
    network.freeze("edge@localhost")
    await until(lambda: not offered())
    network.thaw("edge@localhost")
    await stop(edge, other)


@virtual
async def test_a_node_that_drains_finishes_what_it_has_and_gets_no_more() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network, "slow", each=1, worker_mailbox_size=5)
    one, two = await worker_node(network, "x"), await worker_node(network, "y")
    await has_workers(edge, 2)
    for number in range(10):
        edge.node.send(pool, number)
    await asyncio.sleep(0.5)
    one.cluster.drain()
    await asyncio.sleep(0.5)
    for number in range(10, 15):
        edge.node.send(pool, number)
    await until(lambda: len(Worker.done) == 15)
    assert {node for node, _, message in Worker.done if message >= 10} == {"y@localhost"}
    assert (await facts(edge))["pool_size"] == 1
    await stop(edge, one, two)


@virtual
async def test_a_mark_that_is_lost_is_repeated() -> None:
    network = MemoryNetwork()
    edge, pool = await front(network, each=1, worker_mailbox_size=4)
    other = await worker_node(network, "x")
    await has_workers(edge, 1)
    original = other.cluster.handlers
    from homing.cluster.built_frames import Mark

    handlers, original[Mark] = original[Mark], []
    for number in range(8):
        edge.node.send(pool, number)
    await asyncio.sleep(0.5)
    assert len(Worker.done) == 4
    original[Mark] = handlers
    await until(lambda: len(Worker.done) == 8)
    await stop(edge, other)


@virtual
async def test_a_pool_with_workers_elsewhere_needs_a_cluster() -> None:
    import homing

    async with homing.start_node("alone@localhost") as node:
        with pytest.raises(gen.NotAllowed, match="no cluster"):
            await node.spawn(Front, {"workers_on": gen.On(tag="w", name="worker")})


def test_what_makes_no_sense_is_refused() -> None:
    on = gen.On(tag="w", name="worker")
    with pytest.raises(gen.BadOption, match="worker"):
        act.PoolOptions()
    with pytest.raises(gen.BadOption, match="worker_mailbox_size"):
        act.PoolOptions(workers_on=on, worker_mailbox_size=0)
    with pytest.raises(gen.BadOption, match="workers_on"):
        act.PoolOptions(worker=Worker, workers_on="worker")  # type: ignore[arg-type]


async def test_the_socket_in_front_of_a_pool_pauses_for_a_worker_elsewhere_and_nothing_is_lost() -> None:
    class Server(act.Pool):
        async def init(self) -> act.PoolOptions:
            options = meta.UDPServerOptions(host="127.0.0.1", port=0, high_water=8, low_water=2, receive_batch=4)
            self.alias = await self.spawn_meta(meta.create_udp_server(options))
            return act.PoolOptions(workers_on=gen.On(tag="w", name="held"), worker_mailbox_size=4)

    class Held(act.Actor):
        go: ClassVar[asyncio.Event]

        async def handle_message(self, sender: Any, message: Any) -> None:
            await Held.go.wait()
            self.reply(message, message.data)

    Held.go = asyncio.Event()
    network = MemoryNetwork()
    edge = await member(network, "edge")
    pid = await edge.node.spawn(Server, name=POOL)
    other = await member(network, "x", tags=("w",), spawnable={"held": gen.Spawnable(Held)})
    await has_workers(edge, 1)
    with UDPPeer() as peer:
        for number in range(40):
            peer.send(b"%d" % number, edge.node.address_of(pid))
        pool = edge.node._core.processes[pid]
        await eventually(lambda: pool.main is not None and len(pool.main) >= 8)
        await asyncio.sleep(0)
        assert len(pool.main or ()) <= 8 + 4  # and the kernel keeps the others
        Held.go.set()
        answers = [await peer.receive() for _ in range(40)]
    assert [int(data) for data, _ in answers] == list(range(40))
    await stop(edge, other)
