"""Admission at a socket: what is not heard becomes no message, whichever way it is read, and is counted."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homing.datagram import Endpoint, RateLimit

from ...support import examples
from ..traffic import Sender, linux_only, opened, payload_of

pytestmark = pytest.mark.backends

HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.130"]
ALLOW = ("127.0.0.0/25",)
DENY = ("127.0.0.3",)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limit(**options: Any) -> RateLimit:
    return RateLimit(**{"rate": 1, "exempt": (), "clock": Clock(), **options})


@contextlib.contextmanager
def senders(hosts: list[str]) -> Iterator[list[Sender]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Sender(host)) for host in hosts]


class Buffers:
    def __init__(self) -> None:
        self.lent = 0

    def get(self) -> bytearray:
        self.lent += 1
        return bytearray(2000)

    def put(self, buffer: bytearray) -> None:
        self.lent -= 1


def read_all(endpoint: Endpoint, way: str, buffers: Buffers) -> list[tuple[bytes, str]]:
    """All that waits, with its sources: until the socket has nothing more, not until a read brings nothing."""
    found: list[tuple[bytes, str]] = []
    while endpoint.backend.waiting or select.select([endpoint.sock], [], [], 0)[0]:
        found += read(endpoint, way, buffers)
    return found


def read(endpoint: Endpoint, way: str, buffers: Buffers) -> list[tuple[bytes, str]]:
    if way == "messages":
        return [(message.data, message.addr[0]) for message in endpoint.receive(7, 64, "me")]
    if way == "batch":
        batch = endpoint.receive_batch(64, "me")
        if batch is None:
            return []
        got = [(message.data, message.addr[0]) for message in batch]
        assert list(batch.lengths) == [len(data) for data, _ in got]
        batch._end()
        return got
    received = endpoint.receive_pooled(7, buffers.get, buffers.put)
    for buffer, *_ in received:
        buffers.put(buffer)
    return [(bytes(buffer[:length]), address[0]) for buffer, length, address, *_ in received]


WAYS = ["messages", "batch", "pooled"]
bursts = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 600), st.integers(1, 12), st.booleans()), min_size=1, max_size=12
)


def send(sender: Sender, address: Any, size: int, count: int, train: bool, number: int) -> list[bytes]:
    contents = [payload_of(number + index, size) for index in range(count)]
    if train and size:
        sender.send(b"".join(contents), address, size)
    else:
        for content in contents:
            sender.send(content, address)
    return contents


@linux_only
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.thorough
@settings(max_examples=examples(25, 300), suppress_health_check=list(HealthCheck))
@given(bursts=bursts)
def test_only_who_is_heard_comes_through_and_all_others_are_counted(way: str, bursts: list[Any]) -> None:
    buffers = Buffers()
    with opened(gro=way != "pooled") as endpoint, senders(HOSTS) as peers:
        endpoint.admit(ALLOW, DENY, None)
        expected = []
        sent = 0
        for index, size, count, train in bursts:
            contents = send(peers[index], endpoint.local_address, size, count, train, sent)
            sent += count
            expected += [(content, HOSTS[0]) for content in contents if index == 0]
        assert read_all(endpoint, way, buffers) == expected
        assert endpoint.admission.denied == sent - len(expected)
        assert endpoint.backend.packets_in == len(expected)
        assert endpoint.backend.bytes_in == sum(len(data) for data, _ in expected)
        assert (endpoint.backend.waiting, buffers.lent) == (0, 0)


@linux_only
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.thorough
@settings(max_examples=examples(25, 300), suppress_health_check=list(HealthCheck))
@given(bursts=bursts, burst=st.integers(1, 20))
def test_each_source_gets_its_first_datagrams_through_also_out_of_trains(
    way: str, bursts: list[Any], burst: int
) -> None:
    buffers = Buffers()
    with opened(gro=way != "pooled") as endpoint, senders(HOSTS) as peers:
        endpoint.admit((), (), limit(burst=burst))
        expected = []
        left = [burst] * 3
        sent = 0
        for index, size, count, train in bursts:
            contents = send(peers[index], endpoint.local_address, size, count, train, sent)
            sent += count
            expected += [(content, HOSTS[index]) for content in contents[: left[index]]]
            left[index] = max(0, left[index] - count)
        assert read_all(endpoint, way, buffers) == expected
        assert endpoint.admission.limiter.limited == sent - len(expected)
        assert (endpoint.backend.waiting, buffers.lent) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_a_source_of_ipv6_is_denied(way: str) -> None:
    buffers = Buffers()
    with opened("::1", gro=way != "pooled") as endpoint, Sender("::1") as sender:
        sender.send(b"first", endpoint.local_address)
        assert read_all(endpoint, way, buffers) == [(b"first", "::1")]
        endpoint.admit((), ("::1/128",), None)
        sender.send(b"second", endpoint.local_address)
        assert read_all(endpoint, way, buffers) == []
        endpoint.admit(("::/64",), ("127.0.0.1",), None)
        sender.send(b"third", endpoint.local_address)
        assert read_all(endpoint, way, buffers) == [(b"third", "::1")]
        endpoint.admit(("127.0.0.0/8",), (), None)
        sender.send(b"fourth", endpoint.local_address)
        assert read_all(endpoint, way, buffers) == []
        assert endpoint.admission.denied == 2


def test_an_ipv4_source_of_a_socket_for_both_is_an_ipv4_source() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setblocking(False)
        sock.bind(("::", 0))
        endpoint = Endpoint(sock, buffer_size=2000, send_queue=10)
        to = ("127.0.0.1", endpoint.local_address[1])
        with contextlib.closing(endpoint), senders(HOSTS[:2]) as peers:
            endpoint.admit((), ("127.0.0.2", "::/0"), limit(burst=1))
            for _ in range(2):
                for peer in peers:
                    peer.send(b"x", to)
            assert read_all(endpoint, "messages", Buffers()) == [(b"x", "127.0.0.3")]
            assert (endpoint.admission.denied, endpoint.admission.limiter.limited) == (2, 1)


def test_a_flood_that_is_not_heard_keeps_nobody_from_the_loop_and_hides_nobody() -> None:
    """However much was refused, a read ends; and what is heard comes through in the end."""
    with opened() as endpoint, senders(HOSTS[:2]) as (heard, refused):
        endpoint.admit((), DENY, None)
        for _ in range(400):
            refused.send(b"refused", endpoint.local_address)
        heard.send(b"heard", endpoint.local_address)
        reads = 0
        while not (got := endpoint.receive(64, 64, "me")):
            assert endpoint.admission.denied <= (reads + 1) * 64
            reads += 1
        assert [message.data for message in got] == [b"heard"]
        assert endpoint.admission.denied == 400
        assert reads >= 400 // 64


def test_admission_that_is_not_asked_for_is_not_there() -> None:
    with opened() as endpoint:
        assert endpoint.backend.admission is None
        endpoint.admit((), DENY, None)
        assert endpoint.backend.admission is endpoint.admission
        endpoint.admit((), (), None)
        assert endpoint.backend.admission is None
