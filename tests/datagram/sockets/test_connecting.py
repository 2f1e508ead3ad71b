"""Connected sockets: who gets in, and whose errors are whose."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from homing import gen
from homing.datagram import Endpoint, MessageUDP, MessageUDPError, SocketOptions, open_to, peers_of
from homing.datagram.backend import portable as portable_backend

from ...support import UDPPeer

HOST = "127.0.0.1"

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="what the system tells differs elsewhere"),
]
LONGER_THAN_ANY = bytes(65508)


class Told:
    """A connected endpoint, its peer, which may go and come back, and the errors that it was told of."""

    def __init__(self) -> None:
        self.peer = UDPPeer(HOST)
        self.endpoint = connected(self.peer.address)
        self.errors: list[MessageUDPError] = []
        self.endpoint.report_errors(self.errors.append)

    def send(self, data: bytes) -> int | None:
        return self.endpoint.send(self.message(data), None)

    def message(self, data: bytes) -> MessageUDP:
        return MessageUDP(None, self.peer.address, data)

    def leave(self) -> None:
        self.peer.socket.close()

    def come_back(self) -> None:
        self.peer.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.socket.setblocking(False)
        self.peer.socket.bind(self.peer.address)

    def got(self) -> list[bytes]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.peer.socket.recv(65536))
        return found

    def numbers(self) -> list[int]:
        return [error.errno or 0 for error in self.errors]


def connected(address: tuple[Any, ...]) -> Endpoint:
    peers = peers_of(*address[:2])
    assert peers is not None
    sock, peer = open_to(peers, *address[:2], ("", 0), SocketOptions(), connected=True)
    assert peer == address
    return Endpoint(sock, buffer_size=2000, send_queue=10, connected=True)


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    with contextlib.closing(made.endpoint), made.peer:
        yield made


def test_the_error_of_an_earlier_datagram_is_told_and_the_next_one_goes(told: Told) -> None:
    told.leave()
    assert told.send(b"lost") == 4
    assert told.errors == []
    told.come_back()
    assert told.send(b"found") == 5
    assert told.got() == [b"found"]
    assert told.numbers() == [errno.ECONNREFUSED]
    assert (told.errors[0].addr, told.errors[0].origin, told.errors[0].data) == (told.peer.address, "icmp", b"")
    assert (told.endpoint.icmp_errors, told.endpoint.send_queue.errors) == ({"ECONNREFUSED": 1}, {})


def test_it_is_told_before_the_send_that_met_it_returns(told: Told) -> None:
    told.leave()
    told.send(b"lost")
    told.send(b"lost, too")
    assert told.numbers() == [errno.ECONNREFUSED]


def test_many_datagrams_go_in_order_although_each_meets_the_error_of_the_one_before(told: Told) -> None:
    told.leave()
    done, failures = told.endpoint.send_many([told.message(bytes(length)) for length in range(50)])
    assert (done, failures) == (50, [])
    told.come_back()
    done, failures = told.endpoint.send_many([told.message(bytes(length)) for length in range(50)])
    assert (done, failures) == (50, [])
    assert [len(data) for data in told.got()] == list(range(50))
    assert set(told.numbers()) == {errno.ECONNREFUSED}
    assert told.endpoint.backend.packets_out == 100


def test_a_sends_own_error_is_raised_and_told_to_nobody_else(told: Told) -> None:
    with pytest.raises(OSError, match="long") as caught:
        told.send(LONGER_THAN_ANY)
    assert caught.value.errno == errno.EMSGSIZE
    assert told.errors == []
    assert told.endpoint.send_queue.errors == {"EMSGSIZE": 1}


def test_a_send_with_an_error_of_its_own_does_not_lose_that_of_an_earlier_one(told: Told) -> None:
    told.leave()
    told.send(b"lost")
    with pytest.raises(OSError, match="long"):
        told.send(LONGER_THAN_ANY)
    told.come_back()
    told.send(b"found")
    assert told.got() == [b"found"]
    assert told.numbers() == [errno.ECONNREFUSED]
    assert told.endpoint.send_queue.errors == {"EMSGSIZE": 1}


def test_what_fails_amid_others_is_reported_with_its_number(told: Told) -> None:
    told.leave()
    told.send(b"lost")
    told.come_back()
    messages = [told.message(data) for data in (b"1", LONGER_THAN_ANY, b"22", LONGER_THAN_ANY, b"333")]
    done, failures = told.endpoint.send_many(messages)
    assert done == 5
    assert [(index, getattr(error, "errno", None)) for index, error in failures] == [
        (1, errno.EMSGSIZE),
        (3, errno.EMSGSIZE),
    ]
    assert told.got() == [b"1", b"22", b"333"]
    assert told.numbers() == [errno.ECONNREFUSED]


def test_an_error_that_reading_meets_is_told_and_what_came_before_it_is_read_next(told: Told) -> None:
    told.peer.send(b"before", told.endpoint.local_address)
    told.leave()
    told.send(b"lost")
    assert told.endpoint.receive(10, 10, None) == []
    assert told.numbers() == [errno.ECONNREFUSED]
    assert [message.data for message in told.endpoint.receive(10, 10, None)] == [b"before"]
    assert told.endpoint.receive_errors == {}


def test_an_error_is_told_once(told: Told) -> None:
    told.leave()
    told.send(b"lost")
    for _ in range(3):
        told.endpoint.receive(10, 10, None)
    told.come_back()
    told.send(b"found")
    assert told.numbers() == [errno.ECONNREFUSED]


def test_what_came_before_the_socket_was_connected_does_not_get_in(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(socket.socket):
        """Somebody writes to it before it is connected."""

        def connect(self, address: Any) -> None:
            with UDPPeer("127.0.0.9") as stranger:
                for _ in range(3):
                    stranger.send(b"from a stranger", (HOST, self.getsockname()[1]))
                stranger.send(b"", (HOST, self.getsockname()[1]))
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Late)
    with UDPPeer(HOST) as peer, contextlib.closing(connected(peer.address)) as endpoint:
        peer.send(b"from the peer", endpoint.local_address)
        assert [message.data for message in endpoint.receive(10, 10, None)] == [b"from the peer"]


@pytest.mark.backends("portable")
def test_where_a_connected_socket_takes_no_address_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """For systems that have no native backend."""

    class Strict(socket.socket):
        """As on BSD."""

        def sendto(self, *args: Any) -> int:
            raise OSError(errno.EISCONN, "Socket is already connected")

    monkeypatch.setattr(portable_backend, "_TAKES_ADDRESS", False)
    monkeypatch.setattr(socket, "socket", Strict)
    with UDPPeer(HOST) as peer, contextlib.closing(connected(peer.address)) as endpoint:
        endpoint.send(MessageUDP(None, peer.address, b"hello"), None)
        assert peer.socket.recv(10) == b"hello"


@pytest.mark.once
@pytest.mark.parametrize("host", ["localhost", "no-such-host.invalid", "1.2.3.4.5", "fe80::1%nowhere", "a\0b"])
def test_a_name_is_no_address(host: str) -> None:
    assert peers_of(host, 53) is None


@pytest.mark.once
def test_the_first_peer_that_serves_is_taken() -> None:
    with UDPPeer(HOST) as peer:
        peers = [(socket.AF_INET, ("255.255.255.255", 9)), (socket.AF_INET, peer.address)]
        sock, address = open_to(peers, "peer.example", 9, ("", 0), SocketOptions(), connected=True)
        with sock:
            assert address == peer.address == sock.getpeername()


@pytest.mark.once
def test_if_none_serves_the_error_of_the_first_is_raised() -> None:
    peers = [(socket.AF_INET, ("255.255.255.255", 9)), (socket.AF_INET, ("127.255.255.255", 9))]
    with pytest.raises(gen.ConnectFailed, match=r"peer\.example:9") as caught:
        open_to(peers, "peer.example", 9, ("", 0), SocketOptions(), connected=True)
    assert caught.value.errno == errno.EACCES
