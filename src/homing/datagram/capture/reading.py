"""Reads the datagrams of a capture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ..address import Address
from ..errors import BadCapture
from . import classic, modern
from .blocks import AFTER_WAITING, SECTION
from .frames import KNOWN, NotUDP, datagram_untrusted
from .source import Source


class Captured(NamedTuple):
    """A datagram of a capture.

    at: when it was captured, in nanoseconds since 1970.
    source, destination: (host, port).
    data: the payload.
    outgoing: True if the machine that captured it had sent it; False if it came, or the capture does not say.
    comment: of the packet, "" if it has none: a `Tap` says there what became of the datagram.
    """

    at: int
    source: Address
    destination: Address
    data: bytes
    outgoing: bool
    comment: str


_MOST_SERVED = 10_000
"""Addresses that are remembered. A capture of more is that of a scan."""


class Arrivals:
    """Tells requests from answers. An answer is a datagram that the capturing machine has sent, if the capture says so;
    or one from an address to which an earlier datagram of the capture went."""

    def __init__(self) -> None:
        self._served: set[Address] = set()

    def sort(self, one: Captured) -> str:
        """Returns "" for a request; otherwise "answer", or "twice": a tap records a datagram again if it was dropped
        after it had waited."""
        if one.comment.endswith(AFTER_WAITING):
            return "twice"
        if one.outgoing or one.source in self._served:
            return "answer"
        if len(self._served) < _MOST_SERVED:
            self._served.add(one.destination)
        return ""


class Capture:
    """The UDP datagrams of a file in the format pcap or pcapng, of either byte order, with times in any resolution;
    of Ethernet (also with VLAN tags), raw IP, Linux cooked (v1 and v2) and loopback. Iterate over it; each iteration
    reads the file from its begin. One packet at a time is in memory.

    path: of the file.
    skipped: packets that the last iteration has passed over, by cause: "not_udp"; "fragment" (of IP); "cut" (the
        capture has not the whole datagram).

    Iterating raises `BadCapture`, with the offset, where the file ends in the middle of a packet or contradicts itself,
    after all datagrams before that were yielded; and `OSError`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.skipped: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Capture({self.path!r})"

    def __iter__(self) -> Iterator[Captured]:
        with open(self.path, "rb") as file:
            yield from self.read_untrusted(file)

    def read_untrusted(self, file: BinaryIO) -> Iterator[Captured]:
        """Yields the datagrams of an open file. Raises only `BadCapture`, whatever the bytes, and `OSError`."""
        self.skipped = {}
        source = Source(self.path, file)
        magic = file.read(4)
        file.seek(0)
        if magic != SECTION and magic not in classic.MAGICS:
            raise BadCapture(self.path, 0, "the file is no capture in the format pcap or pcapng")
        frames = modern.frames_untrusted(source) if magic == SECTION else classic.frames_untrusted(source)
        for frame in frames:
            if frame.link_type not in KNOWN:
                raise source.bad(f"the link type {frame.link_type} is not read; known are {sorted(KNOWN)}")
            try:
                one = datagram_untrusted(frame.link_type, frame.data)
            except NotUDP as error:
                self.skipped[error.why] = self.skipped.get(error.why, 0) + 1
                continue
            outgoing = one.outgoing if frame.outbound is None else frame.outbound
            yield Captured(frame.at, one.source, one.destination, one.data, outgoing, frame.comment)
