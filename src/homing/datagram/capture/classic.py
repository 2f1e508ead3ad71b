"""Reads files in the format pcap (draft-ietf-opsawg-pcap), of either byte order:

file    magic 0xA1B2C3D4, or 0xA1B23C4D for nanoseconds (4 bytes), version (2, 2), reserved (4, 4), most bytes of a
        packet (4), link type (4)
packet  seconds (4), fraction (4), captured length (4), original length (4), the packet
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from .source import Source

_HEAD = 24
_PACKET_HEAD = 16

MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""The first bytes of a file: their byte order, and the nanoseconds of a unit of the fraction."""


class Frame(NamedTuple):
    """A captured frame. at: nanoseconds since 1970. outbound: None if the file does not say the direction."""

    at: int
    link_type: int
    data: bytes
    outbound: bool | None
    comment: str


def frames_untrusted(source: Source) -> Iterator[Frame]:
    """Yields the frames of a file. Raises `BadCapture`, whatever the bytes, and `OSError`."""
    head = source.take(_HEAD, "the head of the file")
    order, unit = MAGICS[head[:4]]
    link_type = struct.unpack(order + "I", head[20:24])[0] & 0xFFFF
    packet = struct.Struct(order + "IIII")
    while not source.at_end():
        seconds, fraction, captured, _ = packet.unpack(source.take(_PACKET_HEAD, "a packet's head"))
        source.check(captured, "a packet")
        yield Frame(seconds * 10**9 + fraction * unit, link_type, source.take(captured, "a packet"), None, "")
