"""What the tests of packet infos share: endpoints that ask for them, and sockets of plain Python that mark what
they send and tell how what they receive is marked."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from homing.datagram import Endpoint, MessageUDP, PacketInfo, SocketOptions, bind, wants_packet_info

from ...support import DEADLINE

FAMILIES = ["IPv4", "IPv6"]
HERE = {"IPv4": "127.0.0.1", "IPv6": "::1"}
ALL = {
    "receive_local_address": True,
    "receive_tos": True,
    "receive_ttl": True,
    "receive_timestamp": True,
}
SHARED = {**ALL, "receive_timestamp": False}
_INTEGER = struct.Struct("i")
SOL_UDP, UDP_SEGMENT = 17, 103
IP_RECVTTL, IP_RECVTOS = 12, 13  # linux/include/uapi/linux/in.h


@contextlib.contextmanager
def asking(host: str = "0.0.0.0", **asks: bool) -> Iterator[Endpoint]:
    """An endpoint that asks for these, bound to every address of the family of `host` unless told otherwise."""
    options = SocketOptions(receive_buffer=1 << 20, **asks)  # type: ignore[arg-type]
    endpoint = Endpoint(bind(host, 0, options), buffer_size=65535, send_queue=100, info=wants_packet_info(options))
    try:
        yield endpoint
    finally:
        endpoint.close()


def receive(endpoint: Endpoint, count: int) -> list[MessageUDP]:
    """So many datagrams that have been sent; one that goes over a link may arrive a moment later."""
    messages: list[MessageUDP] = []
    while len(messages) < count:
        got = endpoint.receive(count, 64, None)
        assert got or select.select([endpoint.sock], [], [], DEADLINE)[0]
        messages += got
    return messages


def info_of(endpoint: Endpoint) -> PacketInfo:
    """What came with the one datagram that is there."""
    (message,) = receive(endpoint, 1)
    assert type(message.info) is PacketInfo
    return message.info


@dataclass(frozen=True)
class Marks:
    """None: as the socket has it."""

    tos: int | None = None
    ttl: int | None = None


class _Marked:
    def __init__(self, family: str) -> None:
        six = family == "IPv6"
        self.socket = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        self.tos = socket.IPV6_TCLASS if six else socket.IP_TOS
        self.ttl = socket.IPV6_HOPLIMIT if six else socket.IP_TTL
        self.socket_ttl = socket.IPV6_UNICAST_HOPS if six else socket.IP_TTL
        self.asks = (socket.IPV6_RECVTCLASS, socket.IPV6_RECVHOPLIMIT) if six else (IP_RECVTOS, IP_RECVTTL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def usual(self) -> tuple[int, int]:
        """TOS and TTL of whatever a socket of this family sends unless it is told otherwise."""
        return 0, self.socket.getsockopt(self.level, self.socket_ttl)

    def set(self, marks: Marks) -> None:
        """Marks all that it sends from now on."""
        for option, value in ((self.tos, marks.tos), (self.socket_ttl, marks.ttl)):
            if value is not None:
                self.socket.setsockopt(self.level, option, value)


class MarkingSender(_Marked):
    """Marks each datagram."""

    def send(self, data: bytes, to: tuple[Any, ...], marks: Marks = Marks(), segment: int = 0) -> None:
        """Sends `data`, as a train of datagrams of `segment` octets if that is not 0."""
        control = [
            (self.level, option, _INTEGER.pack(value))
            for option, value in ((self.tos, marks.tos), (self.ttl, marks.ttl))
            if value is not None
        ]
        if segment:
            control.append((SOL_UDP, UDP_SEGMENT, struct.pack("H", segment)))
        self.socket.sendmsg([data], control, 0, to)


class MarkedReceiver(_Marked):
    """Tells the marks of each datagram. It lets the kernel join none."""

    def __init__(self, family: str) -> None:
        super().__init__(family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for option in self.asks:
            self.socket.setsockopt(self.level, option, 1)
        self.socket.bind((HERE[family], 0))
        self.address: tuple[Any, ...] = self.socket.getsockname()

    def receive(self, count: int) -> list[tuple[bytes, str, int, int]]:
        """The next datagrams: payload, the host each came from, TOS, TTL."""
        return [self._receive() for _ in range(count)]

    def _receive(self) -> tuple[bytes, str, int, int]:
        data, control, _, source = self.socket.recvmsg(65536, 256)
        told = {kind: value for level, kind, value in control if level == self.level}
        tos, ttl = told[self.tos], told[self.ttl]
        return data, source[0], tos[0], _INTEGER.unpack(ttl)[0]
