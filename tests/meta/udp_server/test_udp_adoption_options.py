"""A server that lingers is adopted whatever its successor asks for: what waits is not lost, and the options are those
asked for."""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, Gate, Gated, create, error_of, open_server
from .test_udp_linger import crash, owned

pytestmark = [
    pytest.mark.backends,
    pytest.mark.loops,
    pytest.mark.skipif(sys.platform != "linux", reason="most of these options are Linux's"),
]

INFOS = dict.fromkeys(("receive_local_address", "receive_tos", "receive_ttl", "receive_timestamp"), True)
CHANGES: list[dict[str, Any]] = [
    {"buffer_size": 512},
    {"gro": False},
    {"error_queue": True},
    INFOS,
    {"buffer_pool": meta.BufferPool(2000)},
    {"reuse_port": True},
    {"share_address": True},
    {**INFOS, "error_queue": True, "buffer_size": 512, "ttl": 9, "receive_buffer": 100_000},
    {"buffer_pool": meta.BufferPool(2000), "receive_ttl": True, "send_rate": meta.Pacing(bytes_per_second=1_000_000)},
]
TO_AND_FRO = [*(({}, change) for change in CHANGES), *((change, {}) for change in CHANGES)]


def name_of(value: object) -> str:
    return "+".join(value) if isinstance(value, dict) else ""


@pytest.mark.parametrize(("before", "after"), TO_AND_FRO, ids=name_of)
async def test_a_successor_with_other_options_adopts_the_socket_with_all_that_waits(
    node: homing.Node, peer: UDPPeer, before: dict[str, Any], after: dict[str, Any]
) -> None:
    owner, server, alias = await owned(node, **before)
    peer.send(b"0", server.local_address)
    await owner.get()
    await crash(node, owner)
    for number in range(1, 10):
        peer.send(b"%d" % number, server.local_address)
    successor = await Probe.start(node)
    again, same = await open_server(successor, port=server.local_address[1], linger=60.0, **after)
    messages = [await successor.get() for _ in range(9)]
    assert [bytes(message.data) for message in messages] == [b"%d" % number for number in range(1, 10)]
    statistics = again.statistics()
    assert (same, statistics.packets_in, statistics.delivered, statistics.kernel_drops) == (alias, 10, 10, 0)
    node.send(alias, meta.MessageUDP(alias, peer.address, b"answer"))
    assert await peer.receive() == (b"answer", server.local_address)


@pytest.mark.parametrize(("before", "after"), TO_AND_FRO, ids=name_of)
async def test_what_was_read_and_had_no_room_is_delivered_to_a_successor_with_other_options(
    node: homing.Node, peer: UDPPeer, before: dict[str, Any], after: dict[str, Any]
) -> None:
    port, gate = free_port(), Gate()
    receiver = await node.spawn(Gated, gate)
    options: dict[str, Any] = {"port": port, "process": receiver, "high_water": 4, "linger": 60.0}
    owner = await Probe.start(node)
    server, alias = await open_server(owner, **options, **before)
    peer.socket.sendmsg([b"%03d" * 40 % tuple(range(40))], [(17, 103, struct.pack("H", 3))], 0, (HOST, port))
    await eventually(lambda: server.statistics().delivered >= 4)
    await crash(node, owner)
    peer.send(b"040", server.local_address)
    again, same = await open_server(await Probe.start(node), **options, **after)
    gate.let(41)
    await eventually(lambda: len(gate.passed) == 41)
    assert [int(bytes(message.data)) for message in gate.passed] == list(range(41))
    statistics = again.statistics()
    assert (same, statistics.packets_in, statistics.delivered, statistics.receive_waiting) == (alias, 41, 41, 0)


async def adopted(node: homing.Node, **after: Any) -> tuple[Probe, meta.UDPServer, gen.Alias]:
    """A server with these options, whose socket another one had before."""
    owner, server, alias = await owned(node)
    await crash(node, owner)
    successor = await Probe.start(node)
    again, same = await open_server(successor, port=server.local_address[1], linger=60.0, **after)
    assert same == alias
    return successor, again, alias


async def test_a_longer_datagram_is_cut_at_the_size_that_the_successor_asks_for(
    node: homing.Node, peer: UDPPeer
) -> None:
    successor, server, _ = await adopted(node, buffer_size=512)
    peer.send(bytes(600), server.local_address)
    message = await successor.get()
    assert (len(message.data), message.truncated, server.statistics().truncated) == (512, True, 1)


async def test_a_successor_is_told_of_packets_what_it_asks_for(node: homing.Node, peer: UDPPeer) -> None:
    successor, server, _ = await adopted(node, **INFOS)
    peer.send(b"hello", server.local_address)
    info = (await successor.get()).info
    assert (info.local, info.tos, info.ttl) == (HOST, 0, 64)
    assert info.timestamp > 0
    await crash(node, successor)
    last = await Probe.start(node)
    await open_server(last, port=server.local_address[1])
    peer.send(b"hello", server.local_address)
    assert (await last.get()).info is None


