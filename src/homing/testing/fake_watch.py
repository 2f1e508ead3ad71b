"""Watches a socket of a fake network: calls while the socket can be read or written, as an event loop does."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import TYPE_CHECKING

from ..datagram.backend.watch import Callback

if TYPE_CHECKING:
    from .fake_socket import FakeSocket


class FakeWatch:
    """Implements `datagram.backend.watch.Watch`. on_error: called before the others while an ICMP error is pending."""

    def __init__(self, sock: FakeSocket, on_error: Callback | None) -> None:
        self._socket = sock
        self._on_error = on_error
        self._reader: Callback | None = None
        self._writer: Callback | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: Context | None = None
        self._due = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is None:
            self._socket.traffic.use(loop)
            self._context = copy_context()
            self._loop = loop
            self.wake()

    def read(self, callback: Callback | None) -> None:
        self._reader = callback
        self.wake()

    def write(self, callback: Callback | None) -> None:
        """Calls `callback` in every turn of the loop: the socket is always writable. None stops it."""
        self._writer = callback
        self.wake()

    def close(self) -> None:
        self._on_error = self._reader = self._writer = None

    def wake(self) -> None:
        """Called after a change: schedules the callbacks that are due for the loop's next turn."""
        if not self._due and self._loop is not None and self._callbacks():
            self._due = True
            self._loop.call_soon(self._run, context=self._context)

    def _callbacks(self) -> list[Callback]:
        sock = self._socket
        due = (
            self._on_error if sock.has_error else None,
            self._writer,
            self._reader if sock.readable else None,
        )
        return [callback for callback in due if callback is not None]

    def _run(self) -> None:
        self._due = False
        try:
            for callback in self._callbacks():
                callback()
        finally:
            self.wake()
