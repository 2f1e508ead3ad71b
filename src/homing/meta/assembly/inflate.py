"""Decompresses up to a limit."""

from __future__ import annotations

import zlib
from typing import Literal

from ...gen.options import MOST

Form = Literal["auto", "gzip", "zlib", "raw"]
"""See `Assembler.decompress`."""

MOST_OUTPUT = MOST - 1

_WINDOW_BITS = {"gzip": 31, "zlib": 15, "raw": -15}


class Bomb(Exception):
    """The message is longer than allowed."""


def inflate(data: bytes, form: Form, most: int) -> bytes:
    """Returns the decompressed message; with "auto", `data` itself unless it begins as gzip or zlib do.

    Raises `Bomb` if it is longer than `most` bytes: one byte more is decompressed, and no further one. Raises
    `ValueError` unless `data` is exactly one whole stream: a second one (RFC 1952 allows it) would be a way to make a
    datagram cost more time than `most` allows.
    """
    if form == "auto":
        found = _form_of(data)
        if found is None:
            return data
        form = found
    stream = zlib.decompressobj(_WINDOW_BITS[form])
    try:
        message = stream.decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(message) > most:
        raise Bomb
    if not stream.eof or stream.unused_data:
        raise ValueError("cut off, or followed by other bytes")
    return message


def _form_of(data: bytes) -> Form | None:
    """Returns "gzip" (RFC 1952) or "zlib" (RFC 1950 section 2.2) if the first two bytes are theirs."""
    if data[:2] == b"\x1f\x8b":
        return "gzip"
    if len(data) >= 2 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0:
        return "zlib"
    return None
