"""A UDP server whose receiver blocks a thread of its own: others answer meanwhile, and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import DEADLINE, UDPPeer, eventually, free_port
from ..servers import HOST, Echo, create, open_echo

pytestmark = [pytest.mark.backends, pytest.mark.loops]

THREAD = gen.ProcessOptions(thread=True)


class Slow(Echo):
    """Answers every datagram with itself, after a while: after an event, where it is told to block."""

    async def init(self, blocked: threading.Event, released: threading.Event) -> None:  # type: ignore[override]
        await super().init()
        self.blocked = blocked
        self.released = released

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data == b"block":
            self.blocked.set()
            self.released.wait(2 * DEADLINE)
        time.sleep(0.001)
        super().handle_message(sender, message)


async def test_a_server_with_a_blocking_receiver_answers_and_others_answer_meanwhile(
    node: homing.Node, peer: UDPPeer
) -> None:
    blocked, released = threading.Event(), threading.Event()
    slow: meta.UDPServer = await node.call(await node.spawn(Slow, blocked, released, options=THREAD), "server")
    quick = await open_echo(node)
    assert await peer.ask(b"at first", slow.local_address) == b"at first"
    with UDPPeer() as waiting:
        waiting.send(b"block", slow.local_address)
        await eventually(blocked.is_set)
        for number in range(20):
            assert await peer.ask(b"%d" % number, quick.local_address) == b"%d" % number
        released.set()
        assert (await waiting.receive())[0] == b"block"


async def test_a_flood_of_a_blocking_receiver_pauses_its_server_and_loses_nothing(
    node: homing.Node, peer: UDPPeer
) -> None:
    class Receiver(act.Actor):
        async def init(self, started: threading.Event, got: list[bytes]) -> None:
            self.started = started
            self.got = got
            self.server = create(high_water=8, buffer_size=100)
            await self.spawn_meta(self.server)

        def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
            self.started.wait(2 * DEADLINE)
            self.got.append(bytes(message.data))

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.server

    started, got = threading.Event(), list[bytes]()
    server: meta.UDPServer = await node.call(await node.spawn(Receiver, started, got, options=THREAD), "server")
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    started.set()
    await eventually(lambda: len(got) == 100)
    assert got == [b"%d" % number for number in range(100)]


async def test_batches_and_pooled_buffers_come_back_from_a_thread(node: homing.Node, peer: UDPPeer) -> None:
    pool = meta.BufferPool(size=2048)

    class Batches(act.Actor):
        async def init(self) -> None:
            self.got: list[bytes] = []
            self.server = create()
            self.pooled = create(buffer_pool=pool)
            await self.spawn_meta(self.server)
            self.copy = await self.spawn(Pooled, self.pooled, options=THREAD)

        def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
            self.got += [message.data for message in batch]

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.server, self.pooled, list(self.got)

    class Pooled(act.Actor):
        async def init(self, server: meta.UDPServer) -> None:
            await self.spawn_meta(server)

        def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
            self.send(message.id, message.reply(message.data))

    pid = await node.spawn(Batches, options=THREAD)
    server, pooled, _ = await node.call(pid, "server")
    for number in range(50):
        peer.send(b"%d" % number, server.local_address)
        assert await peer.ask(b"%d" % number, pooled.local_address) == b"%d" % number

    async def batches() -> list[bytes]:
        found: list[bytes] = (await node.call(pid, "server"))[2]
        return found

    while len(got := await batches()) < 50:
        await asyncio.sleep(0.001)
    assert got == [b"%d" % number for number in range(50)]
    await eventually(lambda: pool.lent == 0)
    assert server.local_address[0] == HOST


class Opening(act.Actor):
    """Creates servers in a plain callback, and starts them in one that is asynchronous."""

    def init(self) -> None:
        self.made: meta.UDPServer

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: dict[str, Any]) -> Any:
        self.made = create(**request)
        self.send(self.pid, "start")
        return self.made

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.spawn_meta(self.made)


@pytest.mark.parametrize("adopted", [True, False])
async def test_a_socket_that_lingers_is_found_from_a_thread(
    node: homing.Node, caplog: pytest.LogCaptureFixture, adopted: bool
) -> None:
    port = free_port()
    options: dict[str, Any] = {"host": "::", "port": port, "linger": 30.0}
    first, second = [await node.spawn(Opening, options=THREAD) for _ in range(2)]
    await node.call(first, options)
    await eventually(lambda: node.info().metas == 1)
    alias = node.process_info(first).metas[0]
    node.kill(first)
    await eventually(lambda: first not in node.processes())
    await node.call(second, options if adopted else options | {"dual_stack": True})
    await eventually(lambda: node.process_info(second).metas)
    assert (node.process_info(second).metas == (alias,)) is adopted
    assert ("is not adopted" in caplog.text) is not adopted
