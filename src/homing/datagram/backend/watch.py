"""Watching a socket: calls when it can be read or written, or has an error.

A loop may serve sockets itself (`ServingSelector`): without handles, and with their errors. Any other loop watches by
its readers and writers.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Protocol

from ..address import AF_UNIX
from ..sockets.forks import close_in_forks

Callback = Callable[[], None]

RETRY = 0.002
"""Seconds until a Unix peer that had no room is tried again: as long as a process may run without a break."""


class ServingSelector(Protocol):
    """The selector of a loop that serves sockets itself, in the loop's attribute `homing_selector`. None stops a
    callback; stopping never fails."""

    def on_readable(self, fd: int, callback: Callback | None) -> None:
        """Calls `callback` whenever `fd` can be read. Raises `OSError` if it cannot be watched."""

    def on_writable(self, fd: int, callback: Callback | None) -> None:
        """Calls `callback` whenever `fd` can be written."""

    def on_error(self, fd: int, callback: Callback | None) -> None:
        """Calls `callback` while `fd` has an error, before the others. Another one replaces it."""

    def off_error(self, fd: int, callback: Callback) -> None:
        """Stops `callback`, unless another one has replaced it."""


def serving_selector(loop: asyncio.AbstractEventLoop) -> ServingSelector | None:
    """Returns the selector of `loop` if that serves sockets itself."""
    selector: ServingSelector | None = getattr(loop, "homing_selector", None)
    return selector


class Watch(Protocol):
    """Watches one socket on one loop."""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts watching. A second call does nothing."""

    def read(self, callback: Callback | None) -> None:
        """Calls `callback` whenever the socket is readable; None stops it."""

    def write(self, callback: Callback | None) -> None:
        """Calls `callback` whenever the socket is writable; None stops it."""

    def close(self) -> None:
        """Stops watching. Must be called before the socket is closed."""


def open_watch(sock: socket.socket, on_error: Callback | None) -> Watch:
    """Returns the watch for `sock`; a test's fake socket provides its own.

    on_error: as for `EpollWatch`; on systems other than Linux only reading and sending report errors.
    """
    if not isinstance(sock, socket.socket):
        return sock.watch(on_error)
    if sock.family == AF_UNIX:
        return RetryWatch(sock.fileno())
    if on_error is None or not hasattr(select, "epoll"):
        return LoopWatch(sock.fileno())
    try:
        served = serving_selector(asyncio.get_running_loop()) is not None
    except RuntimeError:  # no loop runs here: which one is to watch is not known yet
        served = False
    return ErrorWatch(sock.fileno(), on_error) if served else EpollWatch(sock.fileno(), on_error)


class LoopWatch:
    """Watches by the loop: by its selector, if that serves sockets, or else by readers and writers. Implements
    `Watch`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop: asyncio.AbstractEventLoop | None = None
        self._selector: ServingSelector | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._selector = serving_selector(loop)

    def read(self, callback: Callback | None) -> None:
        if self._selector is not None:
            self._selector.on_readable(self._descriptor, callback)
        elif self._loop is not None and callback is not None:
            self._loop.add_reader(self._descriptor, callback)
        elif self._loop is not None:
            self._loop.remove_reader(self._descriptor)

    def write(self, callback: Callback | None) -> None:
        if self._selector is not None:
            self._selector.on_writable(self._descriptor, callback)
        elif self._loop is not None and callback is not None:
            self._loop.add_writer(self._descriptor, callback)
        elif self._loop is not None:
            self._loop.remove_writer(self._descriptor)

    def close(self) -> None:
        """Does nothing: its users have already stopped `read` and `write`."""


class RetryWatch(LoopWatch):
    """Watches an unconnected Unix datagram socket. It is reported as writable even while the peer has no room, so a
    loop that watched it would spin. So `write` calls at intervals instead."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._timer: asyncio.TimerHandle | None = None

    def write(self, callback: Callback | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop is not None and callback is not None:
            self._timer = self._loop.call_later(RETRY, self._again, callback)

    def _again(self, callback: Callback) -> None:
        self.write(callback)
        callback()


class ErrorWatch(LoopWatch):
    """Watches a socket that has an error queue, or is connected, by a selector that serves sockets.

    on_error: called, before the others, while the socket has an error, also while reading is paused.
    """

    def __init__(self, descriptor: int, on_error: Callback) -> None:
        super().__init__(descriptor)
        self._on_error = on_error

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._selector is None:
            super().open(loop)
            if self._selector is not None:
                self._selector.on_error(self._descriptor, self._on_error)

    def read(self, callback: Callback | None) -> None:
        self._ask(super().read, callback)

    def write(self, callback: Callback | None) -> None:
        self._ask(super().write, callback)

    def _ask(self, watch: Callable[[Callback | None], None], callback: Callback | None) -> None:
        try:
            watch(callback)
        except OSError:
            if callback is not None and self._loop is not None:
                self._loop.call_soon(callback)  # the socket is closed: reading or writing reports it

    def close(self) -> None:
        if self._selector is not None:
            self._selector.off_error(self._descriptor, self._on_error)


class EpollWatch:
    """Watches by its own epoll(7), which the loop watches: for such a socket on any other loop. Implements `Watch`.

    epoll always reports errors, so also while reading is paused. Without it, asyncio's loop calls the reader repeatedly
    until the queue is empty, and uvloop's never calls it again after an error.

    on_error: called, before the others, while the socket has an error.
    Raises `OSError` if this program has no descriptor left.
    """

    def __init__(self, descriptor: int, on_error: Callback) -> None:
        self._descriptor = descriptor
        self._epoll = select.epoll()
        self._epoll.register(descriptor, 0)
        close_in_forks(self, EpollWatch.close_in_fork)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_error = on_error
        self._reader: Callback | None = None
        self._writer: Callback | None = None

    def close_in_fork(self) -> None:
        """Closes the duplicate in a forked child."""
        self._epoll.close()

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self._epoll.fileno(), self._ready)

    def read(self, callback: Callback | None) -> None:
        self._reader = callback
        self._ask(callback)

    def write(self, callback: Callback | None) -> None:
        self._writer = callback
        self._ask(callback)

    def _ask(self, callback: Callback | None) -> None:
        reads = select.EPOLLIN if self._reader is not None else 0
        try:
            self._epoll.modify(self._descriptor, reads | (select.EPOLLOUT if self._writer is not None else 0))
        except OSError:
            if callback is not None and self._loop is not None:
                self._loop.call_soon(callback)  # the socket is closed: reading or writing reports it

    def _ready(self) -> None:
        for _, events in self._epoll.poll(0):
            if events & select.EPOLLERR:
                self._on_error()
            if events & select.EPOLLOUT and self._writer is not None:
                self._writer()
            if events & select.EPOLLIN and self._reader is not None:
                self._reader()

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
        self._reader = self._writer = None
        self._epoll.close()