async def test_a_successor_is_told_of_icmp_errors_if_it_asks_for_them_and_the_count_goes_on(node: homing.Node) -> None:
    port = free_port()
    successor, server, alias = await adopted(node, error_queue=True)
    for number in range(1, 3):
        node.send(alias, meta.MessageUDP(alias, (HOST, port), b"anybody?"))
        await eventually(lambda: server.statistics().icmp_errors == {"ECONNREFUSED": number})  # noqa: B023
        await crash(node, successor)
        for asks in (False, True):
            successor = await Probe.start(node)
            server, _ = await open_server(successor, port=server.local_address[1], linger=60.0, error_queue=asks)
            assert server.statistics().icmp_errors == {"ECONNREFUSED": number}
            if not asks:
                await crash(node, successor)


async def test_what_waits_to_be_sent_is_sent_whatever_the_successor_asks_for(node: homing.Node, peer: UDPPeer) -> None:
    pace: dict[str, Any] = {"send_rate": meta.Pacing(bytes_per_second=400, burst=100), "linger": 60.0}
    owner, server, alias = await owned(node, **pace)
    for number in range(6):
        node.send(alias, meta.MessageUDP(alias, peer.address, b"%d" % number))
    await node.inspect_meta(alias)
    assert server.statistics().send_waiting > 0
    await crash(node, owner)
    await open_server(await Probe.start(node), port=server.local_address[1], error_queue=True, **pace)
    assert [(await peer.receive())[0] for _ in range(6)] == [b"%d" % number for number in range(6)]


async def test_the_pool_of_a_successor_gets_its_buffers_back_and_that_of_the_predecessor_too(
    node: homing.Node, peer: UDPPeer
) -> None:
    before, after = meta.BufferPool(2000), meta.BufferPool(1000)
    owner, server, _ = await owned(node, buffer_pool=before)
    peer.send(b"first", server.local_address)
    first = await owner.get()
    for pool in (None, after):
        await crash(node, owner)
        owner = await Probe.start(node)
        await open_server(owner, port=server.local_address[1], linger=60.0, buffer_pool=pool)
        peer.send(b"second", server.local_address)
        second = await owner.get()
        assert (type(second.data) is bytes) is (pool is None)
    assert (before.lent, after.lent, bytes(first.data)) == (1, 1, b"first")
    first.release()
    second.release()
    assert (before.lent, after.lent) == (0, 0)


async def test_a_successor_that_asks_for_what_is_refused_changes_nothing(node: homing.Node, peer: UDPPeer) -> None:
    owner, server, alias = await owned(node)
    await crash(node, owner)
    port = server.local_address[1]
    probe = await Probe.start(node)
    wrong = {**INFOS, "buffer_size": 512, "error_queue": True, "bind_device": "nosuchdevice"}
    server = create(port=port, linger=60.0, **wrong)
    assert isinstance(await probe.do(lambda actor: error_of(actor.spawn_meta(server))), gen.BadOption)
    assert server._state.endpoint.sock.getsockopt(socket.IPPROTO_IP, 11) == 0  # IP_RECVERR
    assert (await open_server(probe, port=port))[1] == alias
    peer.send(bytes(600), server.local_address)
    message = await probe.get()
    assert (len(message.data), message.truncated, message.info) == (600, False, None)


async def test_a_former_socket_is_read_as_the_successor_asks_for(node: homing.Node, peer: UDPPeer) -> None:
    owner, server, alias = await owned(node)
    before = server.local_address
    moved = await owner.do(lambda actor: actor.call(alias, meta.Reconfigure(port=free_port(), grace=60.0)))
    await crash(node, owner)
    for address in (before, moved.local_address):
        peer.send(bytes(600), address)
    successor = await Probe.start(node)
    again, same = await open_server(successor, port=before[1], linger=60.0, buffer_size=512, receive_ttl=True)
    messages = [await successor.get() for _ in range(2)]
    assert (same, again.local_address) == (alias, before)
    assert {(len(message.data), message.truncated, message.info.ttl) for message in messages} == {(512, True, 64)}


async def test_the_file_of_a_unix_socket_gets_the_permissions_that_the_successor_asks_for(
    node: homing.Node, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    owner = await Probe.start(node)
    alias = None
    for mode in (0o600, 0o660):
        options = meta.UDPServerOptions(path=path, path_mode=mode, linger=60.0)
        server = meta.create_udp_server(options)
        same = await owner.do(lambda actor: actor.spawn_meta(server))  # noqa: B023
        assert (os.stat(path).st_mode & 0o777, alias in (None, same)) == (mode, True)
        alias = same
        await crash(node, owner)
        owner = await Probe.start(node)
