"""Peers by the thousand, and peers with a scope: each datagram comes from whom it came, and an answer gets there."""

from __future__ import annotations

import importlib
import random
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from homing.datagram import Endpoint, MessageUDP

from ...meta.servers import in_network, needs_namespaces, run
from ...support import DEADLINE
from ..traffic import Receiver, linux_only, opened

pytestmark = pytest.mark.backends

PEERS = 6000
"""More than the native backend keeps in mind."""
AT_ONCE = 100

IP_PKTINFO = 8  # linux/include/uapi/linux/in.h
IN_PKTINFO = struct.Struct("=i4s4s")
LINK = """ip link set lo up
ip link add near type veth peer name far
ip link set near up
ip link set far up
ip -6 addr add fe80::11/64 dev near nodad
ip -6 addr add fe80::22/64 dev far nodad"""


def send_from(sock: socket.socket, number: int, data: bytes, to: Any) -> None:
    """Sends as if from 127.1.x.y: the whole of 127/8 is this machine."""
    source = IN_PKTINFO.pack(0, socket.inet_aton(host_of(number)), bytes(4))
    sock.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, to)


def host_of(number: int) -> str:
    return f"127.1.{number >> 8}.{number & 255}"


def receive_all(endpoint: Endpoint, count: int) -> list[MessageUDP]:
    messages: list[MessageUDP] = []
    while len(messages) < count:
        got = endpoint.receive(count, 64, None)
        assert got
        messages += got
    return messages


@linux_only
def test_each_of_more_peers_than_are_kept_in_mind_is_told_from_the_others_and_gets_its_answer() -> None:
    order = list(range(PEERS)) + random.Random(1).sample(range(PEERS), 2000)
    with opened("0.0.0.0") as endpoint, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as crowd:
        crowd.settimeout(DEADLINE)
        crowd.bind(("0.0.0.0", 0))
        port = crowd.getsockname()[1]
        crowd.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        to = ("127.0.0.1", endpoint.local_address[1])
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            for number in some:
                send_from(crowd, number, b"%d" % number, to)
            messages = receive_all(endpoint, len(some))
            assert [(message.addr, message.data) for message in messages] == [
                ((host_of(number), port), b"%d" % number) for number in some
            ]
            assert endpoint.send_many([message.reply(message.data) for message in messages]) == (len(some), [])
            for number in some:
                data, ancillary, _, _ = crowd.recvmsg(100, 100)
                reached = IN_PKTINFO.unpack(ancillary[0][2])[2]
                assert (data, socket.inet_ntoa(reached)) == (b"%d" % number, host_of(number))


@linux_only
def test_a_peer_costs_memory_only_as_long_as_it_is_kept_in_mind() -> None:
    """Where a tuple is made for each datagram there is nothing that could grow, and this shows that too."""

    def fill(endpoint: Endpoint, sock: socket.socket, first: int) -> int:
        to = ("127.0.0.1", endpoint.local_address[1])
        for start in range(first, first + 12_000, AT_ONCE):
            for number in range(start, start + AT_ONCE):
                send_from(sock, number, b"x", to)
            receive_all(endpoint, AT_ONCE)
        return sys.getallocatedblocks()

    with opened("0.0.0.0") as endpoint, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as crowd:
        full = fill(endpoint, crowd, 0)
        assert fill(endpoint, crowd, 12_000) - full < 5000  # 12,000 tuples and their hosts would be 24,000


MULTIPLIER = 0xC2B2AE3D27D4EB4F
"""Odd: whoever knows what a table multiplies with can undo it."""
INVERSE = pow(MULTIPLIER, -1, 1 << 64)


def chosen(number: int) -> tuple[str, int]:
    """Sources whose port and address make up for each other in a sum without a secret."""
    word = (socket.htons(1024 + number) << 16 ^ socket.AF_INET6) * INVERSE & (1 << 64) - 1
    return socket.inet_ntop(socket.AF_INET6, bytes(8) + word.to_bytes(8, "little")), 1024 + number


SOURCES: dict[str, Callable[[int], Any]] = {
    "of one /64": lambda number: (f"2001:db8::{number + 1:x}", 5000),
    "of one /64, far apart": lambda number: (f"2001:db8::{number:x}:0:0:1", 5000),
    "of many /64": lambda number: (f"2001:db8:0:{number:x}::1", 5000),
    "of many /48": lambda number: (f"2001:{number:x}::1", 5000),
    "of one host": lambda number: ("2001:db8::1", 1024 + number),
    "with flow labels": lambda number: ("2001:db8::1", 5000, number, 0),
    "of many links": lambda number: ("fe80::1", 5000, 0, number),
    "that somebody has chosen": chosen,
    "of IPv4": lambda number: (f"10.0.{number >> 8}.{number & 255}", 5000),
    "of one IPv4 host": lambda number: ("10.0.0.1", 1024 + number),
}


@pytest.mark.backends("native")
@pytest.mark.parametrize("kind", SOURCES)
def test_the_places_of_peers_depend_on_all_of_their_addresses(kind: str) -> None:
    """2000 in 1024 sets: by chance none has 20, and over 800 have one at least."""
    peers = importlib.import_module("homing.datagram.backend.peers")
    family = socket.AF_INET if "IPv4" in kind else socket.AF_INET6
    sets = Counter(peers.set_of(family, SOURCES[kind](number)) for number in range(2000))
    assert max(sets.values()) < 20
    assert len(sets) > 800


@needs_namespaces
def test_a_peer_on_a_link_has_the_scope_that_the_socket_module_tells_and_gets_its_answer() -> None:
    def body() -> None:
        index = socket.if_nametoindex("near")
        with Receiver("::") as plain, opened("::") as endpoint, on_link(index) as near:
            for port in (plain.address[1], endpoint.local_address[1]):
                near.sendto(b"hello", ("fe80::22", port, 0, index))
            expected = plain.receive().source
            (message,) = receive_all(endpoint, 1)
            assert message.addr == expected == (*near.getsockname()[:3], socket.if_nametoindex("far"))
            assert endpoint.send(message.reply(b"answer"), None) == 6
            assert near.recvfrom(100) == (b"answer", ("fe80::22", endpoint.local_address[1], 0, index))

    in_network(LINK, body)


@needs_namespaces
def test_a_scope_may_be_written_by_its_name_which_is_looked_up_each_time() -> None:
    """A link that goes and comes back has another number."""

    def body() -> None:
        with opened("::") as endpoint:
            to = ("fe80::11%far", 2345)
            for content in (b"first", b"again"):
                with on_link(socket.if_nametoindex("near"), to[1]) as near:
                    assert endpoint.send_many([MessageUDP(None, to, content)]) == (1, [])
                    assert near.recv(100) == content
                run(f"ip link del near; {LINK}")

    in_network(LINK, body)


def on_link(index: int, port: int = 0) -> socket.socket:
    """A socket at the near end."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.settimeout(DEADLINE)
    sock.bind(("fe80::11", port, 0, index))
    return sock
