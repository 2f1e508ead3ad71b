"""What the tests of the datagram path share: endpoints, sockets that show how the kernel got their datagrams, and the
list model's means: payloads that tell which datagram they are."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest

from homing.datagram import Endpoint, MessageUDP, SocketOptions, bind, why_portable

from ..support import DEADLINE

SOL_UDP = 17
UDP_SEGMENT = 103
UDP_GRO = 104
UDPLITE = 136
SO_NO_CHECK, SO_RCVBUFFORCE = 11, 33  # asm-generic/socket.h
HOSTS = ["127.0.0.1", "::1"]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="UDP_SEGMENT and UDP_GRO are Linux's")


@contextlib.contextmanager
def opened(
    host: str = "127.0.0.1", *, buffer_size: int = 65535, send_queue: int = 1000, **options: Any
) -> Iterator[Endpoint]:
    """An endpoint on `host` with a large receive buffer, closed afterwards."""
    sock = bind(host, 0, SocketOptions(receive_buffer=1 << 20))
    endpoint = Endpoint(sock, buffer_size=buffer_size, send_queue=send_queue, **options)
    try:
        yield endpoint
    finally:
        endpoint.close()


def payload_of(number: int, size: int) -> bytes:
    """`size` octets that differ from those of other numbers, as far as so few can."""
    seed = number.to_bytes(4, "big") + bytes((number * 37 + position * 11) % 251 for position in range(60))
    return (seed * (size // len(seed) + 1))[:size]


def joins(endpoint: Endpoint) -> bool:
    """Whether this endpoint gives the kernel runs as one. False for the portable backend."""
    return endpoint.backend.gso


@dataclass(frozen=True)
class Train:
    """What one read brought: the datagrams in it."""

    datagrams: tuple[bytes, ...]
    source: tuple[Any, ...]

    @property
    def joined(self) -> bool:
        return len(self.datagrams) > 1


class Receiver:
    """A socket that sees how datagrams were given to the kernel: on the loopback runs come out
    joined, as they went in."""

    def __init__(self, host: str = "127.0.0.1", protocol: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM, protocol)
        self.socket.settimeout(DEADLINE)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)  # root may have more than the limit
        with contextlib.suppress(OSError):
            self.socket.setsockopt(SOL_UDP, UDP_GRO, 1)
        self.socket.bind((host, 0))
        self.address: tuple[Any, ...] = self.socket.getsockname()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def receive(self) -> Train:
        """The next read."""
        data, ancillary, _, source = self.socket.recvmsg(65536, 256)
        size = len(data)
        for level, kind, value in ancillary:
            if (level, kind) == (SOL_UDP, UDP_GRO):
                size = struct.unpack("i", value[:4])[0]
        if len(data) <= size:
            return Train((data,), source)
        return Train(tuple(data[start : start + size] for start in range(0, len(data), size)), source)

    def trains_until(self, last: bytes) -> list[Train]:
        """All reads before the one that ends with the datagram `last`, and that one without it."""
        trains = []
        while (train := self.receive()).datagrams[-1] != last:
            trains.append(train)
        rest = Train(train.datagrams[:-1], train.source)
        return [*trains, rest] if rest.datagrams else trains


def datagrams_of(trains: list[Train]) -> list[bytes]:
    """All datagrams of these reads, in order."""
    return [datagram for train in trains for datagram in train.datagrams]


LAST = b"this is the last datagram"


def received(endpoint: Endpoint, receiver: Receiver) -> list[Train]:
    """All that `receiver` has got from `endpoint` until now: a last datagram, sent after it, shows that it is all."""
    endpoint.backend.send(MessageUDP(None, receiver.address, LAST))
    return receiver.trains_until(LAST)


class Sender:
    """A socket that can send trains."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.address: tuple[Any, ...] = self.socket.getsockname()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, to: tuple[Any, ...], segment: int = 0) -> None:
        """Sends `data` as datagrams of `segment` octets, the last one shorter; 0: as one."""
        if segment and len(data) > segment:
            self.socket.sendmsg([data], [(SOL_UDP, UDP_SEGMENT, struct.pack("H", segment))], 0, to)
        else:
            self.socket.sendto(data, to)


def name_of(error: Exception) -> str:
    """As the counter of send errors names it."""
    number = getattr(error, "errno", None)
    return errno.errorcode[number] if number else type(error).__name__


def sends_runs() -> bool:
    """Whether this system's kernel takes runs from the native backend."""
    return sys.platform == "linux" and not why_portable()
