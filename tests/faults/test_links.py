"""Between two networks with a cable: bad destinations, links that go, addresses that move, slow cables, scoped IPv6."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

import homing
from homing import gen, meta

from ..meta.servers import error_of, needs_namespaces, still_answers
from ..support import UDPPeer, eventually
from .figures import figure
from .networks import (
    SO_RCVBUFFORCE,
    EchoOn,
    Network,
    linked,
    open_echo_on,
    spoof,
)

pytestmark = [
    pytest.mark.backends,
    needs_namespaces,
]
needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="nft (nftables) is not installed")
HERE, THERE = "10.77.0.1", "10.77.0.2"
FIREWALL = """nft add table ip f; nft 'add chain ip f out { type filter hook output priority 0; }'
nft add rule ip f out udp dport 99 drop"""
ROUTES = """ip route add blackhole 192.0.2.0/25
ip route add unreachable 192.0.2.128/25; ip route add prohibit 198.51.100.0/24"""

LOSES_FRAGMENTS = """nft add table netdev f
nft 'add chain netdev f in { type filter hook ingress device va priority 0; }'
nft add rule netdev f in ip frag-off \\& 0x1fff != 0 numgen inc mod 20 == 0 drop"""


@pytest.fixture
def ends() -> Iterator[list[Network]]:
    with linked() as ends:
        yield ends


async def test_case_4_what_is_longer_than_the_path_takes_is_refused_to_its_sender_and_the_server_goes_on(
    node: homing.Node, ends: list[Network]
) -> None:
    server = await open_echo_on(ends[0], node, host=HERE, mtu_discovery="do")
    with ends[1].do(UDPPeer, THERE) as peer:
        assert await peer.ask(bytes(1472), server.local_address) == bytes(1472)
        peer.send(bytes(1473), server.local_address)  # comes in two fragments; its answer must not go so
        await eventually(lambda: server.statistics().send_errors == {"EMSGSIZE": 1})
        assert await still_answers(peer, server)
    figure(4, "answers refused on a path of 1500 bytes, the server answering on", dict(server.statistics().send_errors))


DESTINATIONS: list[tuple[Any, Any]] = [
    ((THERE, 0), errno.EINVAL),
    (("240.0.0.1", 9), errno.ENETUNREACH),
    (("192.0.2.1", 9), errno.EINVAL),
    (("255.255.255.255", 9), errno.EACCES),
    (("10.77.0.255", 9), errno.EACCES),
    (("198.51.100.1", 9), errno.EACCES),
    (("203.0.113.1", 9), errno.ENETUNREACH),
    (("192.0.2.129", 9), errno.EHOSTUNREACH),
    ((THERE, 99), errno.EPERM),
    (("fe80::1", 9), gen.BadAddress),
    (("::1", 9, 0, 0), gen.BadAddress),
    ((THERE, 9, 0, 0, 0), gen.BadAddress),
]


@needs_nft
async def test_case_6_each_bad_destination_is_its_own_error_at_the_caller_and_none_ends_the_server(
    node: homing.Node, ends: list[Network]
) -> None:
    ends[0].run(ROUTES + "\n" + FIREWALL)
    server = await open_echo_on(ends[0], node, host=HERE)
    outcomes = {}
    with ends[1].do(UDPPeer, THERE) as peer:
        for address, expected in DESTINATIONS:
            error = await error_of(node.call(server.process.id, meta.MessageUDP(None, address, b"x")))
            found = error.errno if isinstance(error, OSError) else type(error)
            assert found == expected, address
            name = errno.errorcode[found] if isinstance(found, int) else found.__name__
            outcomes[name] = outcomes.get(name, 0) + 1
            assert await still_answers(peer, server), address
    assert server.statistics().send_errors == outcomes
    figure(6, "what bad destinations gave", ", ".join(f"{name} {count}" for name, count in outcomes.items()))


async def test_case_6_an_answer_to_a_source_without_a_route_is_counted_and_the_others_of_its_batch_go_out(
    node: homing.Node, ends: list[Network]
) -> None:
    server = await open_echo_on(ends[0], node, host=HERE)
    with ends[1].do(UDPPeer, THERE) as peer:
        for number in range(32):
            if number % 4 == 1:
                ends[1].do(spoof, ("203.0.113.1", 4000 + number), server.local_address, b"nobody")
            else:
                peer.send(b"%d" % number, server.local_address)
        expected = [b"%d" % number for number in range(32) if number % 4 != 1]
        assert [(await peer.receive())[0] for _ in expected] == expected
    await eventually(lambda: server.statistics().send_errors == {"ENETUNREACH": 8})


async def collect(peer: UDPPeer, server: meta.UDPServer, sent: int) -> tuple[list[bytes], int]:
    """The answers to `sent` requests, until all that were not dropped have come; and how many waited at most."""
    answers: list[bytes] = []
    peak = 0

    def done() -> bool:
        nonlocal peak
        statistics = server.statistics()
        peak = max(peak, statistics.send_waiting)
        try:
            while True:
                answers.append(peer.socket.recv(65536))
        except BlockingIOError:
            return len(answers) + statistics.dropped_send_queue >= sent

    await eventually(done, f"the account of {sent} answers")
    return answers, peak


@pytest.mark.parametrize(
    ("send_queue", "size"), [(32, 700), (1024, 700), (1024, 0)], ids=["full", "alike", "differing"]
)
async def test_cases_8_and_9_over_a_slow_cable_answers_wait_in_a_bounded_queue_and_go_out_once_in_order(
    send_queue: int, size: int, node: homing.Node, ends: list[Network]
) -> None:
    """With a send buffer of the least size the kernel takes a part of each batch that it is given."""
    ends[0].run("tc qdisc add dev va root tbf rate 4mbit burst 3000 limit 3000000")
    server = await open_echo_on(ends[0], node, host=HERE, send_buffer=1, send_queue=send_queue, receive_buffer=1 << 20)
    requests = [(b"%d" % number).ljust(size or 500 + number, b".") for number in range(200)]
    with ends[1].do(UDPPeer, THERE) as peer:
        for request in requests:
            peer.send(request, server.local_address)
            await asyncio.sleep(0)
        answers, peak = await collect(peer, server, len(requests))
    statistics = server.statistics()
    assert 0 < peak <= send_queue
    assert (statistics.dropped_send_queue > 0) is (send_queue == 32)
    assert answers == [request for request in requests if request in set(answers)], "twice, or out of order"
    assert len(answers) + statistics.dropped_send_queue == len(requests)
    if send_queue == 32:
        figure(
            8, "of 200 answers over a slow cable, waited at most, dropped", f"{peak}, {len(requests) - len(answers)}"
        )
    else:
        figure(9, "answers that came once and in order, of 200 of which the kernel took a few at a time", len(answers))


@needs_nft
async def test_case_12_of_a_datagram_in_fragments_comes_the_whole_or_nothing(
    node: homing.Node, ends: list[Network]
) -> None:
    """8000 bytes are six fragments; of those after the first every twentieth is lost: one of each fourth datagram."""
    ends[0].run(LOSES_FRAGMENTS)
    server = await open_echo_on(ends[0], node, host=HERE, receive_buffer=1 << 20)
    requests = [(b"%d" % number).ljust(8000, b".") for number in range(100)]
    with ends[1].do(UDPPeer, THERE) as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)
        for request in requests:
            peer.send(request, server.local_address)
            await asyncio.sleep(0)
        answers, _ = await collect(peer, server, 75)
        assert await still_answers(peer, server)
    assert answers == [request for request in requests if request in set(answers)]
    assert server.statistics().packets_in == 75 + 1
    assert server.statistics().receive_errors == {}
    figure(12, "whole datagrams of 100, of which 25 lost a fragment, and parts of others", f"{len(answers)}, 0")


async def bound_at(where: Network, host: str) -> tuple[meta.UDPServer, int]:
    """A server on an address that the kernel is still checking, and how often that was refused."""
    refused: list[gen.BindFailed] = []

    def attempt() -> meta.UDPServer | None:
        try:
            return where.do(meta.create_udp_server, meta.UDPServerOptions(host=host))
        except gen.BindFailed as error:
            refused.append(error)
            return None

    server: meta.UDPServer = await eventually(attempt, f"the binding of {host}")
    assert {error.errno for error in refused} <= {errno.EADDRNOTAVAIL}
    return server, len(refused)


async def test_case_13_an_answer_over_ipv6_keeps_the_scope_of_the_link(node: homing.Node) -> None:
    with linked(("fe80::77:1/64", "fe80::77:2/64")) as ends:
        server, refused = await bound_at(ends[0], "fe80::77:1%va")
        await node.spawn(EchoOn, server)
        scope = ends[1].do(socket.if_nametoindex, "vb")
        with closing(ends[1].do(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)) as sock:
            sock.setblocking(False)
            await eventually(lambda: _bound(sock, ("fe80::77:2", 0, 0, scope)), "the check of the address")
            for number in range(20):
                sock.sendto(b"%d" % number, ("fe80::77:1", server.local_address[1], 0, scope))
            answers: list[Any] = []
            await eventually(lambda: _take(sock, answers) == 20, "twenty answers")
    assert [data for data, _ in answers] == [b"%d" % number for number in range(20)]
    assert {address[:2] for _, address in answers} == {("fe80::77:1", server.local_address[1])}
    assert server.local_address[3] > 0
    assert server.statistics().send_errors == {}
    figure(13, "answers to 20 requests from a scoped address", len(answers))
    figure(13, "typed refusals to bind while the kernel checked the address", "some" if refused else "none")


def _bound(sock: socket.socket, address: tuple[Any, ...]) -> bool:
    try:
        sock.bind(address)
    except OSError:
        return False
    return True


def _take(sock: socket.socket, answers: list[Any]) -> int:
    try:
        while True:
            answers.append(sock.recvfrom(100))
    except BlockingIOError:
        return len(answers)


@pytest.mark.parametrize("host", [HERE, ""], ids=["an address", "every address"])
@pytest.mark.parametrize(
    ("gone", "back"),
    [
        ("ip link set va down", "ip link set va up"),
        ("ip addr del 10.77.0.1/24 dev va", "ip addr add 10.77.0.1/24 dev va"),
        ("ip route del 10.77.0.0/24", "ip route add 10.77.0.0/24 dev va"),
    ],
    ids=["link", "address", "route"],
)
async def test_case_32_a_server_outlives_link_address_and_route_and_goes_on_when_they_are_back(
    gone: str, back: str, host: str, node: homing.Node, ends: list[Network]
) -> None:
    server = await open_echo_on(ends[0], node, host=host)
    address = (HERE, server.local_address[1])
    alias = server.process.id
    with ends[1].do(UDPPeer, THERE) as peer:
        for time in range(1, 4):
            assert await peer.ask(b"before", address) == b"before"
            ends[0].run(gone)
            error = await error_of(node.call(alias, meta.MessageUDP(None, peer.address, b"meanwhile")))
            assert isinstance(error, OSError)
            assert error.errno == errno.ENETUNREACH
            ends[0].run(back)
            assert await peer.ask(b"after", address) == b"after"
            assert server.statistics().send_errors == {"ENETUNREACH": time}
    assert server.process.id == alias
    info = node.info()
    assert (info.crashes, info.metas) == (0, 1)
    figure(32, "sends refused while link, address or route was gone, and restarts", f"3 of 3, {info.crashes}")
