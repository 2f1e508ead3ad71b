"""Promises 2 and 3: every datagram is accounted for, and memory is bounded, however slow the receiver is."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import SMALL, Gate, Gated, accounted, all_accounted, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]

FLOOD = 3000
HIGH, LOW = 64, 16


async def gated_server(node: homing.Node, probe: Probe, gate: Gate, **options: Any) -> tuple[meta.UDPServer, gen.PID]:
    """A server whose receiver is held by `gate`, and the receiver."""
    options = {"high_water": HIGH, "low_water": LOW, **options}
    mailbox = gen.ProcessOptions(mailbox_size=options.pop("mailbox_size", 0))
    receiver = await node.spawn(Gated, gate, name="gated", options=mailbox)
    server, _ = await open_server(probe, process="gated", **options)
    return server, receiver


async def paused(server: meta.UDPServer) -> None:
    await eventually(lambda: server.statistics().pauses > 0, "a pause in reading")


def waiting(node: homing.Node, pid: gen.PID) -> int:
    return node.process_info(pid).mailbox.main


async def test_reading_pauses_at_the_high_water_mark_and_the_mailbox_never_exceeds_it(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, receiver = await gated_server(node, probe, gate)
    for number in range(FLOOD):
        peer.send(b"%d" % number, server.local_address)
    await paused(server)
    assert waiting(node, receiver) == HIGH
    facts = await node.inspect_meta(server.process.id)
    assert (facts["reading"], facts["waiting_for"]) == (False, "mailbox")
    for count in range(1, FLOOD):
        gate.let()
        await gate.passed_by(count)
        assert waiting(node, receiver) <= HIGH
        if accounted(server) == FLOOD and count == server.statistics().packets_in:
            break
    assert len(gate.passed) > 2 * HIGH


async def test_the_account_of_a_flood_is_exact(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    gate = Gate()
    server, _ = await gated_server(node, probe, gate, receive_buffer=SMALL)
    for number in range(FLOOD):
        peer.send(b"%d" % number, server.local_address)
    await paused(server)
    gate.let(FLOOD)
    await all_accounted(server, FLOOD)
    statistics = server.statistics()
    assert statistics.kernel_drops is not None
    assert statistics.kernel_drops > 0, "the flood was too small to show anything"
    assert statistics.packets_in + statistics.kernel_drops == FLOOD
    assert statistics.delivered == statistics.packets_in
    assert statistics.dropped_no_receiver == 0
    await gate.passed_by(statistics.packets_in)
    assert len(gate.passed) == statistics.packets_in
    assert sorted(gate.payloads(), key=int) == gate.payloads()


async def test_no_datagram_is_lost_where_the_kernel_has_room(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    gate = Gate()
    server, _ = await gated_server(node, probe, gate)
    for number in range(200):
        peer.send(b"%d" % number, server.local_address)
    await paused(server)
    gate.let(200)
    await gate.passed_by(200)
    assert gate.payloads() == [b"%d" % number for number in range(200)]
    assert server.statistics().kernel_drops in (0, None)


async def test_reading_goes_on_at_the_low_water_mark_and_not_before(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, receiver = await gated_server(node, probe, gate, receive_batch=HIGH)
    for number in range(FLOOD):
        peer.send(b"%d" % number, server.local_address)
    await paused(server)
    taken = server.statistics().packets_in
    for count in range(1, HIGH - LOW):
        gate.let()
        await eventually(lambda count=count: len(gate.reached) == count + 1)
        assert server.statistics().packets_in == taken
        assert waiting(node, receiver) == HIGH - count
    gate.let()
    await eventually(lambda: server.statistics().packets_in > taken, "reading after the low water mark")
    gate.let(FLOOD)


async def test_a_handler_that_awaits_for_long_does_not_keep_an_empty_mailbox_from_being_filled(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, receiver = await gated_server(node, probe, gate, high_water=1, low_water=0)
    for number in range(5):
        peer.send(b"%d" % number, server.local_address)
    for count in range(4):
        await eventually(lambda count=count: len(gate.reached) == count + 1)
        await eventually(lambda: waiting(node, receiver) == 1, "reading while the handler waits")
        gate.let()
    gate.let()
    await gate.passed_by(5)


async def test_a_mailbox_smaller_than_the_high_water_mark_is_filled_and_never_overflows(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, receiver = await gated_server(node, probe, gate, mailbox_size=5)
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
    await paused(server)
    assert waiting(node, receiver) == 5
    with pytest.raises(gen.MailboxFull):
        node.send(receiver, "one more")
    gate.let(FLOOD)
    await gate.passed_by(100)
    assert gate.payloads() == [b"%d" % number for number in range(100)]
    assert server.statistics().dropped_no_receiver == 0


@pytest.mark.parametrize("high", [1, 2, 3])
async def test_the_smallest_marks_deliver_everything_in_order(
    high: int, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, _ = await open_server(probe, high_water=high, low_water=0)
    for number in range(200):
        peer.send(b"%d" % number, server.local_address)
    assert [(await probe.get()).data for _ in range(200)] == [b"%d" % number for number in range(200)]


async def test_several_servers_share_the_room_in_the_mailbox_of_one_receiver(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    first, receiver = await gated_server(node, probe, gate)
    second, _ = await open_server(probe, process="gated", high_water=HIGH, low_water=LOW)
    for server in (first, second):
        for number in range(200):
            peer.send(b"%d" % number, server.local_address)
    await paused(first)
    await paused(second)
    assert waiting(node, receiver) == HIGH
    gate.let(400)
    await gate.passed_by(400)
    assert first.statistics().delivered == second.statistics().delivered == 200


async def test_a_flood_of_long_datagrams_takes_no_more_memory_than_the_marks_allow(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, _ = await gated_server(node, probe, gate)
    payload = b"x" * 8192
    tracemalloc.start()
    try:
        for number in range(FLOOD):
            peer.send(payload, server.local_address)
            if number % 10 == 0:
                await asyncio.sleep(0)  # the kernel's buffer holds fewer of these than the mailbox
        await paused(server)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert HIGH * 8192 <= size < 3 * HIGH * 8192
    gate.let(FLOOD)


async def test_no_more_pooled_buffers_are_lent_than_the_high_water_mark_and_the_message_in_hand(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    pool = meta.BufferPool(size=2000, capacity=HIGH)
    server, _ = await gated_server(node, probe, gate, buffer_pool=pool)
    for _ in range(FLOOD):
        peer.send(b"x", server.local_address)
    await paused(server)
    assert pool.lent == HIGH + 1
    gate.let(FLOOD)
    await all_accounted(server, FLOOD)
    await gate.passed_by(server.statistics().packets_in)
    gate.reached.clear()
    gate.passed.clear()
    await eventually(lambda: pool.lent == 0)


async def test_exit_signals_and_inspection_pass_a_mailbox_that_is_full_of_datagrams(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, receiver = await gated_server(node, probe, gate, mailbox_size=10)
    for _ in range(100):
        peer.send(b"x", server.local_address)
    await paused(server)
    node.send_exit(receiver, gen.TerminateShutdown)
    gate.let()
    await eventually(lambda: receiver not in node.processes(), "the end of the receiver")
    assert len(gate.passed) == 1
    await eventually(lambda: not server._state.endpoint.reading, "the next pause")
    assert (await node.inspect_meta(server.process.id))["waiting_for"] == "receiver"


async def test_a_server_that_ends_while_its_receiver_is_full_lets_that_work_off_what_it_has(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, receiver = await gated_server(node, probe, gate)
    for number in range(200):
        peer.send(b"%d" % number, server.local_address)
    await paused(server)
    await probe.do(lambda actor: actor.send_exit_meta(server.process.id, gen.TerminateShutdown))
    await eventually(lambda: node.info().metas == 0)
    gate.let(200)
    await gate.passed_by(HIGH + 1)
    assert gate.payloads() == [b"%d" % number for number in range(HIGH + 1)]
    assert waiting(node, receiver) == 0
