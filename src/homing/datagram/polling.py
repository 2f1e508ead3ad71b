"""Polling: calls while there are datagrams to receive, in the kernel or already read but not delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from .backend.watch import Watch

_RETRY = 0.05
"""Seconds until reading is retried after an error, so that the loop does not spin."""


class Reads(Protocol):
    """The part of a backend that polling uses: the number of datagrams already read but not delivered."""

    waiting: int


class Polling:
    """Calls `on_readable` whenever there are datagrams to receive, after the first `resume` and while not paused.

    reading: False while paused.
    listening: False: `on_readable` is called only for datagrams read before, not for those in the kernel.
    """

    def __init__(self, watch: Watch, backend: Reads) -> None:
        self._watch = watch
        self._backend = backend
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_readable: Callable[[], None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self.reading = False
        self.listening = True

    def open(self, loop: asyncio.AbstractEventLoop, on_readable: Callable[[], None]) -> None:
        """Allows `resume` from now on."""
        self._loop = loop
        self._on_readable = on_readable
        self._watch.open(loop)

    def watch_by(self, watch: Watch) -> None:
        """Continues with another watch of the same socket."""
        reading = self.reading
        self.pause()
        self._watch = watch
        if self._loop is not None:
            watch.open(self._loop)
        if reading:
            self.resume()

    def pause(self) -> None:
        """Stops the calls until `resume`. Meanwhile datagrams wait in the kernel."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self.reading:
            self.reading = False
            if self.listening:
                self._watch.read(None)

    def resume(self) -> None:
        """Starts the calls again, first for datagrams read before. Does nothing before `open` and after `close`."""
        if not self.reading and self._on_readable is not None:
            if self.listening:
                self._watch.read(self._on_readable)
            self.reading = True
            self.read_on()

    def listen(self, listening: bool) -> None:
        """Sets `listening`."""
        reading = self.reading
        self.pause()
        self.listening = listening
        if reading:
            self.resume()

    def read_on(self) -> None:
        """Calls in the loop's next iteration if datagrams were already read: these do not make the socket readable."""
        if self._backend.waiting and self.reading and self._loop is not None:
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._backend.waiting and self.reading and self._on_readable is not None:
            self._on_readable()

    def look_again(self) -> None:
        """Calls in the loop's next iteration, although the socket may not be readable, unless reading is paused."""
        if self.reading and self._loop is not None:
            self._loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        if self.reading and self._on_readable is not None:
            self._on_readable()

    def rest(self) -> None:
        """Pauses for a moment."""
        if self._loop is not None:
            retry = self._loop.call_later(_RETRY, self._end_rest)  # before the pause, which only this timer ends
            self.pause()
            self._retry = retry

    def _end_rest(self) -> None:
        self._retry = None
        try:
            self.resume()
        except MemoryError:
            self.rest()

    def close(self) -> None:
        """Stops the calls for good."""
        self.pause()
        self._on_readable = None
