"""Datagrams that come alone are read one by one, and a burst by as few reads as ever: complete, in order, once."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.datagram.backend.portable import PortableBackend

from ...support import Probe, UDPPeer, eventually, examples
from ..servers import get_payloads, open_server
from .lone import ALONE, Reads, Serving, Way, adds_up, numbers, one, read, serve

pytestmark = [pytest.mark.backends, pytest.mark.loops]

LONE = 4
LOOK = 16
"""The numbers of the same name in `meta/udp/reader.py`."""


async def test_after_a_few_wake_ups_with_one_datagram_each_the_next_one_is_read_alone(
    node: homing.Node, peer: UDPPeer, reads: Reads
) -> None:
    _, server, got = await serve(node, Serving)
    for data in numbers(LONE):
        await one(peer, server, data)
    assert reads.lone == []
    sent = LONE
    while not reads.lone:
        assert sent < 1000
        await one(peer, server, b"%d" % sent)
        sent += 1
    assert got == numbers(sent)


async def test_a_burst_among_lone_datagrams_ends_the_lone_way_within_sixteen_of_them(
    node: homing.Node, peer: UDPPeer, reads: Reads
) -> None:
    _, server, got = await serve(node, Serving)
    await Way("alone", reads).begin(peer, server)
    before, many = reads.taken_alone(), len(reads.many)
    for data in numbers(100):
        peer.send(data, server.local_address)
    await read(server, ALONE + 100)
    assert reads.taken_alone() - before < LOOK
    assert sum(reads.many[many:]) > 100 - LOOK
    assert got[ALONE:] == numbers(100)
    again = len(reads.lone)
    for data in numbers(LONE - 1):
        await one(peer, server, data)
    assert len(reads.lone) == again


@pytest.mark.backends("portable")
async def test_a_lone_datagram_takes_one_system_call(
    node: homing.Node, peer: UDPPeer, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, in_lone = 0, []
    receive_lone = PortableBackend.receive_lone

    def counted(self: PortableBackend, id: Any, most: int) -> Any:
        nonlocal calls
        receive_into = self._receive_into

        def receive(arena: bytearray) -> Any:
            nonlocal calls
            calls += 1
            return receive_into(arena)

        calls, self._receive_into = 0, receive
        try:
            return receive_lone(self, id, most)
        finally:
            self._receive_into = receive_into
            in_lone.append(calls)

    monkeypatch.setattr(PortableBackend, "receive_lone", counted)
    _, server, _ = await serve(node, Serving)
    while len(in_lone) < 3:
        await one(peer, server, b"alone")
    assert set(in_lone) == {1}


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(examples(3, 60)))
async def test_bursts_and_lone_datagrams_in_any_order_arrive_complete_in_order_and_once(
    node: homing.Node, peer: UDPPeer, reads: Reads, seed: int
) -> None:
    chance = random.Random(seed)
    _, server, got = await serve(node, Serving)
    sent: list[bytes] = []

    async def send(size: int, pauses: int) -> None:
        for _ in range(size):
            sent.append(b"%d" % len(sent) + b"x" * chance.randrange(50))
            peer.send(sent[-1], server.local_address)
        for _ in range(pauses):
            await asyncio.sleep(0)

    while len(sent) < 600:
        for _ in range(chance.randrange(2 * LOOK)):
            await send(1, 0)
            await read(server, len(sent))
        for _ in range(chance.randrange(4)):
            await send(chance.choice((1, 2, 3, 20, 70)), chance.choice((0, 1, 3)))
        await read(server, len(sent))
        facts = server.statistics()
        assert (facts.packets_in, facts.delivered) == (len(sent), len(sent))
        assert facts.bytes_in == sum(map(len, sent))
    await read(server, len(sent))
    assert got == sent
    assert reads.lone
    assert adds_up(server)
    info = node.meta_info(server.alias)
    assert info.messages_out == len(sent)


async def test_datagrams_of_no_bytes_and_those_that_are_cut_are_read_alone_as_well(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    _, server, got = await serve(node, Serving, options={"buffer_size": 10})
    await way.begin(peer, server)
    await way.send(peer, server, [b"", b"x" * 10, b"y" * 11, b""])
    assert got[ALONE:] == [b"", b"x" * 10, b"y" * 10, b""]
    facts = server.statistics()
    assert (facts.truncated, facts.bytes_in) == (1, 20 + ALONE * len(b"first"))


async def test_sources_that_are_not_allowed_or_above_their_limit_are_counted_when_they_come_alone(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    limit = meta.RateLimit(rate=0.001, burst=ALONE + 2, exempt=(), slip=0)
    _, server, got = await serve(node, Serving, options={"rate_limit": limit, "deny": ("127.0.0.2/32",)})
    await way.begin(peer, server)
    with UDPPeer("127.0.0.2") as denied:
        await way.send(denied, server, numbers(3))
    await way.send(peer, server, numbers(5))
    facts = server.statistics()
    assert (facts.denied, facts.limited, facts.delivered) == (3, 3, ALONE + 2)
    assert got[ALONE:] == numbers(2)
    assert adds_up(server)


@pytest.mark.parametrize("option", ["receive_ttl", "receive_timestamp", "receive_local_address"])
async def test_a_lone_datagram_has_the_information_of_its_packet(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way, option: str
) -> None:
    server, _ = await open_server(probe, **{option: True})
    await way.begin(peer, server)
    await get_payloads(probe, ALONE)
    await way.send(peer, server, numbers(3))
    name = option.removeprefix("receive_").removesuffix("_address")
    for _ in range(3):
        info = (await probe.get()).info
        assert getattr(info, name) is not None


async def test_the_counters_add_up_while_a_lone_datagram_is_handled(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    seen: list[bool] = []

    class Looking(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            seen.append(adds_up(self.server))
            super().handle_message(sender, message)

    _, server, _ = await serve(node, Looking)
    await way.begin(peer, server)
    await way.send(peer, server, numbers(10))
    await eventually(lambda: len(seen) == ALONE + 10)
    assert all(seen)


async def test_the_accounts_of_server_and_process_are_the_same_in_both_ways(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    class Answering(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            super().handle_message(sender, message)
            self.reply(message, message.data)

    pid, server, got = await serve(node, Answering)
    await way.begin(peer, server)
    await way.send(peer, server, numbers(20))
    for _ in range(ALONE + 20):
        await peer.receive()
    assert len(got) == ALONE + 20
    of_server, of_process = node.meta_info(server.alias), node.process_info(pid)
    assert (of_server.messages_in, of_server.messages_out) == (ALONE + 20, ALONE + 20)
    assert (of_process.messages_in, of_process.messages_out) == (ALONE + 21, ALONE + 20)
    assert of_process.running_time > 0
    assert of_process.mailbox.main == of_server.mailbox.main == 0
    facts = server.statistics()
    assert (facts.packets_out, facts.bytes_out) == (facts.packets_in, facts.bytes_in)
