"""Sends that would block wait in a bounded queue, in order. The loopback of these tests is slowed down until they do.

(An ordinary loopback never blocks: a datagram is charged to the receiver before the system call returns. So these
tests run in a network namespace of their own, whose loopback has a token bucket.)
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, NARROW, create, error_of, in_network, needs_namespaces

pytestmark = [
    pytest.mark.backends,
    pytest.mark.loops,
    needs_namespaces,
]
SIZE = 500


@contextlib.asynccontextmanager
async def narrow_server(probe: Probe, **options: Any) -> AsyncIterator[tuple[meta.UDPServer, gen.Alias, UDPPeer]]:
    """A server whose kernel send buffer holds a few datagrams, and a peer it reaches slowly."""

    def make() -> tuple[meta.UDPServer, UDPPeer]:
        return create(send_buffer=1, **options), UDPPeer()

    server, peer = in_network(NARROW, make)
    with peer:
        yield server, await probe.do(lambda actor: actor.spawn_meta(server)), peer


def numbered(number: int) -> bytes:
    """A payload longer than the one before: such go to the kernel one by one."""
    return (b"%d" % number).ljust(SIZE + number, b".")


def lengths(count: int) -> list[int]:
    return [SIZE + number for number in range(count)]


def numbers(payloads: list[bytes]) -> list[int]:
    return [int(payload.rstrip(b".")) for payload in payloads]


async def test_sends_that_would_block_wait_and_go_out_in_order(probe: Probe) -> None:
    async with narrow_server(probe) as (server, alias, peer):
        seen_waiting = []

        def send_all(actor: Any) -> None:
            for number in range(60):
                actor.send(alias, meta.MessageUDP(None, peer.address, numbered(number)))

        await probe.do(send_all)
        await eventually(lambda: seen_waiting.append(server.statistics().send_waiting) or seen_waiting[-1])
        assert numbers([(await peer.receive())[0] for _ in range(60)]) == list(range(60))
        statistics = server.statistics()
        assert (statistics.packets_out, statistics.bytes_out) == (60, sum(lengths(60)))
        assert (statistics.send_waiting, statistics.send_errors, statistics.dropped_send_queue) == (0, {}, 0)


async def test_runs_of_equal_length_that_would_block_wait_and_go_out_in_order(probe: Probe) -> None:
    """The native backend gives the kernel 64 of them as one."""
    async with narrow_server(probe) as (server, alias, peer):
        payloads = [b"%04d" % number for number in range(1000)]

        def send_all(actor: Any) -> None:
            for payload in payloads:
                actor.send(alias, meta.MessageUDP(None, peer.address, payload))

        await probe.do(send_all)
        assert [(await peer.receive())[0] for _ in payloads] == payloads
        assert (server.statistics().packets_out, server.statistics().bytes_out) == (1000, 4000)


async def test_what_finds_the_send_queue_full_is_dropped_counted_and_told_to_its_caller(
    node: homing.Node, probe: Probe
) -> None:
    async with narrow_server(probe, send_queue=5) as (server, alias, peer):

        def send_all(actor: Any) -> None:
            for number in range(60):
                actor.send(alias, meta.MessageUDP(None, peer.address, numbered(number)))

        await probe.do(send_all)
        await eventually(lambda: server.statistics().dropped_send_queue > 0)
        dropped = server.statistics().dropped_send_queue
        assert server.statistics().send_waiting == 5
        sent = 60 - dropped
        assert numbers([(await peer.receive())[0] for _ in range(sent)]) == list(range(sent))
        assert server.statistics().packets_out == sent
        assert server.statistics().send_errors == {}


@pytest.mark.parametrize("error_queue", [False, True])
async def test_a_caller_is_answered_when_its_datagram_goes_out_or_told_that_the_queue_is_full(
    error_queue: bool, node: homing.Node, probe: Probe
) -> None:
    async with narrow_server(probe, send_queue=5, error_queue=error_queue) as (server, alias, peer):
        messages = [meta.MessageUDP(None, peer.address, numbered(number)) for number in range(40)]
        results = await asyncio.gather(*(node.call(alias, message) for message in messages), return_exceptions=True)
        full = [result for result in results if isinstance(result, gen.SendQueueFull)]
        sent = [result for result in results if result in lengths(40)]
        assert len(sent) == server.statistics().packets_out
        assert len(full) == server.statistics().dropped_send_queue > 0
        assert len(sent) + len(full) == 40
        assert full[0].limit == 5


@pytest.mark.parametrize("error_queue", [False, True])
async def test_a_datagram_that_fails_after_it_waited_is_counted_and_told_and_the_others_go_out(
    error_queue: bool, node: homing.Node, probe: Probe
) -> None:
    async with narrow_server(probe, error_queue=error_queue) as (server, alias, peer):
        calls = []
        for number in range(20):
            calls.append(node.call(alias, meta.MessageUDP(None, peer.address, numbered(number))))
            calls.append(node.call(alias, meta.MessageUDP(None, (HOST, 0), b"to port 0")))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[::2] == lengths(20)
        assert [result.errno for result in results[1::2] if isinstance(result, OSError)] == [errno.EINVAL] * 20
        assert server.statistics().send_errors == {"EINVAL": 20}
        assert numbers([(await peer.receive())[0] for _ in range(20)]) == list(range(20))


@pytest.mark.parametrize("data", ["text", None, memoryview(b"with gaps")[::2]])
async def test_data_that_are_no_bytes_never_get_into_the_queue(data: Any, node: homing.Node, probe: Probe) -> None:
    async with narrow_server(probe) as (server, alias, peer):
        for number in range(20):
            node.send(alias, meta.MessageUDP(None, peer.address, numbered(number)))
        await eventually(lambda: server.statistics().send_waiting)
        with pytest.raises((TypeError, BufferError)):
            await node.call(alias, meta.MessageUDP(None, peer.address, data))
        assert numbers([(await peer.receive())[0] for _ in range(20)]) == list(range(20))


async def test_a_buffer_that_is_released_while_it_waits_fails_that_datagram_only(
    node: homing.Node, probe: Probe
) -> None:
    pool = meta.BufferPool(size=SIZE)
    async with narrow_server(probe, buffer_pool=pool) as (server, alias, peer):
        peer.send(numbered(0), server.local_address)
        message = await probe.get()

        def send_all(actor: Any) -> None:
            for number in range(20):
                actor.send(alias, meta.MessageUDP(None, peer.address, numbered(number)))

        await probe.do(send_all)
        call = asyncio.create_task(node.call(alias, message.reply(message.data)))
        await eventually(lambda: server.statistics().send_waiting > 1)
        message.release()
        assert isinstance(await error_of(call), gen.BufferReleased)
        assert numbers([(await peer.receive())[0] for _ in range(20)]) == list(range(20))
        assert pool.lent == 0


async def test_a_server_that_ends_with_waiting_datagrams_tells_their_callers_and_gives_back_their_buffers(
    node: homing.Node, probe: Probe
) -> None:
    pool = meta.BufferPool(size=SIZE)
    async with narrow_server(probe, buffer_pool=pool) as (server, alias, peer):
        calls = []
        for number in range(40):  # each longer than the one before: such go to the kernel one by one
            data = memoryview(pool.get())[: 400 + number]
            calls.append(asyncio.create_task(node.call(alias, meta.MessageUDP(None, peer.address, data))))
        await eventually(lambda: server.statistics().send_waiting)
        await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
        results = await asyncio.gather(*calls, return_exceptions=True)
        told = [result for result in results if isinstance(result, gen.MetaTerminated)]
        assert len(told) > 0
        assert sum(isinstance(result, int) for result in results) + len(told) == 40
        del data, calls
        await eventually(lambda: pool.lent == 0)


async def test_receiving_goes_on_while_sends_wait(node: homing.Node, probe: Probe) -> None:
    async with narrow_server(probe) as (server, alias, peer):
        for number in range(40):
            node.send(alias, meta.MessageUDP(None, peer.address, numbered(number)))
        await eventually(lambda: server.statistics().send_waiting)
        peer.send(b"hello", server.local_address)
        assert (await probe.get()).data == b"hello"
        assert numbers([(await peer.receive())[0] for _ in range(40)]) == list(range(40))


async def test_a_node_that_stops_sends_what_waits_before_it_ends() -> None:
    node = await homing.start_node("stopping@localhost", gen.NodeOptions(handle_signals=False))
    probe = await Probe.start(node)
    async with narrow_server(probe) as (server, alias, peer):
        for number in range(40):
            node.send(alias, meta.MessageUDP(None, peer.address, numbered(number)))
        assert await node.stop() is True
        assert server.statistics().packets_out == 40
        assert numbers([(await peer.receive())[0] for _ in range(40)]) == list(range(40))


class SendsAtOnce(homing.act.Actor):
    """Sends more than the kernel takes in the moment in which the server has been started."""

    async def init(self, server: meta.UDPServer, address: Any) -> None:
        udp = await self.spawn_meta(server)
        for number in range(40):
            self.send(udp, meta.MessageUDP(None, address, numbered(number)))


async def test_what_is_sent_before_the_server_watches_its_socket_goes_out_too(node: homing.Node) -> None:
    server, peer = in_network(NARROW, lambda: (create(send_buffer=1), UDPPeer()))
    with peer:
        await node.spawn(SendsAtOnce, server, peer.address)
        assert numbers([(await peer.receive())[0] for _ in range(40)]) == list(range(40))
