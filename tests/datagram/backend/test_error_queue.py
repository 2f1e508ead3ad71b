"""ICMP errors from the error queue: each is told with its own datagram, and no other datagram suffers for it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from homing import gen
from homing.datagram import Endpoint, MessageUDP, MessageUDPError, SocketOptions, bind

from ...faults.figures import figure
from ...meta.servers import HOST, NARROW, in_network, needs_namespaces
from ...support import UDPPeer, eventually
from ..traffic import HOSTS, LAST, Receiver, datagrams_of, linux_only, name_of, payload_of, received

pytestmark = [
    pytest.mark.backends,
    linux_only,
]


@contextlib.contextmanager
def opened(
    host: str = HOST, send_queue: int = 1000, **options: Any
) -> Iterator[tuple[Endpoint, list[MessageUDPError]]]:
    """An endpoint with an error queue, and what it tells."""
    sock = bind(host, 0, SocketOptions(error_queue=True, **options))
    endpoint = Endpoint(sock, buffer_size=65535, send_queue=send_queue, error_queue=True)
    told: list[MessageUDPError] = []
    endpoint.report_errors(told.append)
    try:
        yield endpoint, told
    finally:
        endpoint.close()


def dead_address(host: str = HOST) -> tuple[Any, ...]:
    """A port that nobody has."""
    with UDPPeer(host) as gone:
        return gone.address


def pending(endpoint: Endpoint) -> int:
    """Has the loopback told of all that was sent? It tells within the system call that sends."""
    return endpoint._errors.retry(errno.ECONNREFUSED, 0) if endpoint._errors is not None else 0


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("at_once", [1, 7, 64, 300])
def test_no_datagram_to_a_live_peer_fails_is_lost_or_doubled_for_one_to_a_dead_peer(host: str, at_once: int) -> None:
    choose = random.Random(at_once)
    dead = [dead_address(host) for _ in range(3)]
    with opened(host) as (endpoint, told), Receiver(host) as live:
        messages = []
        for number in range(600):
            to = live.address if choose.random() < 0.6 else choose.choice(dead)
            messages.append(MessageUDP(None, to, payload_of(number, choose.choice([5, 40, 40, 0]))))
        for start in range(0, 600, at_once):
            some = messages[start : start + at_once]
            assert endpoint.send_many(some) == (len(some), [])
        assert datagrams_of(received(endpoint, live)) == [m.data for m in messages if m.addr == live.address]
        pending(endpoint)
        assert endpoint.send_queue.errors == {}
        assert endpoint.backend.packets_out == 601
        expected = [(m.addr[:2], m.data) for m in messages if m.addr != live.address]
        assert [(one.addr[:2], one.data) for one in told] == expected
        assert endpoint.icmp_errors == {"ECONNREFUSED": len(expected)}
    figure(7, "datagrams to live peers that were lost or doubled for those to dead ones, of 600", 0)


@pytest.mark.parametrize("host", HOSTS)
def test_an_error_tells_all_that_icmp_does(host: str) -> None:
    dead = dead_address(host)
    with opened(host) as (endpoint, told), Receiver(host) as live:
        assert endpoint.send(MessageUDP(None, dead, b"hello"), None) == 5
        assert endpoint.send(MessageUDP(None, live.address, LAST), None) == len(LAST)
        assert live.receive().datagrams == (LAST,)
        (one,) = told
        assert (one.addr, one.data, one.errno) == (dead, b"hello", errno.ECONNREFUSED)
        assert isinstance(one.error, ConnectionRefusedError)
        assert (one.origin, one.type, one.code) == (("icmp6", 1, 4) if ":" in host else ("icmp", 3, 3))
        assert (one.offender, one.mtu, one.id) == (host, None, None)


def test_a_socket_of_both_families_has_the_errors_of_both() -> None:
    sock = bind("::", 0, SocketOptions(error_queue=True, dual_stack=True))
    endpoint = Endpoint(sock, buffer_size=100, send_queue=10, error_queue=True)
    told: list[MessageUDPError] = []
    endpoint.report_errors(told.append)
    with contextlib.closing(endpoint), UDPPeer("127.0.0.1") as four, UDPPeer("::1") as six:
        dead = [dead_address("127.0.0.1"), dead_address("::1")]
        for number in range(10):
            for to in (*dead, four.address, six.address):
                assert endpoint.send(MessageUDP(None, to, b"%d" % number), None) == 1
        pending(endpoint)
        assert [(one.addr, one.data, one.origin) for one in told] == [
            (to, b"%d" % number, origin)
            for number in range(10)
            for to, origin in zip(dead, ("icmp", "icmp6"), strict=True)
        ]
        for peer in (four, six):
            assert [peer.socket.recv(10) for _ in range(10)] == [b"%d" % number for number in range(10)]
        with pytest.raises(OSError, match="too long"):
            endpoint.send(MessageUDP(None, four.address, bytes(65508)), None)
        assert endpoint.mtu("127.0.0.1") == 65535


def test_datagrams_to_one_peer_do_not_go_out_joined_so_that_each_has_its_own_error() -> None:
    dead = dead_address()
    with opened() as (endpoint, told):
        contents = [payload_of(number, 100) for number in range(50)]
        assert not endpoint.backend.gso
        endpoint.send_many([MessageUDP(None, dead, content) for content in contents])
        pending(endpoint)
        assert [one.data for one in told] == contents


def test_a_long_datagram_is_quoted_in_part() -> None:
    with opened() as (endpoint, told):
        content = payload_of(1, 20_000)
        endpoint.send(MessageUDP(None, dead_address(), content), None)
        pending(endpoint)
        (one,) = told
        assert 400 < len(one.data) < 600
        assert content.startswith(one.data)


@needs_namespaces
@pytest.mark.parametrize("seed", range(6))
def test_what_is_refused_here_is_told_by_the_send_alone_amid_errors_of_others(seed: int) -> None:
    choose = random.Random(seed)
    routes = """ip link set lo up
