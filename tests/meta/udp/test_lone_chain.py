"""A sender about as fast as the receiver: each read of a wake-up finds one more datagram, which comes alone as well."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import gen

from ...support import UDPPeer, eventually
from .lone import Reads, Serving, adds_up, numbers, serve

pytestmark = [pytest.mark.backends, pytest.mark.loops]

COUNT = 3000


class Chain(Serving):
    """Each datagram that is handled sends the next one, until there are `COUNT`; `last` is set then."""

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        if message == "begin":
            self.peer, self.last = self.env["peer"], self.env["last"]
            data = b"0"
        else:
            self.got.append(bytes(message.data))
            data = b"%d" % len(self.got)
        if len(self.got) < COUNT:
            self.peer.send(data, self.server.local_address)
        else:
            self.last.set()


async def chain(node: homing.Node, behavior: type[Serving], peer: UDPPeer, **options: Any) -> Any:
    """Runs a chain to its end. Returns the server, and the payloads that came."""
    last = asyncio.Event()
    process = gen.ProcessOptions(env={"peer": peer, "last": last}, **options)
    pid, server, got = await serve(node, behavior, process=process)
    node.send(pid, "begin")
    async with asyncio.timeout(20):
        await last.wait()
    return server, got


async def test_all_datagrams_of_a_chain_come_once_and_in_order(node: homing.Node, peer: UDPPeer, reads: Reads) -> None:
    server, got = await chain(node, Chain, peer)
    assert got == numbers(COUNT)
    assert server.statistics().delivered == COUNT
    assert adds_up(server)


@pytest.mark.backends("native")
async def test_what_follows_a_lone_datagram_in_one_wake_up_is_handed_over_alone(
    node: homing.Node, peer: UDPPeer, reads: Reads
) -> None:
    await chain(node, Chain, peer)
    assert reads.taken_alone() > COUNT / 2


async def test_a_chain_keeps_no_timer_waiting(node: homing.Node, peer: UDPPeer) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.0005)
            ticks += 1

    ticker = asyncio.create_task(tick())
    _, got = await chain(node, Chain, peer)
    ticker.cancel()
    assert got == numbers(COUNT)
    assert ticks > 1


class Crashing(Chain):
    """As `Chain`; a crash in the middle of it."""

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        super().handle_message(sender, message)
        if len(self.got) == 100:
            self.last.set()
            raise RuntimeError("the crash of the test")


async def test_a_crash_in_a_chain_loses_the_account_of_no_datagram(
    node: homing.Node, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    server, got = await chain(node, Crashing, peer)
    await eventually(lambda: not node.processes())
    assert got == numbers(100)
    assert server.statistics().delivered == server.statistics().packets_in
    assert "the crash of the test" in caplog.text


class Waiting(Chain):
    """As `Chain`, with an asynchronous callback."""

    async def handle_message(self, sender: gen.PID, message: Any) -> Any:
        Chain.handle_message(self, sender, message)
        if len(self.got) % 7 == 0:
            await asyncio.sleep(0)


async def test_a_chain_through_an_asynchronous_callback_stays_in_order(node: homing.Node, peer: UDPPeer) -> None:
    _, got = await chain(node, Waiting, peer)
    assert got == numbers(COUNT)
