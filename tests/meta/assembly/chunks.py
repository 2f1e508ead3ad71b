"""Chunks as tests write them, and the account of an assembler."""

from __future__ import annotations

from typing import Any

from homing import meta

ONE, OTHER = ("192.0.2.1", 9), ("192.0.2.2", 9)


def written(identifier: int, number: int, total: int, payload: bytes) -> bytes:
    """A chunk: a byte of id, two bytes of number and two of total, and its part of the message."""
    return b"C%c" % identifier + number.to_bytes(2, "big") + total.to_bytes(2, "big") + payload


def read(data: bytes, addr: Any) -> meta.Chunk | None:
    """Reads what `written` wrote; anything that does not begin with "C" is a whole message."""
    if data[:1] != b"C":
        return None
    return meta.Chunk(data[1], int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big"), bytes(data[6:]))


def assembler(**options: Any) -> meta.Assembler:
    return meta.Assembler(**{"parse": read, "most_chunks": 1000, **options})


def check_account(counters: meta.AssemblerCounters) -> None:
    """Each datagram and each message is in exactly one counter."""
    c = counters
    assert c.datagrams == c.whole + c.chunks + c.duplicates + c.refused + c.out_of_range + c.malformed
    ended = c.completed + c.expired + c.dropped_source + c.dropped_full + c.conflicting + c.oversized
    assert c.opened == ended + c.open
    assert c.bombs + c.undecodable <= c.whole + c.completed
    if not c.open + c.spoiled:
        assert c.sources == 0
