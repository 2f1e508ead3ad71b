"""What all UDP servers under test have in common."""

from __future__ import annotations

HOST = "127.0.0.1"

RECEIVE_BUFFER = 1 << 20
"""Bytes of the kernel's buffer that every contestant asks for."""


class Counter:
    """Packets that the server's handler has had."""

    packets = 0
