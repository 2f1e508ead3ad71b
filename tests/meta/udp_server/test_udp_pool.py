"""A UDP server in front of a pool that sends each peer to its own worker, and of one that has no worker."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import all_accounted, create

pytestmark = pytest.mark.backends


class Log:
    """What workers have handled, as (worker, port, number); `sick` workers cannot be started."""

    def __init__(self) -> None:
        self.handled: list[tuple[gen.PID, int, int]] = []
        self.sick = False


class Worker(act.Actor):
    def init(self, log: Log) -> None:
        if log.sick:
            raise RuntimeError("sick")
        self.log_of_all = log

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        number = int(message.data)
        if number < 0:
            raise RuntimeError("as asked")
        self.log_of_all.handled.append((self.pid, message.addr[1], number))
        self.send(message.id, message.reply(message.data))


class Workers(act.Pool):
    def init(self, log: Log, **options: Any) -> act.PoolOptions:
        return act.PoolOptions(**{"worker": Worker, "worker_args": (log,), "route": "source", **options})


class Wide(Workers):
    def init(self, log: Log, **options: Any) -> act.PoolOptions:
        return super().init(log, pool_size=8)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: int) -> int:
        if request > 0:
            return await self.add_workers(request)
        return self.remove_workers(-request)


async def test_each_peer_meets_one_worker_and_the_peers_are_spread(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    log = Log()
    await node.spawn(Wide, log, name="wide")
    server = create(process="wide")
    await probe.do(lambda actor: actor.spawn_meta(server))
    with ExitStack() as stack:
        peers = [stack.enter_context(UDPPeer()) for _ in range(24)]
        for number in range(10):
            for peer in peers:
                assert await peer.ask(b"%d" % number, server.local_address) == b"%d" % number
        met = {
            peer.address[1]: {worker for worker, port, _ in log.handled if port == peer.address[1]} for peer in peers
        }
    assert all(len(workers) == 1 for workers in met.values())
    assert len(set.union(*met.values())) > 1


async def test_each_peer_keeps_its_order_while_workers_crash_come_and_go(node: homing.Node, probe: Probe) -> None:
    log = Log()
    pool = await node.spawn(Wide, log, name="wide")
    server = create(process="wide", receive_buffer=400_000)
    await probe.do(lambda actor: actor.spawn_meta(server))
    sent = crashes = 0
    with ExitStack() as stack:
        peers = [stack.enter_context(UDPPeer()) for _ in range(12)]
        for number in range(40):
            for peer in peers:
                peer.send(b"%d" % number, server.local_address)
            sent += len(peers)
            if number % 4 == 0:
                peers[number % 12].send(b"-1", server.local_address)
                crashes += 1
            await all_accounted(server, sent + crashes)
            if number % 10 == 5:
                await node.call("wide", 2 if number % 20 == 5 else -3, priority=gen.MessagePriority.HIGH)
        await eventually(lambda: len(log.handled) == sent)
        for peer in peers:
            own = [number for _, port, number in log.handled if port == peer.address[1]]
            assert own == list(range(40))
    facts = await node.inspect(pool)
    assert (facts["dead_letters"], facts["worker_restarts"], facts["pool_size"]) == (crashes, crashes, 6)
    assert facts["messages_handled"] == sent
    assert server.statistics().delivered == sent + crashes


@pytest.mark.parametrize("route", ["round_robin", "source"])
async def test_a_server_in_front_of_a_pool_without_workers_pauses_and_everything_arrives_in_the_end(
    route: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    log = Log()

    class Single(Workers):
        def init(self, log: Log, **options: Any) -> act.PoolOptions:
            return super().init(log, route=route, pool_size=1, worker_mailbox_size=5)

    await node.spawn(Single, log, name="single")
    server = create(process="single", high_water=10, low_water=2)
    await probe.do(lambda actor: actor.spawn_meta(server))
    log.sick = True
    peer.send(b"-1", server.local_address)
    await eventually(lambda: server.statistics().delivered == 1)
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    assert server.statistics().delivered <= 1 + 5 + 10
    assert log.handled == []
    log.sick = False
    await eventually(lambda: len(log.handled) == 100)
    assert [number for _, _, number in log.handled] == list(range(100))
