"""Links that end and begin again, and requests that come back to a node that knows them: whatever the timing is."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from homing import gen
from homing.cluster.engine import MAIN
from homing.cluster.memory_engine import MemoryNetwork

from .nodes import Keeper, member, members, until, virtual

A, B = "a@localhost", "b@localhost"


class Forwarder(Keeper):
    """Forwards a request along a path, whose end answers."""

    def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        if not request:
            return "answer"
        self.forward(request[0], request[1:], sender=sender, ref=ref)
        return gen.NO_REPLY


@pytest.mark.parametrize("path", ["ba", "bab", "bca", "bcb", "ababaca"])
def test_a_request_may_come_back_to_a_node_where_it_was(path: str) -> None:
    @virtual
    async def run() -> None:
        async with members("a", "b", "c") as (a, b, c):
            nodes = {"a": a.node, "b": b.node, "c": c.node}
            pids = [await nodes[name].spawn(Forwarder) for name in path]
            assert await a.node.call(pids[0], tuple(pids[1:]), timeout=2.0) == "answer"
            await asyncio.sleep(3)
            assert [len(one._core.calls) for one in nodes.values()] == [0, 0, 0]

    run()


@virtual
async def test_a_request_that_comes_back_fails_if_its_callee_there_ends() -> None:
    class Ends(Keeper):
        def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
            raise ValueError("broken")

    async with members("a", "b") as (a, b):
        first, last = await b.node.spawn(Forwarder), await a.node.spawn(Ends)
        with pytest.raises(gen.ProcessTerminated, match="broken"):
            await a.node.call(first, (last,), timeout=60.0)


@virtual
async def test_a_peer_that_was_ignored_is_a_member_again_after_a_minute() -> None:
    async with members("a", "b") as (a, b):
        for _ in range(10):
            a.engine.network.inject(A, B, b"garbage", MAIN)
        await until(lambda: not a.cluster.links, 0.1)  # the other end knows at once
        assert not b.cluster.links
        await asyncio.sleep(50)
        assert not b.cluster.links
        await until(lambda: a.cluster.links and b.cluster.links, 20)
        a.keeper.send(b.pid, "again")
        await until(lambda: b.messages)


@virtual
async def test_a_node_that_was_started_again_is_not_ignored_for_the_faults_of_its_earlier_start() -> None:
    async with members("a", "b") as (a, b):
        network = a.engine.network
        for _ in range(10):
            network.inject(A, B, b"garbage", MAIN)
        await until(lambda: not b.cluster.links)
        network.kill(A)
        await a.node.stop()
        again = await member(network, "a")
        await until(lambda: again.cluster.links and b.cluster.links, 5)
        await again.node.stop()


@virtual
async def test_two_ends_that_begin_anew_at_the_same_time_come_up() -> None:
    async with members("a", "b") as (a, b):
        for _ in range(3):
            for one in (a, b):
                (link,) = one.cluster.peers.values()
                one.cluster.reset(link, "test", None, silently=True)
            await until(lambda: a.cluster.links and b.cluster.links, 2)


@pytest.mark.parametrize("priority", [gen.MessagePriority.NORMAL, gen.MessagePriority.HIGH])
def test_a_batch_that_is_lost_behind_all_others_ends_the_link_soon(priority: gen.MessagePriority) -> None:
    @virtual
    async def run() -> None:
        async with members("a", "b") as (a, b):
            a.keeper.send(b.pid, "comes")
            await until(lambda: b.messages)
            a.engine.network.drop_next(A, B)
            a.keeper.send_with_priority(b.pid, "lost", priority)
            await until(lambda: a.cluster.node(B).resets, 1.5)

    run()


@virtual
async def test_a_lost_batch_is_noticed_while_another_lane_is_busy() -> None:
    async with members("a", "b") as (a, b):
        a.engine.network.drop_next(A, B)
        a.keeper.send(b.pid, "lost")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(150):
            a.keeper.send_with_priority(b.pid, "urgent", gen.MessagePriority.HIGH)
            await asyncio.sleep(0.01)
            if a.cluster.node(B).resets:
                break
        assert a.cluster.node(B).resets == 1


@virtual
async def test_a_lost_batch_that_fills_the_window_is_noticed() -> None:
    async with members("a", "b", link_window=64 << 10) as (a, b):
        a.engine.network.drop_next(A, B)
        for _ in range(10):
            a.keeper.send(b.pid, b"x" * 60_000)
        await until(lambda: a.cluster.node(B).resets, 1.5)


@virtual
async def test_a_slow_way_is_not_taken_for_a_lossy_one() -> None:
    async with members("a", "b", network=MemoryNetwork(delay=2.0, jitter=1.5)) as (a, b):
        for number in range(20):
            a.keeper.send(b.pid, number)
            a.keeper.send_with_priority(b.pid, "urgent", gen.MessagePriority.HIGH)
            await asyncio.sleep(0.3)
        await until(lambda: len(b.messages) == 40)
        assert [one for one in b.messages if one != "urgent"] == list(range(20))
        assert a.cluster.node(B).resets == 0


@virtual
async def test_whoever_waits_for_an_answer_learns_that_the_newest_is_dropped() -> None:
    offered = {"keeper": gen.Spawnable(Keeper)}
    options: Any = {"outbox_bytes": 128 << 10, "link_window": 64 << 10, "spawnable": offered}
    async with members("a", "b", overflow="drop_newest", **options) as (a, b):
        for _ in range(100):
            a.keeper.send(b.pid, b"x" * 4000)
        waiting = (
            a.node.call(b.pid, "question"),
            a.keeper.send_important(b.pid, "important"),
            a.keeper.spawn_remote(B, "keeper"),
        )
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in answers] == [gen.NodeBusy] * 3
        assert len(a.node._core.calls) == 0
        assert not a.cluster.spawning._asked
        assert not a.cluster.important._open


@virtual
async def test_a_peer_that_stays_silent_is_suspected_ever_more_rarely() -> None:
    async with members("a", "b", network=MemoryNetwork(lease=10_000.0)) as (a, b):
        times: list[float] = []
        began = asyncio.get_running_loop().time()
        a.engine.suspect = lambda peer, why: times.append(asyncio.get_running_loop().time() - began)
        a.engine.network.partition(A, B)
        await asyncio.sleep(260)
        assert len(times) == 5
        assert [round((after - before) / 10) for before, after in pairwise(times)] == [2, 4, 8, 8]
        a.engine.network.heal()
        await until(lambda: a.cluster.links and b.cluster.links)
        a.engine.network.partition(A, B)
        await asyncio.sleep(12)
        assert len(times) == 6
