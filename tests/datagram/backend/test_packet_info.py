"""What came with a packet is told where it is asked for; what is to go with one goes with that one."""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import Any

import pytest

from homing import gen
from homing.datagram import Endpoint, PacketInfo, SocketOptions, bind
from homing.datagram.backend import ancillary
from homing.datagram.sockets import packet_info

from ...support import DEADLINE
from ..traffic import linux_only
from .marks import ALL, FAMILIES, HERE, SHARED, MarkingSender, Marks, asking, info_of, receive

pytestmark = [
    pytest.mark.backends,
    linux_only,
]
SO_RXQ_OVFL = 40
SO_TIMESTAMPING = 37


# --- received -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_told_where_nothing_was_asked_for(family: str) -> None:
    with asking(HERE[family]) as endpoint, MarkingSender(family) as sender:
        sender.send(b"x", endpoint.local_address, Marks(tos=3, ttl=9))
        assert receive(endpoint, 1)[0].info is None
        sender.send(b"x", endpoint.local_address)
        batch = endpoint.receive_batch(64, None)
        assert batch is not None
        assert (batch.info(0), batch[0].info) == (None, None)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("receive_local_address", {"local", "interface"}),
        ("receive_tos", {"tos", "dscp", "ecn"}),
        ("receive_ttl", {"ttl"}),
        ("receive_timestamp", {"timestamp"}),
    ],
)
def test_each_option_tells_its_own_and_nothing_else(family: str, option: str, told: set[str]) -> None:
    with asking(HERE[family], **{option: True}) as endpoint, MarkingSender(family) as sender:
        sender.send(b"x", endpoint.local_address, Marks(tos=7, ttl=9))
        info = info_of(endpoint)
        names = [name for name in dir(PacketInfo) if not name.startswith("_")]
        assert {name for name in names if getattr(info, name)} == told


@pytest.mark.parametrize("family", FAMILIES)
def test_all_of_it_is_told_as_it_was_sent(family: str) -> None:
    host = HERE[family]
    with asking(host, **ALL) as endpoint, MarkingSender(family) as sender:
        before = time.time_ns()
        sender.send(b"x", endpoint.local_address, Marks(tos=0xBB, ttl=9))
        info = info_of(endpoint)
        assert (info.local, info.interface, info.group) == (host, socket.if_nametoindex("lo"), None)
        assert (info.tos, info.dscp, info.ecn, info.ttl) == (0xBB, 46, 3, 9)
        assert info.timestamp is not None
        assert before <= info.timestamp <= time.time_ns()


@pytest.mark.parametrize("tos", [0, 1, 2, 3, 255])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_mark_of_congestion_is_read(family: str, tos: int) -> None:
    with asking(HERE[family], receive_tos=True) as endpoint, MarkingSender(family) as sender:
        level, option = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if family == "IPv6" else (0, socket.IP_TOS)
        sender.socket.setsockopt(level, option, tos)
        sender.send(b"x", endpoint.local_address)
        info = info_of(endpoint)
        assert (info.tos, info.ecn, info.dscp) == (tos, tos & 3, tos >> 2)


def test_times_of_receiving_are_in_order_and_between_sending_and_reading() -> None:
    with asking(**ALL) as endpoint, MarkingSender("IPv4") as sender:
        until_the_kernel_keeps_times(endpoint, sender, ("127.0.0.1", endpoint.local_address[1]))
        before = time.time_ns()
        for _ in range(50):
            sender.send(b"x", ("127.0.0.1", endpoint.local_address[1]))
        after = time.time_ns()
        times = [message.info.timestamp for message in receive(endpoint, 50)]
        assert times == sorted(times)
        assert before <= times[0] <= times[-1] <= after
        assert times[0] < times[-1]


