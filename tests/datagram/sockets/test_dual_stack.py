"""One socket for both families: IPv4 peers are written as IPv4 peers, wherever they are met."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from homing import gen
from homing.datagram import Endpoint, MessageUDP, SocketOptions, bind

from ...support import UDPPeer, eventually
from ..traffic import Receiver, Sender, linux_only, opened

pytestmark = pytest.mark.backends


def dual(**options: Any) -> Endpoint:
    endpoint: dict[str, Any] = {"buffer_size": 1000, "send_queue": 100, **options}
    return Endpoint(bind("", 0, SocketOptions(dual_stack=True, receive_buffer=1 << 20)), **endpoint)


def at(endpoint: Endpoint, host: str) -> tuple[str, int]:
    return host, endpoint.local_address[1]


async def test_peers_of_both_families_are_written_as_their_own_sockets_write_them() -> None:
    endpoint = dual()
    with UDPPeer("127.0.0.1") as four, UDPPeer("::1") as six:
        for peer in (four, six, four):
            peer.send(b"hello", at(endpoint, peer.address[0]))
        messages = endpoint.receive(10, 10, None)
        assert [message.addr for message in messages] == [four.address, six.address, four.address]
        assert endpoint.send_many([message.reply(b"answer") for message in messages]) == (3, [])
        assert (await four.receive())[0] == (await six.receive())[0] == b"answer"
    endpoint.close()


async def test_the_pooled_way_writes_them_alike() -> None:
    endpoint = dual(gro=False)
    with UDPPeer("127.0.0.1") as four:
        four.send(b"hello", at(endpoint, "127.0.0.1"))
        ((_, length, addr, *_),) = endpoint.receive_pooled(1, lambda: bytearray(100), lambda _: None)
        assert (length, addr) == (5, four.address)
    endpoint.close()


async def test_the_columns_of_a_batch_have_sixteen_octets_for_each() -> None:
    endpoint = dual()
    with UDPPeer("127.0.0.1") as four, UDPPeer("::1") as six:
        for peer in (four, six):
            peer.send(b"hello", at(endpoint, peer.address[0]))
        batch = endpoint.receive_batch(10, None)
        assert batch is not None
        mapped = bytes(10) + b"\xff\xff" + socket.inet_aton("127.0.0.1")
        assert bytes(batch.hosts) == mapped + socket.inet_pton(socket.AF_INET6, "::1")
        assert [batch.address(0), batch[1].addr] == [four.address, six.address]
        batch._end()
    endpoint.close()


async def test_an_ipv4_peer_can_be_written_to_however_the_address_was_come_by() -> None:
    """By the tuple that was received, by an equal one, and by what the same tuple is to an IPv4 socket."""
    endpoint = dual()
    with UDPPeer("127.0.0.1") as peer, opened("127.0.0.1") as plain:
        peer.send(b"to the plain one", plain.local_address)
        peer.send(b"to both", at(endpoint, "127.0.0.1"))
        (by_plain,), (by_both,) = plain.receive(1, 1, None), endpoint.receive(1, 1, None)
        for sender in (endpoint, plain):
            for addr in (by_plain.addr, by_both.addr, ("127.0.0.1", peer.address[1])):
                assert sender.send(MessageUDP(None, addr, b"answer"), None) == 6
                assert (await peer.receive())[0] == b"answer"
    endpoint.close()


@pytest.mark.parametrize("addr", [("localhost", 9), ("127.0.0.1", 9, 0, 0), ("127.0.0.1",), ("", 9), (None, 9), None])
def test_what_is_no_address_of_either_family_is_refused(addr: Any) -> None:
    endpoint = dual()
    with pytest.raises(gen.BadAddress):
        endpoint.send(MessageUDP(None, addr, b"x"), None)
    endpoint.close()


def test_an_ipv6_only_socket_takes_no_ipv4_address_that_a_dual_one_has_told() -> None:
    endpoint = dual()
    with UDPPeer("127.0.0.1") as peer, opened("::1") as six:
        peer.send(b"x", at(endpoint, "127.0.0.1"))
        (message,) = endpoint.receive(1, 1, None)
        with pytest.raises(gen.BadAddress):
            six.send(message.reply(b"x"), None)
    endpoint.close()


@linux_only
def test_trains_of_ipv4_peers_are_taken_apart_and_runs_go_out_joined() -> None:
    endpoint = dual()
    with Sender("127.0.0.1") as sender, Receiver("127.0.0.1") as receiver:
        sender.send(b"0123456789" * 3, at(endpoint, "127.0.0.1"), segment=10)
        messages: list[MessageUDP] = []
        while len(messages) < 3:
            messages += endpoint.receive(10, 10, None)
        assert [(message.addr, message.data) for message in messages] == [(sender.address, b"0123456789")] * 3
        answers = [MessageUDP(None, receiver.address, b"abcdefghij") for _ in range(4)]
        assert endpoint.send_many(answers) == (4, [])
        got: list[bytes] = []
        while len(got) < 4:
            got += receiver.receive().datagrams
        assert got == [b"abcdefghij"] * 4
    endpoint.close()


async def test_what_had_to_wait_goes_to_ipv4_peers_too() -> None:
    endpoint = dual()
    with UDPPeer("127.0.0.1") as peer:
        endpoint.send_queue._enqueue(MessageUDP(None, peer.address, b"waited"), None)
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        await eventually(lambda: endpoint.send_queue.waiting == 0)
        assert (await peer.receive())[0] == b"waited"
    endpoint.close()
