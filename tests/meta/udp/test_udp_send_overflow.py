"""What happens to datagrams that find the send queue full: the newest go, the oldest, or they wait in the mailbox."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
QUEUE = 8


@asynccontextmanager
async def narrow(
    probe: Probe, mailbox_size: int = 0, **options: Any
) -> AsyncIterator[tuple[meta.UDPServer, gen.Alias, UDPPeer]]:
    """A server whose kernel send buffer holds a few datagrams, and a peer it reaches slowly."""
    options = {"send_buffer": 1, "send_queue": QUEUE, "on_error": probe.pid, **options}
    server, peer = in_network(NARROW, lambda: (create(**options), UDPPeer()))
    with peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        mailbox = gen.MetaOptions(mailbox_size=mailbox_size)
        yield server, await probe.do(lambda actor: actor.spawn_meta(server, mailbox)), peer


def numbered(number: int) -> bytes:
    """A payload longer than the one before: such go to the kernel one by one."""
    return (b"%d" % number).ljust(SIZE + number, b".")


def number_of(payload: bytes) -> int:
    return int(payload.rstrip(b"."))


async def send_all(probe: Probe, alias: gen.Alias, peer: UDPPeer, count: int) -> None:
    """All at once: they come to the server in one turn."""

    def send(actor: Any) -> None:
        for number in range(count):
            actor.send(alias, meta.MessageUDP(None, peer.address, numbered(number)))

    await probe.do(send)


async def arrived(peer: UDPPeer, count: int) -> list[int]:
    return [number_of((await peer.receive())[0]) for _ in range(count)]


async def test_the_oldest_that_wait_give_way_to_the_newest_and_are_told(node: homing.Node, probe: Probe) -> None:
    async with narrow(probe, send_overflow="drop_oldest") as (server, alias, peer):
        await send_all(probe, alias, peer, 60)
        await eventually(lambda: server.statistics().dropped_send_oldest)
        counted = server.statistics()
        assert counted.packets_out + counted.send_waiting == 60 - counted.dropped_send_oldest
        assert (counted.dropped_send_queue, counted.send_errors) == (0, {})
        got = await arrived(peer, 60 - counted.dropped_send_oldest)
        first = 60 - QUEUE - counted.dropped_send_oldest
        assert got == [*range(first), *range(60 - QUEUE, 60)]
        told = [await probe.get() for _ in range(counted.dropped_send_oldest)]
        assert [number_of(one.data) for one in told] == list(range(first, 60 - QUEUE))
        assert {type(one.error) for one in told} == {gen.SendQueueFull}


async def test_a_caller_whose_datagram_gave_way_is_told(node: homing.Node, probe: Probe) -> None:
    async with narrow(probe, send_overflow="drop_oldest") as (server, alias, peer):
        messages = [meta.MessageUDP(None, peer.address, numbered(number)) for number in range(40)]
        results = await asyncio.gather(*(node.call(alias, message) for message in messages), return_exceptions=True)
        full = [number for number, result in enumerate(results) if isinstance(result, gen.SendQueueFull)]
        assert len(full) == server.statistics().dropped_send_oldest > 0
        assert set(range(40 - QUEUE, 40)).isdisjoint(full)
        assert await arrived(peer, 40 - len(full)) == [number for number in range(40) if number not in full]
        assert probe.waiting() == []


async def test_the_buffer_of_a_datagram_that_gave_way_goes_back(node: homing.Node, probe: Probe) -> None:
    pool = meta.BufferPool(size=SIZE)
    async with narrow(probe, send_overflow="drop_oldest", buffer_pool=pool) as (server, alias, peer):

        def send(actor: Any) -> None:
            for number in range(40):
                buffer = pool.get()
                buffer[:3] = b"%03d" % number
                data = memoryview(buffer)[: 400 + number]
                actor.send(alias, meta.MessageUDP(None, peer.address, data))

        await probe.do(send)
        await eventually(lambda: server.statistics().dropped_send_oldest)
        dropped = server.statistics().dropped_send_oldest
        assert dropped > 0
        for _ in range(40 - dropped):
            await peer.receive()
        await eventually(lambda: pool.lent == 0)
        told = [await probe.get() for _ in range(dropped)]
        assert [len(one.data) - 400 for one in told] == [int(one.data[:3]) for one in told]


async def test_data_that_are_no_bytes_push_nothing_out(node: homing.Node, probe: Probe) -> None:
    async with narrow(probe, send_overflow="drop_oldest") as (server, alias, peer):
        await send_all(probe, alias, peer, 40)
        await eventually(lambda: server.statistics().dropped_send_oldest)
        dropped = server.statistics().dropped_send_oldest
        for data, address in (("text", peer.address), (b"x", ("nowhere", 9)), (memoryview(b"gaps")[::2], (HOST, 9))):
            await error_of(node.call(alias, meta.MessageUDP(None, address, data)))
        assert server.statistics().dropped_send_oldest == dropped
        await arrived(peer, 40 - dropped)


# --- waiting in the mailbox -----------------------------------------------------------------------------------


async def test_what_finds_the_queue_full_waits_in_the_mailbox_and_goes_out_in_order(
    node: homing.Node, probe: Probe
) -> None:
    async with narrow(probe, send_overflow="pause", mailbox_size=1000) as (server, alias, peer):
        await send_all(probe, alias, peer, 200)
        await eventually(lambda: server.statistics().send_pauses)
        counted = server.statistics()
        assert counted.send_waiting <= QUEUE
        assert node.meta_info(alias).mailbox.main == 200 - counted.send_waiting - counted.packets_out
        assert await arrived(peer, 200) == list(range(200))
        counted = server.statistics()
        assert (counted.packets_out, counted.send_waiting) == (200, 0)
        assert (counted.dropped_send_queue, counted.dropped_send_oldest, counted.dropped_errors) == (0, 0, 0)
        assert probe.waiting() == []


@pytest.mark.parametrize("mailbox_size", [0, 5])
async def test_the_mailbox_is_bounded_also_where_no_bound_was_given_and_who_sends_more_is_told(
    mailbox_size: int, node: homing.Node, probe: Probe
) -> None:
    async with narrow(probe, send_overflow="pause", mailbox_size=mailbox_size) as (server, alias, peer):
        assert node.meta_info(alias).mailbox_size == (mailbox_size or QUEUE)
        sent = []
        refused = 0
        for number in range(100):
            try:
                node.send(alias, meta.MessageUDP(None, peer.address, numbered(number)))
                sent.append(number)
            except gen.MailboxFull:
                refused += 1
        assert refused > 0
        assert node.meta_info(alias).mailbox.main <= (mailbox_size or QUEUE)
        assert await arrived(peer, len(sent)) == sent
        assert server.statistics().packets_out == len(sent)


async def test_calls_wait_in_the_mailbox_too_and_are_answered_when_their_datagram_goes_out(
    node: homing.Node, probe: Probe
) -> None:
    async with narrow(probe, send_overflow="pause", mailbox_size=1000) as (server, alias, peer):
        messages = [meta.MessageUDP(None, peer.address, numbered(number)) for number in range(60)]
        results = await asyncio.gather(*(node.call(alias, message) for message in messages))
        assert results == [SIZE + number for number in range(60)]
        assert server.statistics().send_pauses > 0
        assert await arrived(peer, 60) == list(range(60))


async def test_a_server_that_ends_while_sending_is_paused_tells_the_callers(node: homing.Node, probe: Probe) -> None:
    async with narrow(probe, send_overflow="pause", mailbox_size=1000) as (server, alias, peer):
        messages = [meta.MessageUDP(None, peer.address, numbered(number)) for number in range(60)]
        calls = [asyncio.create_task(node.call(alias, message)) for message in messages]
        await eventually(lambda: server.statistics().send_pauses)
        await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
        results = await asyncio.gather(*calls, return_exceptions=True)
        sent = [result for result in results if isinstance(result, int)]
        assert [type(result) for result in results[len(sent) :]] == [gen.MetaTerminated] * (60 - len(sent))
        assert len(sent) == server.statistics().packets_out < 60


async def test_a_node_that_stops_sends_what_waits_in_the_mailbox_too() -> None:
    node = await homing.start_node("stopping@localhost", gen.NodeOptions(handle_signals=False))
    probe = await Probe.start(node)
    async with narrow(probe, send_overflow="pause", mailbox_size=1000) as (server, alias, peer):
        await send_all(probe, alias, peer, 60)
        assert await node.stop() is True
        assert server.statistics().packets_out == 60
        assert await arrived(peer, 60) == list(range(60))


async def test_a_priority_is_not_held_up_and_may_find_the_queue_full(node: homing.Node, probe: Probe) -> None:
    async with narrow(probe, send_overflow="pause", mailbox_size=1000) as (server, alias, peer):
        await send_all(probe, alias, peer, 60)
        await eventually(lambda: server.statistics().send_pauses)

        def send(actor: Any) -> None:
            for number in range(100, 150):
                high = meta.MessageUDP(None, peer.address, numbered(number))
                actor.send_with_priority(alias, high, gen.MessagePriority.HIGH)

        await probe.do(send)
        await eventually(lambda: node.meta_info(alias).mailbox.system == 0)
        dropped = server.statistics().dropped_send_queue
        assert dropped > 0
        told = [await probe.get() for _ in range(dropped)]
        assert {type(one.error) for one in told} == {gen.SendQueueFull}
        gone = {number_of(one.data) for one in told}
        got = await arrived(peer, 110 - dropped)
        assert [number for number in got if number < 100] == list(range(60))
        assert [number for number in got if number >= 100] == [n for n in range(100, 150) if n not in gone]


async def test_a_socket_that_lingers_goes_on_sending_what_waits_in_the_mailbox(node: homing.Node) -> None:
    owner, other = await Probe.start(node), await Probe.start(node)
    async with narrow(owner, send_overflow="pause", mailbox_size=1000, linger=30.0, on_error=None) as (
        server,
        alias,
        peer,
    ):
        await send_all(owner, alias, peer, 100)
        node.kill(owner.pid)
        await eventually(lambda: owner.pid not in node.processes())
        port = server.local_address[1]
        successor = create(port=port, send_buffer=1, send_queue=QUEUE, send_overflow="pause", linger=30.0)
        assert await other.do(lambda actor: actor.spawn_meta(successor)) == alias
        assert await arrived(peer, 100) == list(range(100))
        assert successor.statistics().packets_out == 100


@pytest.mark.once
@pytest.mark.parametrize("wrong", ["", "raise", "wait", None, 0])
def test_what_is_no_policy_is_refused(wrong: Any) -> None:
    with pytest.raises(gen.BadOption, match="send_overflow"):
        meta.UDPServerOptions(send_overflow=wrong)


# --- the account ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("overflow", ["pause", "drop_newest", "drop_oldest"])
async def test_every_datagram_that_was_sent_is_in_one_counter_and_each_failure_told_once(
    overflow: str, seed: int, node: homing.Node, probe: Probe
) -> None:
    choose = random.Random(f"{overflow} {seed}")
    async with narrow(
        probe, send_overflow=overflow, mailbox_size=10_000, error_queue=seed % 2 == 1, high_water=10_000
    ) as (server, alias, peer):
        sent = []
        calls = []
        for _ in range(8):
            some = [len(sent) + index for index in range(choose.choice([1, 5, 25]))]
            places = [choose.choice([peer.address] * 5 + [(HOST, 0), ("nowhere", 9)]) for _ in some]
            messages = [
                meta.MessageUDP(None, place, numbered(number)) for place, number in zip(places, some, strict=True)
            ]
            sent += messages
            if choose.random() < 0.3:
                calls += [asyncio.create_task(node.call(alias, message, timeout=30)) for message in messages]
            else:
                await probe.do(lambda actor, messages=messages: [actor.send(alias, one) for one in messages] and None)
            await asyncio.sleep(0)
            account(server, len(sent) - node.meta_info(alias).mailbox.main, exact=False)
        results = await asyncio.gather(*calls, return_exceptions=True)
        await eventually(lambda: node.meta_info(alias).mailbox.main == 0 and server.statistics().send_waiting == 0)
        counted = account(server, len(sent), exact=True)
        answered = sum(isinstance(result, int) for result in results)
        await probe.do(lambda actor: None)  # comes after whatever the probe has been told before
        told = probe.waiting()
        assert len(told) + len(results) - answered == len(sent) - counted.packets_out
        got = await arrived(peer, counted.packets_out)
        assert got == sorted(set(got))
        if overflow == "pause":
            assert counted.dropped_send_queue == counted.dropped_send_oldest == 0


def account(server: meta.UDPServer, handled: int, *, exact: bool) -> Any:
    """The counters, which add up to what the server has taken from its mailbox."""
    counted = server.statistics()
    total = (
        counted.packets_out
        + counted.send_waiting
        + counted.dropped_send_queue
        + counted.dropped_send_oldest
        + sum(counted.send_errors.values())
    )
    assert total == handled if exact else total <= handled
    return counted
