"""What is to go with a datagram goes with that one: marks of its own, the address that was asked, the link it names."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homing import gen
from homing.datagram import Endpoint, MessageUDP, PacketInfo, SocketOptions
from homing.datagram.sockets.packet_info import request_packet_info

from ...meta.servers import in_network, needs_namespaces
from ...support import DEADLINE, examples
from ..traffic import linux_only, name_of
from .marks import ALL, FAMILIES, HERE, SHARED, MarkedReceiver, MarkingSender, Marks, asking, info_of, receive

pytestmark = [
    pytest.mark.backends,
    linux_only,
]


# --- answers ------------------------------------------------------------------------------------------------


def test_a_socket_of_every_address_tells_which_was_asked_and_answers_from_there() -> None:
    with asking(receive_local_address=True) as endpoint, MarkingSender("IPv4") as sender:
        for host in ("127.0.0.1", "127.0.0.9", "127.3.2.1"):
            sender.send(b"x", (host, endpoint.local_address[1]))
            (message,) = receive(endpoint, 1)
            assert message.info.local == host
            assert message.reply(b"").info == PacketInfo(local=host)
            assert endpoint.send(message.reply(b"answer"), None) == 6
            assert sender.socket.recvfrom(100) == (b"answer", (host, endpoint.local_address[1]))


def test_without_being_asked_to_an_answer_leaves_from_the_address_that_the_route_prescribes() -> None:
    with asking(receive_ttl=True) as endpoint, MarkingSender("IPv4") as sender:
        sender.send(b"x", ("127.0.0.9", endpoint.local_address[1]))
        (message,) = receive(endpoint, 1)
        assert message.reply(b"").info is None
        endpoint.send(message.reply(b"answer"), None)
        assert sender.socket.recvfrom(100)[1][0] == "127.0.0.1"


def test_an_answer_copies_neither_tos_nor_ttl() -> None:
    with asking(**ALL) as endpoint, MarkedReceiver("IPv4") as peer:
        peer.socket.sendto(b"x", ("127.0.0.5", endpoint.local_address[1]))
        (message,) = receive(endpoint, 1)
        endpoint.send(message.reply(b"plain"), None)
        endpoint.send(message.reply(b"marked", PacketInfo(tos=8, ttl=7)), None)
        endpoint.send(message.reply(b"elsewhere", PacketInfo(local="127.0.0.6")), None)
        assert peer.receive(3) == [
            (b"plain", "127.0.0.5", *peer.usual),
            (b"marked", "127.0.0.5", 8, 7),
            (b"elsewhere", "127.0.0.6", *peer.usual),
        ]


@pytest.mark.once
def test_what_a_message_without_info_is_answered_with_is_what_the_answer_is_given() -> None:
    message = MessageUDP(None, ("127.0.0.1", 9), b"x")
    assert message.reply(b"").info is None
    info = PacketInfo(ttl=3)
    assert message.reply(b"", info).info is info
    received = MessageUDP(None, ("127.0.0.1", 9), b"x", info=PacketInfo(local="127.0.0.1"))
    with pytest.raises(gen.BadOption, match="info"):
        received.reply(b"", 5)  # type: ignore[arg-type]


@pytest.mark.once
@pytest.mark.parametrize(("local", "kept"), [("fe80::1", 7), ("febf::1", 7), ("2001:db8::1", 0), ("192.0.2.1", 0)])
def test_an_answer_keeps_the_interface_of_a_link_local_address_only(local: str, kept: int) -> None:
    message = MessageUDP(None, ("::1", 9), b"x", info=PacketInfo(local=local, interface=7, tos=1))
    assert message.reply(b"").info == PacketInfo(local=local, interface=kept)
    assert message.reply(b"", PacketInfo(ttl=5)).info == PacketInfo(local=local, interface=kept, ttl=5)
    assert message.reply(b"", PacketInfo(interface=3)).info == PacketInfo(local=local, interface=3)


# --- sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_marks_of_a_datagram_are_its_own(family: str) -> None:
    host = HERE[family]
    with asking(host) as endpoint, MarkedReceiver(family) as peer:
        infos = [
            None,
            PacketInfo(tos=0xB8),
            PacketInfo(tos=1),
            PacketInfo(ttl=1),
            PacketInfo(ttl=255),
            PacketInfo(tos=3, ttl=5, local=host),
            PacketInfo(),
            None,
        ]
        endpoint.send_many([MessageUDP(None, peer.address, b"x", info=info) for info in infos])
        tos, ttl = peer.usual
        assert [marks[1:] for marks in peer.receive(8)] == [
            (host, tos, ttl),
            (host, 0xB8, ttl),
            (host, 1, ttl),
            (host, tos, 1),
            (host, tos, 255),
            (host, 3, 5),
            (host, tos, ttl),
            (host, tos, ttl),
        ]


BAD = [
    (PacketInfo(local="::1"), "BadOption"),
    (PacketInfo(local="224.0.0.1"), "EINVAL"),
    (5, "BadOption"),
    ("127.0.0.1", "BadOption"),
    ({"tos": 1}, "BadOption"),
    (PacketInfo(interface=2**31 - 1), "ENODEV"),
]


@pytest.mark.parametrize(("info", "error"), BAD, ids=repr)
def test_what_cannot_go_with_a_datagram_is_an_error_of_that_datagram_alone(info: Any, error: str) -> None:
    with asking("127.0.0.1") as endpoint, MarkedReceiver("IPv4") as peer:
        infos = [PacketInfo(tos=1), PacketInfo(tos=1), info, PacketInfo(tos=1), info, None]
        done, failures = endpoint.send_many([MessageUDP(None, peer.address, b"x", info=one) for one in infos])
        assert (done, [index for index, _ in failures]) == (6, [2, 4])
        assert [name_of(failure) for _, failure in failures] == [error] * 2
        assert endpoint.send_queue.errors == {error: 2}
        assert [tos for _, _, tos, _ in peer.receive(4)] == [1, 1, 1, 0]
        with pytest.raises((gen.BadOption, OSError)):
            endpoint.send(MessageUDP(None, peer.address, b"x", info=info), None)


def test_an_address_of_the_other_family_is_refused_by_a_socket_of_ipv6() -> None:
    with asking("::1") as endpoint, MarkedReceiver("IPv6") as peer:
        bad = MessageUDP(None, peer.address, b"x", info=PacketInfo(local="127.0.0.1"))
        with pytest.raises(gen.BadOption, match=r"local='127.0.0.1'.*IPv6"):
            endpoint.send(bad, None)


# --- groups and links ---------------------------------------------------------------------------------------

GROUPS = """ip link set lo up
ip link add near type veth peer name far
ip link set near up
ip link set far up
ip addr add 10.7.0.1/24 dev near brd 10.7.0.255
ip -6 addr add fe80::11/64 dev near nodad
ip -6 addr add fe80::22/64 dev far nodad
sysctl -qw net.ipv4.conf.near.accept_local=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.near.rp_filter=0"""


@needs_namespaces
@pytest.mark.parametrize("group", ["239.1.2.3", "10.7.0.255"])
def test_what_was_sent_to_a_group_tells_the_group_and_an_address_that_an_answer_can_leave_from(group: str) -> None:
    def body() -> None:
        near = socket.if_nametoindex("near")
        with asking(**SHARED) as endpoint, MarkingSender("IPv4") as sender:
            sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            membership = struct.pack("4s4si", socket.inet_aton("239.1.2.3"), bytes(4), near)
            for sock in (endpoint.sock, sender.socket):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            sender.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
            sender.send(b"x", (group, endpoint.local_address[1]))
            (message,) = receive(endpoint, 1)
            assert (message.info.local, message.info.group) == ("10.7.0.1", group)
            assert endpoint.send(message.reply(b"answer"), None) == 6
            assert sender.socket.recvfrom(100) == (b"answer", ("10.7.0.1", endpoint.local_address[1]))

    in_network(GROUPS, body)


@needs_namespaces
def test_what_was_sent_to_a_group_of_ipv6_tells_the_group_and_can_be_answered() -> None:
    def body() -> None:
        near, far = socket.if_nametoindex("near"), socket.if_nametoindex("far")
        with asking("::", **SHARED) as endpoint, on_link("fe80::11", near) as peer:
            membership = struct.pack("16si", socket.inet_pton(socket.AF_INET6, "ff02::1234"), far)
            endpoint.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
            peer.sendto(b"x", ("ff02::1234", endpoint.local_address[1], 0, near))
            (message,) = receive(endpoint, 1)
            assert (message.info.local, message.info.group, message.info.interface) == (None, "ff02::1234", far)
            assert endpoint.send(message.reply(b"answer"), None) == 6
            assert peer.recv(100) == b"answer"

    in_network(GROUPS, body)


@needs_namespaces
def test_an_answer_leaves_from_the_link_local_address_that_was_asked() -> None:
    def body() -> None:
        near, far = socket.if_nametoindex("near"), socket.if_nametoindex("far")
        with asking("::", **SHARED) as endpoint, on_link("fe80::11", near) as peer:
            for host in ("fe80::22", "fe80::33"):
                peer.sendto(b"x", (host, endpoint.local_address[1], 0, near))
                (message,) = receive(endpoint, 1)
                assert (message.info.local, message.info.interface) == (host, far)
                assert endpoint.send(message.reply(b"answer"), None) == 6
                assert peer.recvfrom(100) == (b"answer", (host, endpoint.local_address[1], 0, near))

    in_network(f"{GROUPS}; ip -6 addr add fe80::33/64 dev far nodad", body)


@needs_namespaces
def test_a_datagram_leaves_by_the_interface_that_it_names() -> None:
    def body() -> None:
        near, far = socket.if_nametoindex("near"), socket.if_nametoindex("far")
        with asking() as endpoint, asking(receive_local_address=True) as peer:
            to = ("239.1.2.3", peer.local_address[1])
            for index in (near, far):
                membership = struct.pack("4s4si", socket.inet_aton("239.1.2.3"), bytes(4), index)
                peer.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            endpoint.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            for out, came in ((near, far), (far, near)):
                endpoint.send(MessageUDP(None, to, b"x", info=PacketInfo(interface=out, local="10.7.0.1")), None)
                assert info_of(peer).interface == came

    in_network(f"{GROUPS}\nsysctl -qw net.ipv4.conf.far.accept_local=1 net.ipv4.conf.far.rp_filter=0", body)


def on_link(host: str, index: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.settimeout(DEADLINE)
    sock.bind((host, 0, 0, index))
    return sock


# --- both families on one socket ----------------------------------------------------------------------------


@contextlib.contextmanager
def of_both_families() -> Iterator[Endpoint]:
    """A socket of IPv6 that carries IPv4 too."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setblocking(False)
    request_packet_info(sock, SocketOptions(**ALL))  # type: ignore[arg-type]
    sock.bind(("::", 0))
    endpoint = Endpoint(sock, buffer_size=65535, send_queue=100, info=True)
    try:
        yield endpoint
    finally:
        endpoint.close()


