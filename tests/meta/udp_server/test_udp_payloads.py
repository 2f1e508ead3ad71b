"""Payloads: from nothing to the longest that UDP has, whole and in order, or cut, flagged and counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import UVLOOP, get_payloads, open_echo, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]

LONGEST, LONGEST_IPV6 = 65507, 65527
ROOM = 120_000
"""Bytes that the kernel's buffer holds in any case, with what it needs for itself."""


def pattern(length: int) -> bytes:
    return bytes(range(256)) * (length // 256) + bytes(range(length % 256))


async def test_a_datagram_without_bytes_is_delivered_and_answered_without_bytes(
    node: homing.Node, peer: UDPPeer
) -> None:
    server = await open_echo(node)
    assert await peer.ask(b"", server.local_address) == b""
    statistics = server.statistics()
    assert (statistics.packets_in, statistics.bytes_in, statistics.packets_out, statistics.bytes_out) == (1, 0, 1, 0)


async def test_a_call_that_sends_no_bytes_answers_0(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_server(probe)
    assert await node.call(alias, meta.MessageUDP(None, peer.address, b"")) == 0
    assert (await peer.receive())[0] == b""


async def test_datagrams_without_bytes_between_others_keep_their_place(probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe)
    payloads = [b"", b"a", b"", b"", b"b", b""]
    for payload in payloads:
        peer.send(payload, server.local_address)
    assert await get_payloads(probe, 6) == payloads


@pytest.mark.parametrize(("host", "length"), [("127.0.0.1", LONGEST), ("::1", LONGEST_IPV6)])
async def test_the_longest_datagram_comes_whole_and_goes_whole(host: str, length: int, node: homing.Node) -> None:
    server = await open_echo(node, host=host)
    with UDPPeer(host) as peer:
        assert await peer.ask(pattern(length), server.local_address) == pattern(length)
    assert server.statistics().truncated == 0


@pytest.mark.parametrize("pooled", [False, True], ids=["bytes", "pool"])
@pytest.mark.parametrize("size", [1, 2, 512, 1500, LONGEST])
async def test_a_datagram_longer_than_the_buffer_is_cut_flagged_and_counted(
    size: int, pooled: bool, probe: Probe, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(size=size, capacity=8) if pooled else None
    server, _ = await open_server(probe, **({"buffer_pool": pool} if pooled else {"buffer_size": size}))
    lengths = [length for length in (size - 1, size, size + 1) if length <= LONGEST]
    for length in lengths:
        peer.send(pattern(length), server.local_address)
    for length in lengths:
        message = await probe.get()
        assert bytes(message.data) == pattern(length)[:size]
        assert message.truncated is (length > size)
        assert ("truncated" in repr(message)) is message.truncated
        message.release()
    assert server.statistics().truncated == sum(length > size for length in lengths)
    assert server.statistics().bytes_in == sum(min(length, size) for length in lengths)
    if pool is not None:
        await eventually(lambda: pool.lent == 0)


async def test_buffer_size_is_ignored_where_there_is_a_buffer_pool(probe: Probe, peer: UDPPeer) -> None:
    pool = meta.BufferPool(size=100, capacity=8)
    server, _ = await open_server(probe, buffer_size=5, buffer_pool=pool)
    peer.send(b"x" * 50, server.local_address)
    message = await probe.get()
    assert (len(message.data), message.truncated) == (50, False)
    message.release()


async def test_every_datagram_has_data_of_its_own(probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe)
    peer.send(b"first", server.local_address)
    first = await probe.get()
    peer.send(b"other", server.local_address)
    other = await probe.get()
    assert (first.data, other.data) == (b"first", b"other")


def deliver(payloads: list[bytes], uvloop: bool, **options: Any) -> list[tuple[bytes, bool]]:
    """Sends the payloads to a server in a node of its own; gives what was delivered, and whether it was flagged."""

    async def main(node: homing.Node) -> list[tuple[bytes, bool]]:
        probe = await Probe.start(node)
        server, _ = await open_server(probe, **options)
        got: list[tuple[bytes, bool]] = []
        room = ROOM
        with UDPPeer() as peer:
            for number, payload in enumerate(payloads, 1):
                peer.send(payload, server.local_address)
                room -= len(payload) + 1000
                if room < LONGEST or number == len(payloads):
                    for _ in range(number - len(got)):
                        message = await probe.get()
                        got.append((bytes(message.data), message.truncated))
                        message.release()
                    room = ROOM
        return got

    result = homing.run(main, options=gen.NodeOptions(handle_signals=False), uvloop=uvloop)
    assert result is not None
    return result


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(0, 2000) | st.sampled_from([0, 1, 1472, 8192, LONGEST]), max_size=20),
    high=st.integers(1, 8),
    batch=st.integers(1, 5),
    pooled=st.booleans(),
    uvloop=st.sampled_from(UVLOOP),
)
def test_whatever_list_of_payloads_is_sent_comes_out_equal_and_in_order(
    lengths: list[int], high: int, batch: int, pooled: bool, uvloop: bool
) -> None:
    payloads = [bytes([number]) * length for number, length in enumerate(lengths)]
    pool = meta.BufferPool(capacity=4) if pooled else None
    got = deliver(payloads, uvloop, high_water=high, low_water=high - 1, receive_batch=batch, buffer_pool=pool)
    assert got == [(payload, False) for payload in payloads]
    assert pool is None or pool.lent == 0


@settings(max_examples=25)
@given(size=st.integers(1, 4000), excess=st.integers(-4000, 4000), pooled=st.booleans(), uvloop=st.sampled_from(UVLOOP))
def test_a_datagram_is_flagged_exactly_if_it_is_longer_than_the_buffer(
    size: int, excess: int, pooled: bool, uvloop: bool
) -> None:
    payload = pattern(max(0, size + excess))
    options = {"buffer_pool": meta.BufferPool(size=size)} if pooled else {"buffer_size": size}
    assert deliver([payload], uvloop, **options) == [(payload[:size], len(payload) > size)]
