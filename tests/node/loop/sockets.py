"""Sockets for the tests of the selector, and a loop on which they run."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import pytest

import homing

T = TypeVar("T")

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


def run(main: Callable[[], Awaitable[T]], *, debug: bool = False) -> T:
    """Runs `main` on a new loop."""

    async def body() -> T:
        async with asyncio.timeout(DEADLINE):
            return await main()

    with asyncio.Runner(loop_factory=homing.new_event_loop, debug=debug) as runner:
        return runner.run(body())


def serving() -> Any:
    """Returns the selector of the running loop."""
    return asyncio.get_running_loop().homing_selector  # type: ignore[attr-defined]


class Flood:
    """A served socket that is always ready: nobody reads its datagram. `calls`: how often it was called."""

    def __init__(self, action: Callable[[], object] = lambda: None) -> None:
        self.sock = datagrams(1)
        self.calls = 0
        self.action = action

    def __enter__(self) -> Self:
        serving().on_readable(self.sock.fileno(), self.called)
        return self

    def called(self) -> None:
        self.calls += 1
        self.action()

    def __exit__(self, *_: object) -> None:
        serving().on_readable(self.sock.fileno(), None)
        self.sock.close()
