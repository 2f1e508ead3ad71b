"""A numbered part of a message, and how GELF writes it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Chunk(NamedTuple):
    """A part of a message that was too large for one datagram.

    id: names the message among those of its source: `bytes`, `str`, an `int` of 64 bits, or a tuple of these;
        1024 bytes at most, where a character of a text counts as 4.
        An id must not be used for another message within `timeout` (RFC 4963 shows how messages get mixed otherwise).
    number: the place of this chunk, from 0 to `total - 1`. Subtract 1 if the protocol counts from 1.
    total: the number of the message's chunks.
    payload: the bytes of this chunk, without its header.
    """

    id: bytes | str | int | tuple[Any, ...]
    number: int
    total: int
    payload: bytes | bytearray | memoryview


_MAGIC = b"\x1e\x0f"
_HEADER = 12
_MOST = 128


def gelf_chunk(data: bytes | memoryview, addr: Any = None) -> Chunk | None:
    """Reads a chunk of GELF, the log format of Graylog: the `parse` of an `Assembler`.

    The header is 2 magic bytes (1e 0f), 8 bytes of id, the number, and the total, which is 128 at most. The message is
    often compressed: see `Assembler(decompress="auto")`.

    data: the payload of a datagram. addr: its source, which is not looked at.
    Returns the chunk, or None if the datagram is a whole message. Raises `ValueError` if the header is cut off or the
    total is above 128.
    """
    if data[:2] != _MAGIC:
        return None
    if len(data) < _HEADER or data[11] > _MOST:
        raise ValueError("not a chunk of GELF")
    return Chunk(bytes(data[2:10]), data[10], data[11], bytes(data[_HEADER:]))
