"""What all UDP servers under test have in common."""

from __future__ import annotations

HOST = "127.0.0.1"

RECEIVE_BUFFER = 1 << 20
"""Bytes of the kernel's buffer that every contestant asks for."""


class Counter:
    """What the server's handler has had.

    packets: their number. total: the sum of the numbers that they carry, if the handler adds them up.
    """

    packets = 0
    total = 0