def until_the_kernel_keeps_times(endpoint: Endpoint, sender: MarkingSender, address: tuple[Any, ...]) -> None:
    """The kernel begins to keep the time a moment after it was asked to; until then it is that of reading."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        sender.send(b"x", address)
        after = time.time_ns()
        timestamp = info_of(endpoint).timestamp
        assert timestamp is not None
        if timestamp < after:
            return
    raise AssertionError("the kernel keeps no time of receiving")


# --- how it is shared ---------------------------------------------------------------------------------------


def test_datagrams_of_which_the_same_is_told_share_it(backend: str) -> None:
    with asking(**SHARED) as endpoint, MarkingSender("IPv4") as sender:
        port = endpoint.local_address[1]
        for host, tos in (("127.0.0.1", 0), ("127.0.0.1", 0), ("127.0.0.2", 0), ("127.0.0.2", 4), ("127.0.0.1", 0)):
            sender.send(b"x", (host, port), Marks(tos=tos))
        infos = [message.info for message in receive(endpoint, 5)]
        assert [(info.local, info.tos) for info in infos] == [
            ("127.0.0.1", 0),
            ("127.0.0.1", 0),
            ("127.0.0.2", 0),
            ("127.0.0.2", 4),
            ("127.0.0.1", 0),
        ]
        assert infos[0] == infos[1] == infos[4]
        assert len(set(infos)) == 3
        assert (infos[0] is infos[1]) == (backend == "native")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_datagrams_of_a_train_each_have_what_came_with_it(family: str, backend: str) -> None:
    with asking(HERE[family], **ALL) as endpoint, MarkingSender(family) as sender:
        until_the_kernel_keeps_times(endpoint, sender, endpoint.local_address)
        sender.send(b"".join(b"%03d" % number for number in range(40)), endpoint.local_address, Marks(6, 8), segment=3)
        sender.send(b"last", endpoint.local_address, Marks(1, 2))
        messages = receive(endpoint, 7)
        assert endpoint.backend.waiting == (34 if backend == "native" else 0)
        messages += receive(endpoint, 34)
        assert [message.data for message in messages] == [*(b"%03d" % number for number in range(40)), b"last"]
        assert [(m.info.local, m.info.tos, m.info.ttl) for m in messages] == [(HERE[family], 6, 8)] * 40 + [
            (HERE[family], 1, 2)
        ]
        assert len({message.info.timestamp for message in messages[:40]}) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_tells_of_each_of_its_datagrams_also_when_detached(family: str) -> None:
    with asking(HERE[family], **ALL) as endpoint, MarkingSender(family) as sender:
        sender.send(b"abcdef", endpoint.local_address, Marks(tos=1), segment=2)
        sender.send(b"x", endpoint.local_address, Marks(tos=2))
        batch = endpoint.receive_batch(64, "me")
        assert batch is not None
        copy = batch.detach()
        for one in (batch, copy):
            assert [one.info(index).tos for index in range(4)] == [1, 1, 1, 2]  # type: ignore[union-attr]
            assert [message.info for message in one] == [one.info(index) for index in range(-4, 0)]
            assert one[1].reply(b"").info == PacketInfo(local=HERE[family])
            with pytest.raises(IndexError):
                one.info(4)
        batch._end()
        with pytest.raises(gen.BatchEnded):
            batch.info(0)
        assert copy.info(3).tos == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("family", FAMILIES)
def test_datagrams_in_buffers_of_a_pool_have_it_too(family: str) -> None:
    with asking(HERE[family], **SHARED) as endpoint, MarkingSender(family) as sender:
        for tos in range(5):
            sender.send(b"x" * (tos * 30), endpoint.local_address, Marks(tos=tos, ttl=9))
        got: list[Any] = []
        while len(got) < 5:
            got += endpoint.receive_pooled(64, lambda: bytearray(100), lambda buffer: None)
        interface = socket.if_nametoindex("lo")
        assert [(length, cut, info) for _, length, _, cut, info in got] == [
            (min(100, tos * 30), tos == 4, PacketInfo(local=HERE[family], interface=interface, tos=tos, ttl=9))
            for tos in range(5)
        ]


# --- what the kernel tells beside that ----------------------------------------------------------------------


def test_what_others_have_asked_the_kernel_to_tell_is_passed_over() -> None:
    with asking(**ALL) as endpoint, MarkingSender("IPv4") as sender:
        for level, option, value in (
            (socket.SOL_SOCKET, SO_RXQ_OVFL, 1),
            (socket.IPPROTO_IP, 25, 1),  # IP_RECVFRAGSIZE
            (socket.IPPROTO_IP, 20, 1),  # IP_ORIGDSTADDR
            (socket.IPPROTO_IP, 6, 1),  # IP_RECVOPTS
        ):
            endpoint.sock.setsockopt(level, option, value)
        for number in range(3):
            sender.send(b"%d" % number, ("127.0.0.1", endpoint.local_address[1]), Marks(tos=number, ttl=5))
        messages = receive(endpoint, 3)
        assert [(m.data, m.info.local, m.info.tos, m.info.ttl) for m in messages] == [
            (b"%d" % number, "127.0.0.1", number, 5) for number in range(3)
        ]


def test_more_than_there_is_room_for_takes_nothing_from_the_datagrams() -> None:
    """The kernel cuts the last of its messages short, and leaves the others out (MSG_CTRUNC)."""
    with asking(**ALL) as endpoint, MarkingSender("IPv4") as sender:
        sock = endpoint.sock
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, 0b1011000)  # software, raw: 64 octets more
        sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        for option in (6, 7, 20, 25):
            sock.setsockopt(socket.IPPROTO_IP, option, 1)
        sender.socket.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([7, 39, 4, *bytes(36), 0]))  # RR
        for number in range(5):
            sender.send(b"%d" % number, ("127.0.0.1", endpoint.local_address[1]))
        assert sock.recvmsg(100, ancillary.ROOM, socket.MSG_PEEK)[2] & socket.MSG_CTRUNC
        messages = receive(endpoint, 5)
        assert [message.data for message in messages] == [b"%d" % number for number in range(5)]
        assert all(message.info.timestamp for message in messages)


@pytest.mark.once
@pytest.mark.parametrize("cut", range(13))
def test_a_control_message_that_was_cut_short_is_passed_over(cut: int) -> None:
    """As the portable backend reads it."""
    whole = struct.pack("i4s4s", 3, socket.inet_aton("192.0.2.1"), socket.inet_aton("192.0.2.1"))
    info = ancillary.read_control(
        [(0, ancillary.IP_PKTINFO, whole[:cut]), (0, ancillary.IP_TTL, b"\5\0\0\0"), (9, 9, b"")]
    )
    assert info == (PacketInfo(local="192.0.2.1", interface=3, ttl=5) if cut == 12 else PacketInfo(ttl=5))


# --- the record ---------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("local", "localhost"),
        ("local", "127.0.0.1:53"),
        ("local", "fe80::1%lo"),
        ("local", "1.2.3"),
        ("local", ""),
        ("local", "127.0.0.1\0"),
        ("local", 5),
        ("local", ("127.0.0.1", 53)),
        ("group", "all"),
        ("interface", "lo"),
        ("interface", -1),
        ("interface", 2**31),
        ("interface", None),
        ("tos", -1),
        ("tos", 256),
        ("tos", True),
        ("tos", 1.0),
        ("ttl", 0),
        ("ttl", 256),
        ("ttl", "64"),
        ("timestamp", -1),
        ("timestamp", 2**63),
        ("timestamp", 1.5),
    ],
)
def test_what_cannot_be_is_refused_by_an_error_that_names_it(field: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        PacketInfo(**{field: value})
    assert caught.value.option == field


@pytest.mark.once
def test_a_record_says_what_it_holds_equals_its_like_and_cannot_be_changed() -> None:
    info = PacketInfo(local="192.0.2.1", interface=2, tos=0xBB, ttl=64, timestamp=5)
    assert repr(info) == "PacketInfo(local='192.0.2.1', interface=2, tos=187, ttl=64, timestamp=5)"
    assert info == PacketInfo(local="192.0.2.1", interface=2, tos=0xBB, ttl=64, timestamp=5)
    assert len({info, PacketInfo(local="192.0.2.1", interface=2, tos=0xBB, ttl=64, timestamp=5), PacketInfo()}) == 2
    assert info != PacketInfo(local="192.0.2.1", interface=2, tos=0xBB, ttl=64, timestamp=6)
    assert info != "192.0.2.1"
    with pytest.raises(TypeError):
        PacketInfo("192.0.2.1")  # type: ignore[misc]
    for name in ("local", "interface", "group", "tos", "dscp", "ecn", "ttl", "timestamp"):
        with pytest.raises(AttributeError):
            setattr(info, name, None)


@pytest.mark.once
def test_what_is_unknown_is_none() -> None:
    info = PacketInfo()
    assert (info.local, info.interface, info.group, info.timestamp) == (None, 0, None, None)
    assert (info.tos, info.dscp, info.ecn, info.ttl) == (None, None, None, None)


# --- elsewhere ----------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("option", sorted(ALL))
def test_another_system_says_that_it_is_linux_only(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    with pytest.raises(gen.BadOption, match=f"{option}=True: .*Linux only"):
        bind("127.0.0.1", 0, SocketOptions(**{option: True}))  # type: ignore[arg-type]
    with pytest.raises(gen.BadOption, match="Linux only"):
        ancillary.write_control(PacketInfo(ttl=3), ("127.0.0.1", 9))
    bind("127.0.0.1", 0, SocketOptions()).close()


@pytest.mark.once
def test_a_socket_that_does_not_tell_is_refused_by_name() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        packet_info.request_packet_info(sock, SocketOptions(receive_timestamp=True))
        with pytest.raises(gen.BadOption, match="receive_ttl"):
            packet_info.request_packet_info(sock, SocketOptions(receive_ttl=True))


@pytest.mark.once
@pytest.mark.parametrize("option", sorted(ALL))
def test_an_option_that_the_system_refuses_is_named(option: str) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.close()
    with pytest.raises(gen.BadOption, match=f"{option}=True: the system refuses it"):
        packet_info._set(sock, option, 0, 0)
