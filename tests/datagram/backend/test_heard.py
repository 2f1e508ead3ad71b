"""Each way of reading records the bytes of a peer for the amplification budget: what was delivered, not more."""

from __future__ import annotations

from typing import Any

import pytest

from homing.datagram import Amplification, Endpoint, MessageUDP

from ..traffic import HOSTS, Sender, linux_only, opened, payload_of

pytestmark = pytest.mark.backends

COUNT, SEGMENT = 10, 100


def limit(endpoint: Endpoint) -> None:
    endpoint.limit_replies(None, None, Amplification(factor=1, exempt=()))


def left(endpoint: Endpoint, peer: Any) -> int:
    """The bytes that a peer may still get, all of which it gets then."""
    size = 0
    while endpoint.budget.takes(MessageUDP(None, peer, b"x")):
        size += 1
    return size


def read_lone(endpoint: Endpoint) -> list[Any]:
    found = endpoint.receive_lone("me", 1)
    return [found.addr] if found is not None else [message.addr for message in endpoint.receive(100, 10, "me")]


def read_many(endpoint: Endpoint) -> list[Any]:
    return [message.addr for message in endpoint.receive(100, 10, "me")]


def read_batch(endpoint: Endpoint) -> list[Any]:
    batch = endpoint.receive_batch(10, "me")
    return [] if batch is None else [message.addr for message in batch]


def read_pooled(endpoint: Endpoint) -> list[Any]:
    received = endpoint.receive_pooled(100, lambda: bytearray(65535), lambda buffer: None)
    return [address for _, _, address, *_ in received]


WAYS = [read_lone, read_many, read_batch, read_pooled]


@pytest.mark.parametrize("read", WAYS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("host", HOSTS)
def test_the_bytes_of_datagrams_are_those_of_their_peer(host: str, read: Any) -> None:
    with opened(host, gro=read is not read_pooled) as endpoint, Sender(host) as one, Sender(host) as other:
        limit(endpoint)
        for size in (0, 1, 7, 1200):
            one.send(bytes(size), endpoint.local_address)
        other.send(bytes(5), endpoint.local_address)
        peers: list[Any] = []
        while found := read(endpoint):
            peers += found
        assert len(peers) == 5
        assert [left(endpoint, peer) for peer in (peers[0], peers[-1])] == [1208, 5]


@linux_only
@pytest.mark.parametrize("size", [SEGMENT + 1, SEGMENT, SEGMENT - 1, 1])
@pytest.mark.parametrize("read", WAYS[:3], ids=lambda read: read.__name__)
def test_of_a_train_the_bytes_of_each_datagram_count_as_far_as_it_was_delivered(read: Any, size: int) -> None:
    last = 3
    train = b"".join(payload_of(number, SEGMENT) for number in range(COUNT)) + bytes(last)
    with opened("127.0.0.1", buffer_size=size) as endpoint, Sender("127.0.0.1") as sender:
        limit(endpoint)
        sender.send(train, endpoint.local_address, SEGMENT)
        peers: list[Any] = []
        while found := read(endpoint):
            peers += found
        assert len(peers) == COUNT + 1
        assert left(endpoint, peers[0]) == COUNT * min(size, SEGMENT) + min(size, last)