@pytest.mark.parametrize(("family", "host"), [("IPv4", "127.0.0.9"), ("IPv6", "::1")])
def test_a_socket_of_both_families_tells_of_each_in_its_own_words_and_marks_each(family: str, host: str) -> None:
    with of_both_families() as endpoint, MarkedReceiver(family) as peer:
        port = endpoint.local_address[1]
        peer.set(Marks(tos=0xBB, ttl=9))
        peer.socket.sendto(b"x", (host, port))
        (message,) = receive(endpoint, 1)
        info = message.info
        assert (info.local, info.group, info.tos, info.ttl) == (host, None, 0xBB, 9)
        assert info.interface == socket.if_nametoindex("lo")
        assert info.timestamp is not None
        answers = [message.reply(b"%d" % tos, PacketInfo(tos=tos, ttl=7)) for tos in (1, 1, 1, 2, 1)]
        assert endpoint.send_many(answers) == (5, [])
        assert peer.receive(5) == [(b"%d" % tos, host, tos, 7) for tos in (1, 1, 1, 2, 1)]


# --- many ---------------------------------------------------------------------------------------------------

PEERS = 3
HOSTS = {"IPv4": ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.9.9.9"], "IPv6": ["::1"]}
Sent = tuple[int, int, int, dict[str, Any] | None]
"""Peer, length, how many of that kind, and what goes with them."""


def kinds(family: str) -> st.SearchStrategy[list[Sent]]:
    """Often alike, so that many could join."""
    marks = st.fixed_dictionaries(
        {},
        optional={
            "local": st.sampled_from(HOSTS[family]),
            "tos": st.sampled_from([0, 1, 1, 3, 0xB8, 255]),
            "ttl": st.sampled_from([1, 64, 64, 255]),
        },
    )
    lengths = st.sampled_from([0, 1, 100, 100, 100, 101, 1200])
    one = st.tuples(st.integers(0, PEERS - 1), lengths, st.integers(1, 12), st.none() | marks)
    return st.lists(one, min_size=1, max_size=25)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.thorough
@settings(max_examples=examples(50, 600), suppress_health_check=list(HealthCheck))
@given(data=st.data(), shared=st.booleans())
def test_any_mix_of_marks_arrives_as_it_was_sent_and_none_at_another_datagram(
    family: str, data: st.DataObject, shared: bool
) -> None:
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(asking({"IPv4": "0.0.0.0", "IPv6": "::"}[family]))
        peers = [stack.enter_context(MarkedReceiver(family)) for _ in range(PEERS)]
        expected: list[list[tuple[int, str, int, int]]] = [[] for _ in peers]
        messages = []
        for peer, length, count, marks in data.draw(kinds(family)):
            one = None if marks is None else PacketInfo(**marks)
            tos, ttl = peers[peer].usual
            wanted = {"local": HERE[family], "tos": tos, "ttl": ttl, **(marks or {})}
            for _ in range(count):
                info = one if shared or marks is None else PacketInfo(**marks)
                messages.append(MessageUDP(None, peers[peer].address, bytes(length), info=info))
                expected[peer].append((length, wanted["local"], wanted["tos"], wanted["ttl"]))
        assert endpoint.send_many(messages) == (len(messages), [])
        for peer, wanted_there in zip(peers, expected, strict=True):
            got = peer.receive(len(wanted_there))
            assert [(len(content), *marks) for content, *marks in got] == wanted_there


def test_datagrams_of_the_same_marks_go_to_the_kernel_as_one_and_of_others_do_not() -> None:
    with asking() as endpoint, asking(receive_tos=True) as peer:
        to = ("127.0.0.1", peer.local_address[1])
        marks = [1] * 20 + [2] * 10 + [1] * 5
        endpoint.send_many([MessageUDP(None, to, b"%02d" % tos, info=PacketInfo(tos=tos)) for tos in marks])
        assert endpoint.send(MessageUDP(None, to, b"no"), None) == 2
        reads = []
        while batch := peer.receive_batch(64, None):
            reads += [batch.info(start).tos for start in batch._firsts]  # type: ignore[union-attr]
            batch._end()
        joined = endpoint.backend.gso and peer.backend.gro
        assert reads == ([1, 2, 1, 0] if joined else [*marks, 0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.thorough
@settings(max_examples=examples(40, 400), suppress_health_check=list(HealthCheck))
@given(data=st.data(), limits=st.lists(st.integers(1, 50), min_size=1, max_size=5), timed=st.booleans())
def test_any_mix_of_marks_is_told_of_the_datagrams_that_had_them(
    family: str, data: st.DataObject, limits: list[int], timed: bool
) -> None:
    sizes = st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(0, 255), st.integers(1, 255))
    trains = data.draw(st.lists(sizes, min_size=1, max_size=12))
    asks = {**SHARED, "receive_timestamp": timed}
    with asking(HERE[family], **asks) as endpoint, MarkingSender(family) as sender:
        expected = []
        for size, count, tos, ttl in trains:
            sender.send(bytes(size * count), endpoint.local_address, Marks(tos, ttl), segment=size)
            expected += [(size, HERE[family], tos, ttl)] * count
        got: list[MessageUDP] = []
        while len(got) < len(expected):
            some = endpoint.receive(limits[len(got) % len(limits)], 64, None)
            assert some
            got += some
        assert [(len(m.data), m.info.local, m.info.tos, m.info.ttl) for m in got] == expected
        assert all((message.info.timestamp is not None) == timed for message in got)
