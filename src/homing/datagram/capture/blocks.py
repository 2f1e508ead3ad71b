"""The blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, each a multiple of four bytes:

block    type (4), total length (4), body, total length again (4)
section  body: byte-order magic (4), version 1.0 (2, 2), length of the section, here unknown (8), options
interface  body: link type (2), reserved (2), most bytes of a packet (4), options
packet   body: interface (4), time as two halves (4, 4), captured length (4), original length (4), the packet, options
counters  body: interface (4), time as two halves (4, 4), options
option   code (2), length (2), value, filled up to a multiple of four; the last one has code and length 0
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

SECTION = b"\x0a\x0d\x0d\x0a"
MAGIC = 0x1A2B3C4D
_SECTION, _INTERFACE, _PACKET, _COUNTERS = 0x0A0D0D0A, 1, 6, 5

LINK_TYPE_RAW = 101
"""The packet begins with the header of IPv4 or IPv6."""

INBOUND, OUTBOUND = 1, 2
"""The directions, as the option epb_flags has them."""

AFTER_WAITING = ", after it had waited"
"""The end of the comment of a datagram that was dropped after it had waited: its arrival is a packet of its own."""

_COMMENT, _HARDWARE, _SYSTEM, _PROGRAM = 1, 2, 3, 4
_NAME, _DESCRIPTION, _RESOLUTION = 2, 3, 9
_FLAGS, _DROPS = 2, 4
_RECEIVED, _SYSTEM_DROPS = 4, 7

_HEAD = struct.Struct("<II")
_PACKET_HEAD = struct.Struct("<IIIIIII")
_NANOSECONDS = b"\x09"


def section(program: str, system: str, comment: str) -> bytes:
    """Returns the head of a section: blocks behind it belong together."""
    body = struct.pack("<IHHq", MAGIC, 1, 0, -1)
    told = [(_COMMENT, comment.encode()), (_SYSTEM, system.encode()), (_PROGRAM, program.encode())]
    return _block(_SECTION, body + _options(told))


def interface(name: str, description: str) -> bytes:
    """Returns the description of an interface: of a socket. Times are in nanoseconds."""
    body = struct.pack("<HHI", LINK_TYPE_RAW, 0, 0)
    told = [(_NAME, name.encode()), (_DESCRIPTION, description.encode()), (_RESOLUTION, _NANOSECONDS)]
    return _block(_INTERFACE, body + _options(told))


def packet(number: int, at: int, data: bytes, length: int, direction: int, comment: str, missed: int) -> bytes:
    """Returns a packet.

    number: of the interface. at: nanoseconds since 1970. length: what the packet had before it was cut.
    missed: packets lost between the last one and this one.
    """
    told: list[tuple[int, bytes]] = [(_COMMENT, comment.encode())]
    told.append((_FLAGS, direction.to_bytes(4, "little")))
    if missed:
        told.append((_DROPS, missed.to_bytes(8, "little")))
    at = max(0, at)
    tail = _padding(data) + _options(told)
    size = 32 + len(data) + len(tail)
    head = _PACKET_HEAD.pack(_PACKET, size, number, at >> 32 & 0xFFFFFFFF, at & 0xFFFFFFFF, len(data), length)
    return b"".join((head, data, tail, size.to_bytes(4, "little")))


def counters(number: int, at: int, received: int, drops: int | None) -> bytes:
    """Returns the counters of an interface: datagrams recorded, and those that the kernel has dropped."""
    body = struct.pack("<III", number, at >> 32 & 0xFFFFFFFF, at & 0xFFFFFFFF)
    told = [(_RECEIVED, received.to_bytes(8, "little"))]
    if drops is not None:
        told.append((_SYSTEM_DROPS, drops.to_bytes(8, "little")))
    return _block(_COUNTERS, body + _options(told))


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return _HEAD.pack(kind, size) + body + size.to_bytes(4, "little")


def _options(told: Iterable[tuple[int, bytes]]) -> bytes:
    parts = []
    for code, value in told:
        value = value[:65535]
        parts.append(struct.pack("<HH", code, len(value)) + value + _padding(value))
    return b"".join(parts) + bytes(4)


def _padding(data: bytes) -> bytes:
    return bytes(-len(data) % 4)
