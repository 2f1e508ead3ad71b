"""Reads files in the format pcapng (draft-ietf-opsawg-pcapng), of either byte order; see `blocks` for the layout.

Blocks of other kinds, and options that are not needed, are passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .blocks import MAGIC, OUTBOUND, SECTION
from .classic import Frame
from .source import Source

_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_READ = (_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET)
_COMMENT, _FLAGS, _RESOLUTION, _OFFSET = 1, 2, 9, 14

_MOST_INTERFACES = 10_000
"""Interfaces of a section. More would be memory that a file takes for nothing."""


class _Interface:
    """An interface: how its packets are to be read."""

    __slots__ = ("link_type", "offset", "snap", "units")

    def __init__(self, link_type: int, snap: int) -> None:
        self.link_type = link_type
        self.snap = snap
        self.units = 10**6  # of a second
        self.offset = 0

    def time(self, high: int, low: int) -> int:
        """Returns a time in nanoseconds since 1970."""
        return (high << 32 | low) * 10**9 // self.units + self.offset * 10**9


def frames_untrusted(source: Source) -> Iterator[Frame]:
    """Yields the frames of a file. Raises `BadCapture`, whatever the bytes, and `OSError`."""
    order, interfaces, last = "<", list[_Interface](), 0
    while not source.at_end():
        head = source.take(8, "a block's head")
        if head[:4] == SECTION:
            order = _begin_section(source, head)
            interfaces = []
            continue
        kind, size = struct.unpack(order + "II", head)
        if size < 12 or size % 4:
            raise source.bad(f"a block claims to have {size} bytes; give a multiple of 4, at least 12")
        if kind not in _READ:
            source.skip(size - 12, "a block")
            _end(source, order, size)
            continue
        source.check(size, "a block")
        body = source.take(size - 12, "a block")
        _end(source, order, size)
        if kind == _INTERFACE:
            if len(interfaces) >= _MOST_INTERFACES:
                raise source.bad(f"the section has more than {_MOST_INTERFACES} interfaces")
            interfaces.append(_read_interface(source, order, body))
        else:
            frame = _read_packet(source, order, kind, body, interfaces, last)
            last = frame.at
            yield frame


def _begin_section(source: Source, head: bytes) -> str:
    """Reads the rest of a section's first block. Returns the byte order."""
    magic = source.take(4, "a section's head")
    order = {MAGIC.to_bytes(4, "little"): "<", MAGIC.to_bytes(4, "big"): ">"}.get(magic)
    if order is None:
        raise source.bad("a section has no byte-order magic")
    (size,) = struct.unpack(order + "I", head[4:])
    if size < 28 or size % 4:
        raise source.bad(f"a section's head claims to have {size} bytes; it has a multiple of 4, at least 28")
    source.skip(size - 16, "a section's head")
    _end(source, order, size)
    return order


def _end(source: Source, order: str, size: int) -> None:
    (again,) = struct.unpack(order + "I", source.take(4, "a block"))
    if again != size:
        raise source.bad(f"a block has {size} bytes by its head, and {again} by its end")


def _read_interface(source: Source, order: str, body: bytes) -> _Interface:
    if len(body) < 8:
        raise source.bad("an interface is too short")
    link_type, _, snap = struct.unpack(order + "HHI", body[:8])
    interface = _Interface(link_type, snap)
    for code, value in _options(order, body, 8):
        if code == _RESOLUTION and value:
            interface.units = 2 ** (value[0] & 127) if value[0] & 128 else 10 ** value[0]
        elif code == _OFFSET and len(value) == 8:
            (interface.offset,) = struct.unpack(order + "q", value)
    return interface


def _read_packet(source: Source, order: str, kind: int, body: bytes, interfaces: list[_Interface], last: int) -> Frame:
    number, high, low, captured, at = _packet_head(source, order, kind, body)
    if number >= len(interfaces):
        raise source.bad(f"a packet is of interface {number}, and the section has described {len(interfaces)}")
    interface = interfaces[number]
    if kind == _SIMPLE_PACKET:
        captured = min(captured, interface.snap or captured, len(body) - at)
    if captured > len(body) - at:
        raise source.bad(f"a packet claims to have {captured} bytes, and its block has {len(body) - at}")
    outbound: bool | None = None
    comment = ""
    if kind != _SIMPLE_PACKET:
        for code, value in _options(order, body, at + captured + -captured % 4):
            if code == _COMMENT and not comment:
                comment = value.decode(errors="replace")
            elif code == _FLAGS and len(value) == 4:
                direction = struct.unpack(order + "I", value)[0] & 3
                outbound = direction == OUTBOUND if direction else None
    when = last if kind == _SIMPLE_PACKET else interface.time(high, low)
    return Frame(when, interface.link_type, body[at : at + captured], outbound, comment)


def _packet_head(source: Source, order: str, kind: int, body: bytes) -> tuple[int, int, int, int, int]:
    """Returns interface, time in two halves, captured length, and where the packet begins."""
    try:
        if kind == _SIMPLE_PACKET:
            return 0, 0, 0, *struct.unpack_from(order + "I", body), 4
        if kind == _OLD_PACKET:
            number, _, high, low, captured, _ = struct.unpack_from(order + "HHIIII", body)
        else:
            number, high, low, captured, _ = struct.unpack_from(order + "IIIII", body)
    except struct.error:
        raise source.bad("a packet's block is too short") from None
    return number, high, low, captured, 20


def _options(order: str, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yields the options behind a block's fixed part. Ends at the first that does not fit."""
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        if code == 0 or at + 4 + size > len(body):
            return
        yield code, body[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
