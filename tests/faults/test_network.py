"""What comes from the network, or what the network refuses, cannot stop a server, its parent or the node.

The numbers are those of the project's list of faults.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from statistics import quantiles
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen, meta

from ..meta.servers import HOST, create, descriptor_of, error_of, open_echo, open_server, still_answers
from ..support import Probe, UDPPeer, eventually
from .figures import figure

pytestmark = pytest.mark.backends


def raw_sockets_are_allowed() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except OSError:
        return False
    return sys.platform == "linux"


needs_raw_sockets = pytest.mark.skipif(
    not raw_sockets_are_allowed(), reason="sends from port 0 through a raw socket: Linux and CAP_NET_RAW only"
)


@pytest.fixture
def raw() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as sock:
        yield sock


def send_from_port_0(raw: socket.socket, payload: bytes, address: tuple[Any, ...]) -> None:
    header = struct.pack("!HHHH", 0, address[1], 8 + len(payload), 0)
    raw.sendto(header + payload, (address[0], 0))


TICK = 0.001


class Flooded(act.Actor):
    """Counts empty datagrams, and the ticks of a timer that goes on meanwhile."""

    async def init(self, counts: dict[str, int], lags: list[float]) -> None:
        self.counts = counts
        self.lags = lags
        self.due = time.monotonic() + TICK
        self.server = create()
        await self.spawn_meta(self.server)
        self.send_every(self.pid, "tick", TICK)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.counts["ticks" if message == "tick" else "datagrams"] += 1
        if message == "tick":
            now = time.monotonic()
            self.lags.append(now - self.due)
            self.due = now + TICK

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server


async def test_case_1_a_flood_of_empty_datagrams_is_counted_to_the_last_and_starves_no_timer(
    node: homing.Node, peer: UDPPeer
) -> None:
    counts = {"ticks": 0, "datagrams": 0}
    lags: list[float] = []
    server: meta.UDPServer = await node.call(await node.spawn(Flooded, counts, lags), "server")
    for burst in range(20):
        for _ in range(1000):
            peer.send(b"", server.local_address)
        ticks = counts["ticks"]
        await eventually(lambda ticks=ticks: counts["ticks"] > ticks, f"a tick after burst {burst}")
    statistics = server.statistics
    await eventually(lambda: statistics().packets_in + (statistics().kernel_drops or 0) == 20_000)
    await eventually(lambda: counts["datagrams"] == statistics().packets_in)
    assert statistics().bytes_in == 0
    figure(
        1,
        "empty datagrams delivered and dropped by the kernel, of 20,000",
        f"{counts['datagrams']} + {statistics().kernel_drops}",
    )
    figure(1, "lag of a timer of 1 ms meanwhile, p99, ms", f"{quantiles(lags, n=100)[98] * 1000:.1f}")


@settings(max_examples=30)
@given(size=st.integers(1, 3000), lengths=st.lists(st.integers(0, 3001), min_size=1, max_size=20))
def test_case_2_no_datagram_is_ever_a_silent_prefix(size: int, lengths: list[int]) -> None:
    async def main(node: homing.Node) -> tuple[list[tuple[int, bool]], int]:
        probe = await Probe.start(node)
        server, _ = await open_server(probe, buffer_size=size)
        with UDPPeer() as peer:
            for length in lengths:
                peer.send(bytes(length), server.local_address)
            messages = [await probe.get() for _ in lengths]
        return [(len(message.data), message.truncated) for message in messages], server.statistics().truncated

    result = homing.run(main, options=gen.NodeOptions(handle_signals=False))
    assert result is not None
    assert result[0] == [(min(length, size), length > size) for length in lengths]
    assert result[1] == sum(length > size for length in lengths)


@pytest.mark.parametrize("size", [1, 512, 1500, 65507])
async def test_case_2_at_the_edges_of_the_buffer_exactly_the_longer_ones_are_cut(
    size: int, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    lengths = [length for length in (size - 1, size, size + 1, 65507) if length <= 65507]
    server, _ = await open_server(probe, buffer_size=size, receive_buffer=1 << 20)
    for length in lengths:
        peer.send(bytes(length), server.local_address)
    messages = [await probe.get() for _ in lengths]
    assert [(len(message.data), message.truncated) for message in messages] == [
        (min(length, size), length > size) for length in lengths
    ]
    expected = sum(length > size for length in lengths)
    assert server.statistics().truncated == expected
    figure(2, f"cut of {len(lengths)} around a buffer of {size} bytes, and expected", f"{expected}, {expected}")


@pytest.mark.parametrize(("host", "longest"), [("127.0.0.1", 65507), ("::1", 65527)])
async def test_case_3_the_longest_payload_of_each_family_passes_both_ways(
    host: str, longest: int, node: homing.Node
) -> None:
    server = await open_echo(node, host=host)
    payload = os.urandom(longest)
    with UDPPeer(host) as peer:
        assert await peer.ask(payload, server.local_address) == payload
    figure(3, f"{longest} bytes came back equal", "yes")


@pytest.mark.parametrize(("host", "longest"), [("127.0.0.1", 65507), ("::1", 65527)])
async def test_case_4_an_answer_one_byte_too_long_is_refused_to_its_sender_and_the_server_goes_on(
    host: str, longest: int, node: homing.Node
) -> None:
    server = await open_echo(node, host=host)
    with UDPPeer(host) as peer:
        message = meta.MessageUDP(None, peer.address, bytes(longest + 1))
        with pytest.raises(OSError, match="long") as caught:
            await node.call(server.process.id, message)
        assert caught.value.errno == errno.EMSGSIZE
        assert await still_answers(peer, server)
    assert server.statistics().send_errors == {"EMSGSIZE": 1}
    figure(4, f"answers of {longest + 1} bytes refused, the server answering on", 1)


@needs_raw_sockets
async def test_case_5_a_datagram_from_port_0_is_delivered_and_its_answer_is_counted_while_the_others_go_out(
    node: homing.Node, peer: UDPPeer, raw: socket.socket
) -> None:
    server = await open_echo(node)
    for number in range(32):
        if number == 16:
            send_from_port_0(raw, b"from port 0", server.local_address)
        else:
            peer.send(b"%d" % number, server.local_address)
    got = [(await peer.receive())[0] for _ in range(31)]
    assert got == [b"%d" % number for number in range(32) if number != 16]
    figure(5, "replies that went out of a batch of 32, one of them to port 0", f"{len(got)}")
    await eventually(lambda: server.statistics().send_errors == {"EINVAL": 1})
    assert server.statistics().packets_in == 32
    assert await still_answers(peer, server)


@needs_raw_sockets
async def test_case_5_a_thousand_datagrams_from_port_0_stop_nothing(
    node: homing.Node, peer: UDPPeer, raw: socket.socket
) -> None:
    server = await open_echo(node)
    for sent in range(1, 1001):
        send_from_port_0(raw, b"x", server.local_address)
        if sent % 100 == 0:
            await eventually(lambda sent=sent: server.statistics().packets_in == sent)
    assert await still_answers(peer, server)
    assert server.statistics().send_errors == {"EINVAL": 1000}
    figure(5, "datagrams from port 0 that stopped the server, of 1000", 0)


@pytest.mark.parametrize(
    ("address", "outcome"),
    [
        ((HOST, 0), errno.EINVAL),
        (("255.255.255.255", 9), errno.EACCES),
        (("::1", 9, 0, 0), gen.BadAddress),
        (("fe80::1", 9), gen.BadAddress),
        ((HOST, 9, 0, 0, 0), gen.BadAddress),
        ((HOST, 2**16), gen.BadAddress),
        (("name", 9), gen.BadAddress),
        (None, gen.BadAddress),
    ],
)
async def test_case_6_a_bad_destination_is_a_typed_error_at_its_caller(
    address: Any, outcome: Any, node: homing.Node, peer: UDPPeer
) -> None:
    server = await open_echo(node)
    error = await error_of(node.call(server.process.id, meta.MessageUDP(None, address, b"x")))
    if isinstance(outcome, int):
        assert isinstance(error, OSError)
        assert error.errno == outcome
    else:
        assert type(error) is outcome
    assert await still_answers(peer, server)


async def test_case_10_signals_that_interrupt_system_calls_lose_no_datagram(node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node)
    interrupts = 0

    def interrupted(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1

    before = signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for number in range(300):
            assert await peer.ask(b"%d" % number, server.local_address) == b"%d" % number
        await eventually(lambda: interrupts > 20)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert server.statistics().receive_errors == server.statistics().send_errors == {}
    figure(10, "answers to 300 requests, and the signals that came meanwhile", f"300, {interrupts}")


async def test_case_10_a_wakeup_without_a_datagram_is_no_error(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server = create()
    peer.send(b"stolen", server.local_address)
    with socket.socket(fileno=os.dup(descriptor_of(server.local_address))) as thief:
        await probe.do(lambda actor: actor.spawn_meta(server))
        assert thief.recv(100) == b"stolen"  # before the loop has looked: its wake-up, if any, finds nothing
    peer.send(b"left", server.local_address)
    assert (await probe.get()).data in (b"left", b"stolen")
    assert server.statistics().receive_errors == {}
