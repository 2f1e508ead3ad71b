"""The endpoint: one socket on one loop, without any actor."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from homing import gen
from homing.datagram import Endpoint, MessageUDP, SocketOptions, bind

from ..meta.servers import HOST, NARROW, in_network, needs_namespaces
from ..support import UDPPeer, eventually

pytestmark = pytest.mark.backends


def make(send_buffer: int | None = None) -> Endpoint:
    return Endpoint(bind(HOST, 0, SocketOptions(send_buffer=send_buffer)), buffer_size=100, send_queue=4)


def send(endpoint: Endpoint, data: Any, address: Any, token: Any = None) -> int | None:
    return endpoint.send(MessageUDP(None, address, data), token)


def receive(endpoint: Endpoint, limit: int) -> list[tuple[Any, Any, bool]]:
    return [(message.data, message.addr, message.truncated) for message in endpoint.receive(limit, limit, None)]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = make()
    yield endpoint
    endpoint.close()


def test_each_backend_serves_in_its_turn_without_being_asked_for(request: Any, endpoint: Endpoint) -> None:
    assert endpoint.backend.name == request.node.callspec.params["backend"]


def test_receive_takes_what_is_there_up_to_the_limit(endpoint: Endpoint, peer: UDPPeer) -> None:
    for number in range(5):
        peer.send(b"%d" % number, endpoint.local_address)
    assert receive(endpoint, 3) == [(b"%d" % number, peer.address, False) for number in range(3)]
    assert receive(endpoint, 10) == [(b"%d" % number, peer.address, False) for number in range(3, 5)]
    assert receive(endpoint, 10) == []
    assert (endpoint.backend.packets_in, endpoint.backend.bytes_in) == (5, 5)


def test_a_payload_that_was_received_is_not_changed_by_the_next(endpoint: Endpoint, peer: UDPPeer) -> None:
    peer.send(b"first", endpoint.local_address)
    ((first, _, _),) = receive(endpoint, 1)
    peer.send(b"other", endpoint.local_address)
    receive(endpoint, 1)
    assert first == b"first"


def test_send_gives_the_length_and_counts(endpoint: Endpoint, peer: UDPPeer) -> None:
    assert send(endpoint, b"hello", peer.address, None) == 5
    assert (endpoint.backend.packets_out, endpoint.backend.bytes_out) == (1, 5)


@pytest.mark.parametrize(
    ("data", "address", "name"),
    [
        (b"x" * 65508, (HOST, 9), "EMSGSIZE"),
        (b"x", (HOST, 0), "EINVAL"),
        (b"x", ("255.255.255.255", 9), "EACCES"),
        (b"x", ("nowhere", 9), "BadAddress"),
        ("text", (HOST, 9), "TypeError"),
        (memoryview(b"gaps")[::2], (HOST, 9), "BufferError"),
    ],
)
def test_a_refused_datagram_is_counted_by_name_and_raised(
    data: Any, address: Any, name: str, endpoint: Endpoint
) -> None:
    with pytest.raises((OSError, gen.BadAddress, TypeError, BufferError)):
        send(endpoint, data, address, None)
    assert endpoint.send_queue.errors == {name: 1}
    assert endpoint.backend.packets_out == 0


def test_an_endpoint_closes_its_own_descriptor_once_and_no_other(endpoint: Endpoint) -> None:
    endpoint.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as next_with_that_number:
        assert endpoint.close() == []
        os.fstat(next_with_that_number.fileno())
    assert endpoint.closed


def test_a_closed_endpoint_refuses_to_send_and_can_be_paused_and_resumed(endpoint: Endpoint) -> None:
    endpoint.close()
    endpoint.pause()
    endpoint.resume()
    with pytest.raises(OSError, match="Bad file descriptor"):
        send(endpoint, b"x", (HOST, 9), None)


def test_an_error_that_the_system_reports_is_raised_only_if_the_socket_is_gone(endpoint: Endpoint) -> None:
    endpoint.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        receive(endpoint, 1)
    assert endpoint.receive_errors == {"EBADF": 1}


async def test_reading_begins_with_resume_and_rests_while_paused(endpoint: Endpoint, peer: UDPPeer) -> None:
    readable = asyncio.Event()
    got: list[Any] = []

    def on_readable() -> None:
        got.extend(receive(endpoint, 10))
        readable.set()

    peer.send(b"early", endpoint.local_address)
    endpoint.open(asyncio.get_running_loop(), on_readable)
    assert not endpoint.reading
    endpoint.resume()
    await eventually(lambda: [data for data, _, _ in got] == [b"early"])
    endpoint.pause()
    peer.send(b"late", endpoint.local_address)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(got) == 1
    endpoint.resume()
    await eventually(lambda: [data for data, _, _ in got] == [b"early", b"late"])


async def test_an_error_on_a_connected_socket_is_counted_and_reading_goes_on(peer: UDPPeer) -> None:
    sock = bind(HOST, 0, SocketOptions())
    with UDPPeer() as gone:
        sock.connect(gone.address)
    endpoint = Endpoint(sock, buffer_size=100, send_queue=4)
    got: list[Any] = []
    try:
        endpoint.open(asyncio.get_running_loop(), lambda: got.extend(receive(endpoint, 10)))
        endpoint.resume()
        send(endpoint, b"nobody hears this", gone.address, None)
        await eventually(lambda: endpoint.receive_errors == {"ECONNREFUSED": 1})
        sock.connect(peer.address)
        peer.send(b"hello", endpoint.local_address)
        await eventually(lambda: [data for data, _, _ in got] == [b"hello"])
    finally:
        endpoint.close()


async def test_a_paused_endpoint_is_not_resumed_by_its_own_retry(peer: UDPPeer) -> None:
    sock = bind(HOST, 0, SocketOptions())
    with UDPPeer() as gone:
        sock.connect(gone.address)
    endpoint = Endpoint(sock, buffer_size=100, send_queue=4)
    try:
        endpoint.open(asyncio.get_running_loop(), lambda: receive(endpoint, 10) and None)
        endpoint.resume()
        send(endpoint, b"nobody hears this", gone.address, None)
        await eventually(lambda: endpoint.receive_errors)
        endpoint.pause()
        retried = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, retried.set)  # twice the time after which it would try again
        await retried.wait()
        assert not endpoint.reading
    finally:
        endpoint.close()


def test_unused_buffers_go_back_whatever_ends_a_batch(endpoint: Endpoint, peer: UDPPeer) -> None:
    lent: list[bytearray] = []

    def get() -> bytearray:
        lent.append(bytearray(10))
        return lent[-1]

    peer.send(b"0123456789abc", endpoint.local_address)
    batch = endpoint.receive_pooled(5, get, lambda buffer: lent.remove(buffer))
    assert [(bytes(buffer), length, cut) for buffer, length, _, cut, _ in batch] == [(b"0123456789", 10, True)]
    assert len(lent) == 1
    endpoint.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        endpoint.receive_pooled(5, get, lambda buffer: lent.remove(buffer))
    assert len(lent) == 1


@needs_namespaces
async def test_what_would_block_is_queued_in_order_bounded_and_told_of_when_it_goes_out() -> None:
    endpoint, peer = in_network(NARROW, lambda: (make(send_buffer=1), UDPPeer()))
    told: list[tuple[Any, int, Exception | None]] = []
    endpoint.send_queue.on_sent = lambda _, token, size, error: told.append((token, size, error))
    with peer:
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        at_once = 0
        while send(endpoint, b"%03d" % at_once + bytes(500), peer.address, at_once) == 503:
            at_once += 1
        for number in range(at_once + 1, at_once + 4):
            assert send(endpoint, b"%03d" % number + bytes(500), peer.address, number) is None
        assert endpoint.send_queue.waiting == 4
        with pytest.raises(gen.SendQueueFull):
            send(endpoint, b"one too many", peer.address, None)
        assert (endpoint.send_queue.dropped, endpoint.send_queue.waiting) == (1, 4)
        got = [int((await peer.receive())[0][:3]) for _ in range(at_once + 4)]
        assert got == list(range(at_once + 4))
        await eventually(lambda: len(told) == 4)
        assert told == [(number, 503, None) for number in range(at_once, at_once + 4)]
        assert endpoint.close() == []


@needs_namespaces
async def test_closing_gives_the_tokens_of_what_was_still_to_go() -> None:
    endpoint = in_network(NARROW, lambda: make(send_buffer=1))
    endpoint.open(asyncio.get_running_loop(), lambda: None)
    number = 0
    while send(endpoint, bytes(500), (HOST, 9), number) is not None:
        number += 1
    send(endpoint, bytes(500), (HOST, 9), number + 1)
    assert [token for _, token in endpoint.close()] == [number, number + 1]
    assert endpoint.send_queue.waiting == 0
