"""One slow peer among many, at a server with workers by source: what it costs the others."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import homing
from homing import act, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]

SOURCES, WORKERS, WAITING = 16, 8, 1024


class Worker(act.Actor):
    """Answers with its own address; but "slow" keeps it until the test is over."""

    def init(self, gate: asyncio.Event) -> None:
        self.gate = gate

    async def handle_message(self, sender: Any, message: Any) -> None:
        if message.data == b"slow":
            await self.gate.wait()
        self.send(message.id, message.reply(b"%d" % self.pid.id))


@pytest.mark.parametrize("overflow", [None, "drop_newest", "drop_oldest"])
async def test_only_the_share_of_the_slow_peers_worker_is_dropped_and_counted(
    node: homing.Node, probe: Probe, overflow: Any
) -> None:
    gate = asyncio.Event()
    options = {"worker": Worker, "worker_args": (gate,), "workers": WORKERS, "route": "source", "overflow": overflow}
    server, _ = await open_server(probe, receive_buffer=4 * 1024 * 1024, **options)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(UDPPeer()) for _ in range(SOURCES)]
        places = [await peer.ask(b"?", server.local_address) for peer in peers]
        slow, at = peers[0], places[0]
        others = [peer for peer, place in zip(peers, places, strict=True) if place != at]
        sent = 2 * WAITING
        for number in range(sent):
            slow.send(b"slow", server.local_address)
            if number % 64 == 63:
                arrived = SOURCES + number + 1
                await eventually(lambda arrived=arrived: server.statistics().packets_in == arrived)  # type: ignore[misc]
        for _ in range(10):
            for peer in others:
                await peer.ask(b"?", server.local_address)
        counted = server.statistics()
        dropped = counted.dropped_oldest if overflow == "drop_oldest" else counted.dropped_newest
        assert dropped == sent - WAITING - 1
        assert counted.packets_in == counted.delivered + counted.dropped_newest + counted.dropped_oldest
        assert counted.pauses == 0
        gate.set()
        answered = SOURCES + 10 * len(others) + WAITING + 1
        await eventually(lambda: server.statistics().packets_out == answered)


async def test_the_policy_for_full_workers_can_be_changed_while_the_server_runs(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = asyncio.Event()
    server, alias = await open_server(
        probe,
        worker=Worker,
        worker_args=(gate,),
        workers=1,
        route="source",
        overflow="pause",
        high_water=8,
        low_water=2,
    )
    for number in range(WAITING + 1):
        peer.send(b"slow", server.local_address)
        if number % 64 == 63:
            await eventually(lambda number=number: server.statistics().packets_in == number + 1)  # type: ignore[misc]
    for _ in range(20):
        peer.send(b"slow", server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    assert server.statistics().dropped_newest == 0
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(overflow="drop_newest")))
    await eventually(lambda: server.statistics().packets_in == WAITING + 21)
    await eventually(lambda: server.statistics().dropped_newest == 20)
    assert server.statistics().delivered == WAITING + 1
    gate.set()
    await eventually(lambda: server.statistics().packets_out == WAITING + 1)
    assert not node.info().crashes


async def test_what_former_workers_drop_before_they_have_ended_is_counted_as_dropped(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = asyncio.Event()
    options = {"worker": Worker, "worker_args": (gate,), "workers": 1, "route": "source"}
    server, _ = await open_server(probe, **options)
    state, former = server._state, server._state.workers
    for number in range(WAITING + 1):
        peer.send(b"slow", server.local_address)
        if number % 64 == 0:
            await eventually(lambda number=number: server.statistics().packets_in == number + 1)  # type: ignore[misc]
    await eventually(lambda: server.statistics().delivered == WAITING + 1)
    for _ in range(3):  # which the pool has not taken yet when it is retired
        node.send(former.address, meta.MessageUDP(addr=peer.address, data=b"slow"))
    state.retire_workers()
    await eventually(lambda: server.statistics().dropped_newest == 3)
    gate.set()
    await eventually(lambda: former.address not in node.processes())
    assert server.statistics().dropped_newest == 3
