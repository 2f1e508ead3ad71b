"""Sockets for the tests of the selector, and a loop that stops when a test is over."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_selector = pytest.mark.skipif(
    importlib.util.find_spec("homing.node.loop.selector") is None,
    reason="needs the extensions, which are not built here",
)
DEADLINE = 20.0


def datagrams(count: int = 0) -> socket.socket:
    """Returns a socket of datagrams on 127.0.0.1 in which `count` of them wait."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    feed(sock, count)
    return sock


def feed(sock: socket.socket, count: int = 1) -> None:
    """Sends `count` datagrams to `sock`, which have then arrived."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            sender.sendto(b"%d" % number, sock.getsockname())


@contextmanager
def several(count: int, fed: int = 0) -> Iterator[list[socket.socket]]:
    """Sockets of datagrams, each with `fed` of them waiting."""
    socks = [datagrams(fed) for _ in range(count)]
    try:
        yield socks
    finally:
        for sock in socks:
            sock.close()
