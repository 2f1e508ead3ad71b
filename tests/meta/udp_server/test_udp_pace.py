"""How many datagrams wait at a receiver follows what it handles in a time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import Gate, Gated, balanced, open_server

pytestmark = pytest.mark.backends

HIGH = 1024
SLOW = 0.002


class Slow(act.Actor):
    """Takes its time for each datagram, until it is told to hurry, and notes how many waited behind each."""

    def init(self, node: homing.Node, waiting: list[int], seconds: list[float]) -> None:
        self.here, self.waiting, self.seconds = node, waiting, seconds

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.waiting.append(self.here.process_info(self.pid).mailbox.main)
        if self.seconds[0]:
            time.sleep(self.seconds[0])


async def mark_of(node: homing.Node, alias: gen.Alias) -> int:
    mark: int = (await node.inspect_meta(alias, "high_water_now"))["high_water_now"]
    return mark


async def test_a_slow_receiver_has_no_more_waiting_than_it_handles_in_the_time(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    waiting: list[int] = []
    seconds = [SLOW]
    await node.spawn(Slow, node, waiting, seconds, name="slow")
    server, alias = await open_server(probe, process="slow", receive_buffer=1 << 20)
    assert await mark_of(node, alias) == HIGH
    for _ in range(600):
        peer.send(b"x", server.local_address)
    await eventually(lambda: len(waiting) > 400)
    assert await mark_of(node, alias) <= 0.025 / SLOW
    assert max(waiting[300:]) <= 0.025 / SLOW + 1
    facts = await node.inspect_meta(alias, "waiting_for", "high_water_seconds")
    assert facts["high_water_seconds"] == 0.025
    seconds[0] = 0.0
    await eventually(lambda: len(waiting) == 600)

    async def burst() -> int:
        count = len(waiting)
        for _ in range(200):
            peer.send(b"x", server.local_address)
        await eventually(lambda: len(waiting) == count + 200)
        return await mark_of(node, alias)

    async with asyncio.timeout(20):
        while await burst() < HIGH:
            pass
    assert balanced(server).delivered == len(waiting)


async def test_without_a_limit_in_time_as_many_wait_as_the_number_allows(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate, name="gated")
    server, alias = await open_server(
        probe, process="gated", receive_buffer=1 << 20, high_water=100, high_water_seconds=None
    )
    for _ in range(200):
        peer.send(b"x", server.local_address)
    for number in range(1, 20):
        gate.let(1)
        await eventually(lambda: len(gate.reached) == number + 1)  # noqa: B023
    await eventually(lambda: server.statistics().pauses)
    assert node.process_info(receiver).mailbox.main > 64
    assert await mark_of(node, alias) == 100
    gate.let(200)
    await gate.passed_by(200)


class Waiting(act.Actor):
    """Handles datagrams side by side, each for a while."""

    def init(self, at_once: list[int]) -> None:
        self.at_once = at_once
        self.running = 0

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.running += 1
        self.at_once.append(self.running)
        await asyncio.sleep(0.02)
        self.running -= 1


async def test_messages_in_hand_do_not_count_so_that_all_places_are_used(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    at_once: list[int] = []
    await node.spawn(Waiting, at_once, name="waiting", options=gen.ProcessOptions(concurrency=60))
    server, alias = await open_server(probe, process="waiting", receive_buffer=1 << 20, high_water_seconds=0.001)
    for _ in range(300):
        peer.send(b"x", server.local_address)
    for number in range(20, 720, 20):
        await eventually(lambda: len(at_once) >= number)  # noqa: B023
        for _ in range(20):
            peer.send(b"x", server.local_address)
    await eventually(lambda: len(at_once) == 1000)
    assert max(at_once[500:]) == 60
    assert balanced(server).delivered == 1000
    assert await mark_of(node, alias) < HIGH


async def test_the_limit_in_time_changes_while_the_server_runs(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    waiting: list[int] = []
    await node.spawn(Slow, node, waiting, [SLOW], name="slow")
    server, alias = await open_server(probe, process="slow", receive_buffer=1 << 20, high_water_seconds=None)
    answer = await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(high_water_seconds=0.02)))
    assert answer.options.high_water_seconds == 0.02
    for _ in range(200):
        peer.send(b"x", server.local_address)
    await eventually(lambda: len(waiting) > 180)
    assert await mark_of(node, alias) <= 10
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(high_water_seconds=None)))
    assert await mark_of(node, alias) == HIGH


async def test_a_policy_that_drops_has_no_limit_in_time(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    waiting: list[int] = []
    await node.spawn(Slow, node, waiting, [0.001], name="slow")
    server, alias = await open_server(probe, process="slow", receive_buffer=1 << 20, overflow="drop_oldest")
    for _ in range(200):
        peer.send(b"x", server.local_address)
    await eventually(lambda: len(waiting) > 100)
    assert await mark_of(node, alias) == HIGH
