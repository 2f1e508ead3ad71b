"""The common parts of all UDP servers under test."""

from __future__ import annotations

HOST = "127.0.0.1"

RECEIVE_BUFFER = 1 << 20
"""Bytes of the receive buffer that every contestant asks the kernel for."""


class Counter:
    """The packets that the server's handler has received.

    packets: their number. total: the sum of the numbers in the packets, if the handler adds them up.
    """

    packets = 0
    total = 0
