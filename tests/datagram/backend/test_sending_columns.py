"""Sending in columns: the backend sends the first datagrams, as messages would be sent, and leaves the others."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homing.datagram import Endpoint, MessageUDP, Pacing, RateLimit

from ...support import examples
from ..traffic import HOSTS, Receiver, datagrams_of, joins, opened, payload_of, received

pytestmark = pytest.mark.backends


def send(endpoint: Endpoint, addresses: list[Any], datagrams: Sequence[tuple[int, bytes]]) -> int:
    """Sends datagrams in columns, each as (place, payload). Returns how many the backend has sent."""
    places = array("H", [place for place, _ in datagrams]) if any(place for place, _ in datagrams) else None
    lengths = array("I", [len(payload) for _, payload in datagrams])
    return endpoint.send_queue.send_columns(addresses, places, lengths, b"".join(payload for _, payload in datagrams))


@pytest.mark.parametrize("host", HOSTS)
@settings(max_examples=examples(20, 200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 90), st.sampled_from([0, 1, 30, 64, 1400])), max_size=4)
)
def test_each_datagram_goes_out_once_and_in_order(host: str, runs: list[tuple[int, int, int]]) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(Receiver(host)) for _ in range(3)]
        endpoint = stack.enter_context(opened(host))
        addresses = [peer.address for peer in peers]
        datagrams: list[tuple[int, bytes]] = []
        for place, count, size in runs:
            datagrams += [(place, payload_of(len(datagrams) + number, size)) for number in range(count)]
        done = send(endpoint, addresses, datagrams)
        assert done == (len(datagrams) if endpoint.backend.name == "native" else 0)
        rest = [MessageUDP(None, addresses[place], payload) for place, payload in datagrams[done:]]
        assert endpoint.send_many(rest) == (len(rest), [])
        for place, peer in enumerate(peers):
            expected = [payload for at, payload in datagrams if at == place]
            assert datagrams_of(received(endpoint, peer)) == expected
        sent = len(datagrams) + 3  # those which show that all others have come
        assert endpoint.backend.packets_out == sent


def test_datagrams_to_one_peer_go_to_the_kernel_as_one() -> None:
    with opened() as endpoint, Receiver() as peer:
        datagrams = [(0, payload_of(number, 64)) for number in range(64)]
        if send(endpoint, [peer.address], datagrams) and joins(endpoint):
            assert len(received(endpoint, peer)[0].datagrams) == 64


@pytest.mark.parametrize("bad", [("localhost", 9), ("127.0.0.1", 65536), ("127.0.0.1", 0), ["127.0.0.1", 9], None])
def test_it_stops_at_an_address_that_the_socket_cannot_send_to(bad: Any) -> None:
    with opened() as endpoint, Receiver() as peer:
        done = send(endpoint, [peer.address, bad], [(0, b"first"), (1, b"refused"), (0, b"behind it")])
        assert done in (0, 1)
        assert datagrams_of(received(endpoint, peer)) == [b"first"][:done]
        assert endpoint.send_queue.errors == {}


def test_it_stops_at_a_datagram_that_is_too_long() -> None:
    with opened() as endpoint, Receiver() as peer:
        done = send(endpoint, [peer.address], [(0, b"first"), (0, bytes(65535)), (0, b"behind it")])
        assert done in (0, 1)
        assert datagrams_of(received(endpoint, peer)) == [b"first"][:done]


def test_it_leaves_what_would_go_to_the_socket_itself() -> None:
    with opened() as endpoint:
        assert send(endpoint, [endpoint.local_address], [(0, b"to itself")]) == 0


@pytest.mark.parametrize("lengths", [[4], [2, 2], [0, 5], [2**32 - 1], [2**31, 2**31, 2**32 - 1]])
def test_it_never_reads_beyond_the_data(lengths: list[int]) -> None:
    with opened() as endpoint, Receiver() as peer:
        done = endpoint.send_queue.send_columns([peer.address], None, array("I", lengths), b"abc")
        sent = datagrams_of(received(endpoint, peer))
        assert [len(datagram) for datagram in sent] == lengths[:done]
        assert b"abc".startswith(b"".join(sent))


@pytest.mark.parametrize("places", [[0, 7], [7], []])
def test_places_out_of_range_send_nothing_to_others(places: list[int]) -> None:
    with opened() as endpoint, Receiver() as peer:
        done = endpoint.send_queue.send_columns([peer.address], array("H", places), array("I", [1, 1]), b"ab")
        assert done <= places.count(0)
        assert datagrams_of(received(endpoint, peer)) == [b"a"][:done]


def test_limits_of_what_a_destination_gets_and_the_pace_apply_to_messages_only() -> None:
    with opened() as endpoint, Receiver() as peer:
        endpoint.limit_replies(RateLimit(rate=1000.0, exempt=()), None)
        assert send(endpoint, [peer.address], [(0, b"limited")]) == 0
        endpoint.limit_replies(None, None)
        endpoint.send_queue.pace(Pacing(bytes_per_second=1e6))
        assert send(endpoint, [peer.address], [(0, b"paced")]) == 0
