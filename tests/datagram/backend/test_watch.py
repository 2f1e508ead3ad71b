"""Watches of a socket's descriptor: by a selector that serves sockets, by readers and writers, by an epoll."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from homing.datagram.backend.watch import EpollWatch, ErrorWatch, LoopWatch, Watch, open_watch, serving_selector

from ...support import eventually

pytestmark = [
    pytest.mark.loops,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports errors while reading is paused"),
]
HOST = "127.0.0.1"


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.bind((HOST, 0))
        yield made


def serves() -> bool:
    """Returns True if the running loop serves sockets itself."""
    return serving_selector(asyncio.get_running_loop()) is not None


@contextlib.contextmanager
def opened(sock: socket.socket, on_error: Callable[[], None] | None = None) -> Iterator[Watch]:
    watch = open_watch(sock, on_error)
    watch.open(asyncio.get_running_loop())
    watch.open(asyncio.get_running_loop())
    try:
        yield watch
    finally:
        watch.read(None)
        watch.write(None)
        watch.close()


def refused(sock: socket.socket) -> None:
    """Has an ICMP error come back to `sock`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind((HOST, 0))
        sock.connect(gone.getsockname())
    sock.send(b"x")


async def test_each_loop_has_the_watch_that_is_made_for_it(sock: socket.socket) -> None:
    with opened(sock) as watch, opened(sock, lambda: None) as errors:
        assert type(watch) is LoopWatch
        assert type(errors) is (ErrorWatch if serves() else EpollWatch)


def test_where_no_loop_runs_a_watch_of_errors_suits_any(sock: socket.socket) -> None:
    watch = open_watch(sock, lambda: None)
    assert type(watch) is EpollWatch
    watch.close()


async def test_such_a_watch_works_on_every_loop(sock: socket.socket) -> None:
    errors: list[int] = []
    watch = EpollWatch(sock.fileno(), lambda: errors.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
    watch.open(asyncio.get_running_loop())
    refused(sock)
    await eventually(lambda: errors != [], "the error")
    watch.close()


@pytest.mark.parametrize("with_errors", [False, True])
async def test_it_calls_while_the_socket_can_be_read_and_written(sock: socket.socket, with_errors: bool) -> None:
    calls: list[bytes] = []
    with opened(sock, (lambda: None) if with_errors else None) as watch:
        watch.read(lambda: calls.append(sock.recv(100)))
        sock.sendto(b"one", sock.getsockname())
        await eventually(lambda: calls == [b"one"], "the call")

        def once() -> None:
            watch.write(None)
            calls.append(b"writable")

        watch.write(once)
        await eventually(lambda: calls == [b"one", b"writable"], "the call")
        watch.read(None)
        sock.sendto(b"two", sock.getsockname())
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(calls) == 2
        watch.read(lambda: calls.append(sock.recv(100)))
        await eventually(lambda: calls[2:] == [b"two"], "the call")


async def test_errors_are_reported_while_reading_is_paused_and_before_the_others(sock: socket.socket) -> None:
    calls: list[str] = []

    def failed() -> None:
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            calls.append("error")

    with opened(sock, failed) as watch:
        refused(sock)
        await eventually(lambda: calls == ["error"], "the error")

        def write() -> None:
            watch.write(None)
            calls.append("write")

        sock.send(b"x")
        watch.write(write)
        await eventually(lambda: len(calls) == 3, "both")
        assert calls == ["error", "error", "write"]


async def test_another_watch_of_the_same_socket_can_take_over(sock: socket.socket) -> None:
    calls: list[str] = []

    def clear(name: str) -> Callable[[], None]:
        def failed() -> None:
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                calls.append(name)

        return failed

    first = open_watch(sock, clear("first"))
    first.open(asyncio.get_running_loop())
    first.read(lambda: calls.append("first reads"))
    first.read(None)
    with opened(sock, clear("second")) as second:
        second.read(lambda: calls.append(f"second reads {sock.recv(100)!r}"))
        first.close()
        sock.sendto(b"x", sock.getsockname())
        await eventually(lambda: calls == ["second reads b'x'"], "the call")
        second.read(None)
        refused(sock)
        await eventually(lambda: calls[1:] == ["second"], "the error")


async def test_a_socket_that_was_closed_under_a_watch_of_errors_is_left_to_its_reader(sock: socket.socket) -> None:
    called = asyncio.Event()
    watch = open_watch(sock, lambda: None)
    watch.open(asyncio.get_running_loop())
    sock.close()
    watch.read(called.set)
    await asyncio.wait_for(called.wait(), 10)
    watch.read(None)
    watch.close()


async def test_a_hangup_that_nobody_asked_for_does_not_keep_the_loop_busy(sock: socket.socket) -> None:
    if not serves():
        pytest.skip("an epoll of the socket's own reports it again and again")
    sock.connect(sock.getsockname())
    with opened(sock, lambda: None):
        sock.shutdown(socket.SHUT_RDWR)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        with select.epoll() as outer:
            outer.register(selector.fileno(), select.EPOLLIN)
            assert outer.poll(0) == []