ip route add unreachable 10.1.0.0/24
ip route add prohibit 10.2.0.0/24"""
    refused = {
        ("10.1.0.1", 9): "EHOSTUNREACH",
        ("10.2.0.1", 9): "EACCES",
        (HOST, 0): "EINVAL",
        ("nowhere", 9): "BadAddress",
    }

    def body() -> None:
        dead = dead_address()
        with opened() as (endpoint, told), Receiver() as live:
            places: list[Any] = [live.address] * 4 + [dead] * 2 + list(refused)
            messages = []
            while len(messages) < 300:
                place, size = choose.choice(places), choose.choice([0, 10, 100, 100, 65508 if seed % 2 else 9])
                messages += [MessageUDP(None, place, payload_of(len(messages), size))] * choose.choice([1, 1, 3])
            done, failures = endpoint.send_many(messages)
            assert done == len(messages)
            fates = [
                refused.get(m.addr, "EMSGSIZE" if len(m.data) > 65507 and m.addr[0] != "nowhere" else "")
                for m in messages
            ]
            expected = [(index, fate) for index, fate in enumerate(fates) if fate]
            names = [(index, name_of(error)) for index, error in failures]
            assert [index for index, _ in names] == [index for index, _ in expected]
            assert [name for index, name in names if len(messages[index].data) < 65508] == [
                fate for index, fate in expected if len(messages[index].data) < 65508
            ]
            sent = [m.data for m, fate in zip(messages, fates, strict=True) if not fate and m.addr == live.address]
            assert datagrams_of(received(endpoint, live)) == sent
            pending(endpoint)
            assert [one.data for one in told] == [
                m.data for m, fate in zip(messages, fates, strict=True) if not fate and m.addr == dead
            ]

    in_network(routes, body)


@pytest.mark.parametrize("host", HOSTS)
def test_the_length_that_the_path_takes_is_told_with_a_datagram_that_is_too_long(host: str) -> None:
    longest = 65527 if ":" in host else 65507
    with opened(host) as (endpoint, told):
        with pytest.raises(OSError, match="too long"):
            endpoint.send(MessageUDP(None, dead_address(host), bytes(longest + 1)), None)
        assert told == []
        assert endpoint.send_queue.errors == {"EMSGSIZE": 1}
        assert endpoint.mtu("192.0.2.1") is None
        assert endpoint.mtu(host) in (65535, 65536)
        assert endpoint.mtu(host) is None, "it is told once"


@needs_namespaces
def test_a_datagram_longer_than_the_link_takes_is_told_with_the_length_of_the_link() -> None:
    def body() -> None:
        with opened(mtu_discovery="do") as (endpoint, told), UDPPeer() as peer:
            assert endpoint.send(MessageUDP(None, peer.address, bytes(1472)), None) == 1472
            with pytest.raises(OSError, match="too long"):
                endpoint.send(MessageUDP(None, peer.address, bytes(1473)), None)
            assert (endpoint.mtu(HOST), told) == (1500, [])

    in_network("ip link set lo up; ip link set lo mtu 1500", body)


# --- on a loop --------------------------------------------------------------------------------------------


async def test_errors_are_read_also_while_reading_is_paused_and_then_nothing_wakes_the_loop() -> None:
    with opened() as (endpoint, told):
        woken = []
        errors = endpoint._errors
        assert errors is not None
        watch: Any = endpoint._watch
        inner = watch._on_error
        watch._on_error = lambda: (woken.append(1), inner())
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        dead = dead_address()
        for number in range(200):
            endpoint.send(MessageUDP(None, dead, b"%d" % number), None)
        await eventually(lambda: len(told) == 200)
        before = len(woken)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(woken) == before
        assert not endpoint.reading


@pytest.mark.parametrize("host", HOSTS)
async def test_errors_do_not_fill_the_receive_buffer(host: str) -> None:
    """Which they are charged to: else nothing would be received any more."""
    with opened(host, receive_buffer=4000) as (endpoint, told), UDPPeer(host) as peer:
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        dead = dead_address(host)
        for number in range(300):
            endpoint.backend.send(MessageUDP(None, dead, b"%d" % number))
        await eventually(lambda: told)
        while errno_waits(endpoint):
            await asyncio.sleep(0)
        for number in range(5):
            peer.send(b"%d" % number, endpoint.local_address)
        assert [m.data for m in endpoint.receive(10, 10, None)] == [b"%d" % number for number in range(5)]
        assert endpoint.kernel.drops == 0


def errno_waits(endpoint: Endpoint) -> bool:
    """Whether errors are in the queue."""
    try:
        endpoint.sock.recvmsg(1, 1, socket.MSG_ERRQUEUE | socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


async def test_an_error_is_no_error_of_receiving_and_reading_goes_on(peer: UDPPeer) -> None:
    with opened() as (endpoint, told):
        got: list[bytes] = []
        endpoint.open(asyncio.get_running_loop(), lambda: got.extend(m.data for m in endpoint.receive(10, 10, None)))
        endpoint.resume()
        dead = dead_address()
        for number in range(100):
            endpoint.send(MessageUDP(None, dead, b"x"), None)
            assert endpoint.receive(10, 10, None) == []
            peer.send(b"%d" % number, endpoint.local_address)
            await eventually(lambda number=number: len(got) == number + 1)
            assert endpoint.reading
        await eventually(lambda: len(told) == 100)
        assert endpoint.receive_errors == {}


async def test_a_connected_socket_has_its_errors_from_the_queue_too() -> None:
    sock = bind(HOST, 0, SocketOptions(error_queue=True))
    peer = UDPPeer()
    address = peer.address
    sock.connect(address)
    endpoint = Endpoint(sock, buffer_size=100, send_queue=4, error_queue=True)
    told: list[MessageUDPError] = []
    endpoint.report_errors(told.append)
    got: list[bytes] = []
    with contextlib.closing(endpoint):
        endpoint.open(asyncio.get_running_loop(), lambda: got.extend(m.data for m in endpoint.receive(10, 10, None)))
        endpoint.resume()
        peer.socket.close()
        for number in range(10):
            assert endpoint.send(MessageUDP(None, address, b"%d" % number), None) == 1
        await eventually(lambda: len(told) == 10)
        assert [(one.addr, one.data) for one in told] == [(address, b"%d" % number) for number in range(10)]
        assert (endpoint.send_queue.errors, endpoint.receive_errors, endpoint.reading) == ({}, {}, True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
            again.sendto(b"back", endpoint.local_address)
            await eventually(lambda: got == [b"back"])


@needs_namespaces
async def test_what_waits_goes_out_in_order_amid_errors_of_others() -> None:
    def make() -> tuple[Endpoint, Receiver, tuple[Any, ...]]:
        sock = bind(HOST, 0, SocketOptions(error_queue=True, send_buffer=1))
        return Endpoint(sock, buffer_size=100, send_queue=1000, error_queue=True), Receiver(), dead_address()

    endpoint, live, dead = in_network(NARROW, make)
    outcome: list[tuple[bytes, str]] = []
    told: list[MessageUDPError] = []
    endpoint.send_queue.on_sent = lambda m, _, size, error: outcome.append((m.data, name_of(error) if error else ""))
    endpoint.report_errors(told.append)
    with live, contextlib.closing(endpoint):
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        messages = [
            MessageUDP(None, live.address if number % 3 else dead, payload_of(number, 300 + number))
            for number in range(150)
        ]
        done, failures = endpoint.send_many(messages)
        assert done < 150
        assert failures == []
        await eventually(lambda: endpoint.send_queue.waiting == 0)
        assert outcome == [(m.data, "") for m in messages[done:]]
        sent = [m.data for number, m in enumerate(messages) if number % 3]
        assert datagrams_of([await asyncio.to_thread(live.receive) for _ in sent]) == sent
        await eventually(lambda: len(told) == 50)
        assert [one.data for one in told] == [m.data for m in messages[::3]]


@pytest.mark.once
def test_it_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(gen.BadOption, match="Linux only"):
        SocketOptions(error_queue=True)


@pytest.mark.once
@pytest.mark.parametrize("wrong", [1, None, "yes"])
def test_what_is_no_bool_is_refused(wrong: Any) -> None:
    with pytest.raises(gen.BadOption, match="error_queue"):
        SocketOptions(error_queue=wrong)


def test_an_endpoint_without_it_tells_of_no_icmp_error(peer: UDPPeer) -> None:
    sock = bind(HOST, 0, SocketOptions())
    with contextlib.closing(Endpoint(sock, buffer_size=100, send_queue=10)) as endpoint:
        told: list[MessageUDPError] = []
        endpoint.report_errors(told.append)
        dead = dead_address()
        for _ in range(3):
            endpoint.send(MessageUDP(None, dead, b"x"), None)
        assert (told, endpoint.icmp_errors, endpoint.mtu(HOST)) == ([], {}, None)
