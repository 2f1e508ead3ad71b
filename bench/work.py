"""Work for a handler, about 50 microseconds for a packet, of the kind that a DNS server in Python does: takes a query
apart, looks its name up, and composes an answer."""

from __future__ import annotations

import struct

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHHIH4s")
_ZONE = {f"host-{number}.example.org": bytes((192, 0, 2, number)) for number in range(250)}
_NAME = b"".join(bytes((len(label),)) + label for label in (b"Host-42", b"Example", b"ORG")) + b"\0"
_ROUNDS = 36
"""Names that are looked up for a packet: one takes about 1.4 microseconds."""


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode("ascii").lower())
        at += length + 1
    return ".".join(labels), at + 1


def work(data: bytes) -> bytes:
    """Composes answers to a query, and returns `data`: the load compares it with its request."""
    query = _HEADER.pack(1, 0x0100, 1, 0, 0, 0) + _NAME + struct.pack("!HH", 1, 1)
    for _ in range(_ROUNDS):
        ident, flags, questions, *_ = _HEADER.unpack_from(query)
        name, end = _name(query, _HEADER.size)
        address = _ZONE[name]
        answer = _HEADER.pack(ident, flags | 0x8400, questions, 1, 0, 0) + query[_HEADER.size : end + 4]
        answer += _RECORD.pack(0xC00C, 1, 1, 60, 4, address)
    return data
