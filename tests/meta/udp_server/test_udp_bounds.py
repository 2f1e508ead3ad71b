"""What waits behind a server under a flood, in messages and in bytes, at the first process and at those behind it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import DEADLINE, Probe, UDPPeer, eventually
from ..servers import open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]

LONG = 60_000
MANY_BYTES = 4 * 1024 * 1024


class Slow(act.Actor):
    """Handles nothing until the test opens the gate."""

    def init(self, gate: asyncio.Event) -> None:
        self.gate = gate
        self.handled = 0

    async def handle_message(self, sender: Any, message: Any) -> None:
        await self.gate.wait()
        self.handled += 1


class Passing(act.Actor):
    """Sends what it gets to another process."""

    def init(self, to: str) -> None:
        self.to = to

    def handle_message(self, sender: Any, message: Any) -> None:
        self.send(self.to, message.data)


class SlowPool(act.Pool):
    def init(self, gate: asyncio.Event) -> act.PoolOptions:
        return act.PoolOptions(worker=Slow, worker_args=(gate,))


async def flood(server: meta.UDPServer, peer: UDPPeer, size: int, most: int) -> int:
    """Sends until the server pauses, `most` datagrams at most. Gives how many."""
    payload = bytes(size)
    for number in range(most):
        peer.send(payload, server.local_address)
        async with asyncio.timeout(DEADLINE):
            while server.statistics().packets_in <= number and not server.statistics().pauses:
                await asyncio.sleep(0)  # a pause for each of thousands would take seconds
        if server.statistics().pauses:
            return number + 1
    return most


async def test_so_many_bytes_wait_at_the_receiver_at_most(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    gate = asyncio.Event()
    slow = await node.spawn(Slow, gate, name="slow")
    server, _ = await open_server(probe, process="slow", high_water_bytes=MANY_BYTES, receive_buffer=8 * 1024 * 1024)
    sent = await flood(server, peer, LONG, 200)
    assert sent < 200
    waiting = node.process_info(slow).mailbox.main
    assert MANY_BYTES - 2 * 65535 <= waiting * LONG <= MANY_BYTES + 65535
    gate.set()
    await eventually(lambda: server.statistics().packets_in == sent)
    more = await flood(server, peer, 10, 50)
    await eventually(lambda: node.process_info(slow).messages_in == sent + more)


async def test_the_default_is_eight_mebibytes(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    slow = await node.spawn(Slow, asyncio.Event(), name="slow")
    server, _ = await open_server(probe, process="slow", receive_buffer=8 * 1024 * 1024)
    assert await flood(server, peer, LONG, 200) < 200
    assert node.process_info(slow).mailbox.main * LONG <= 8 * 1024 * 1024 + 65535


async def test_with_drop_oldest_the_bytes_are_bounded_and_the_latest_kept(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = asyncio.Event()
    slow = await node.spawn(Slow, gate, name="slow")
    server, _ = await open_server(
        probe,
        process="slow",
        high_water_bytes=MANY_BYTES,
        overflow="drop_oldest",
        receive_buffer=8 * 1024 * 1024,
    )
    assert await flood(server, peer, LONG, 200) == 200
    counted = server.statistics()
    waiting = node.process_info(slow).mailbox.main
    assert waiting * LONG <= MANY_BYTES + 65535
    assert counted.dropped_oldest == 200 - 1 - waiting
    assert counted.delivered == waiting + 1


async def test_so_many_bytes_wait_at_each_worker_at_most(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    gate = asyncio.Event()
    pool = await node.spawn(SlowPool, gate, name="pool")
    server, _ = await open_server(probe, process="pool", high_water_bytes=65536, receive_buffer=8 * 1024 * 1024)
    most = 2 * 3 * 8 * 1024 * 1024 // LONG
    assert await flood(server, peer, LONG, most) < most
    facts = await node.inspect(pool)
    for worker in facts["workers"].values():
        assert worker["waiting"] * LONG <= 8 * 1024 * 1024
        assert worker["waiting"] >= 120
    gate.set()
    await eventually(lambda: not node.process_info(pool).mailbox.main)


async def test_short_datagrams_find_as_many_places_at_the_workers_as_there_are(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = asyncio.Event()
    pool = await node.spawn(OneWorker, gate)
    server, _ = await open_server(probe, process=pool, high_water=8, low_water=2)
    await flood(server, peer, 64, 1100)
    (worker,) = (await node.inspect(pool))["workers"].values()
    assert worker["waiting"] == 1024


class OneWorker(act.Pool):
    def init(self, gate: asyncio.Event) -> act.PoolOptions:
        return act.PoolOptions(worker=Slow, worker_args=(gate,), pool_size=1)


@pytest.mark.parametrize("behind", ["workers", "pool", "process"])
async def test_a_slow_process_behind_the_receiver_holds_the_whole_chain(
    node: homing.Node, probe: Probe, peer: UDPPeer, behind: str
) -> None:
    gate = asyncio.Event()
    slow = await node.spawn(Slow, gate, name="slow")
    options: dict[str, Any] = {"worker": Passing, "worker_args": ("slow",), "workers": 2}
    if behind == "pool":
        await node.spawn(PassingPool, name="pool")
        options = {"process": "pool"}
    elif behind == "process":
        await node.spawn(Passing, "slow", name="passing")
        options = {"process": "passing"}
    server, _ = await open_server(probe, high_water=256, **options)
    sent = await flood(server, peer, 100, 4500)
    assert sent < 4500
    assert 1024 <= node.process_info(slow).mailbox.main <= 1024 + 256
    waiting = sum(node.process_info(pid).mailbox.main for pid in node.processes())
    assert waiting <= 1024 + 256 + 256 + 2 * 1024 + 2 * 64
    gate.set()
    counted = server.statistics
    await eventually(lambda: node.process_info(slow).messages_in == counted().delivered == counted().packets_in)
    assert node.info().crashes == 0
    assert (counted().dropped_newest, counted().dropped_oldest) == (0, 0)


class PassingPool(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=Passing, worker_args=("slow",), pool_size=2)


async def test_answers_hold_nobody(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    class Answering(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.send(message.id, message.reply(message.data))

    receiver = await node.spawn(Answering, name="answering")
    server, _ = await open_server(probe, process="answering")
    for _ in range(50):
        assert await peer.ask(b"?", server.local_address) == b"?"
    info: gen.ProcessInfo = node.process_info(receiver)
    assert info.holds == 0
