"""The timeout of silence of a process: `Actor.idle_timeout`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...gen import ProcessState
from ...gen.retrying import twice
from ..mailbox.envelope import Invoke

if TYPE_CHECKING:
    from .process import Process

_ROUNDING = 1e-6
"""Seconds by which a loop may call too early: it rounds to the resolution of its clock."""


class IdleTimer:
    """Calls `handle_timeout` of one process after each silence of `seconds`; None: not.

    One timer of the loop, which looks when it fires how long the process has rested: messages cost no timer operation.

    uncounted: entries that the process has taken and that do not end the silence, as inspections.
    """

    __slots__ = ("_counted", "_due", "_handle", "_process", "_since", "seconds", "uncounted")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._since = 0.0
        self._counted = -1
        self.seconds: float | None = None
        self.uncounted = 0
        process.own(self)

    def set(self, seconds: float | None) -> None:
        """Changes the time. The silence begins anew."""
        self.seconds = seconds
        self._since = self._process.core.loop.time()
        if seconds is None or (self._handle is not None and self._since + seconds < self._due):
            self.cancel()
        self._wait()

    def rested(self) -> None:
        """Called when the process has begun to sleep. The silence begins anew if it has handled anything."""
        counted = self._process.handled - self.uncounted
        if counted != self._counted:
            self._counted = counted
            self._since = self._process.core.loop.time()
        self._wait()

    def cancel(self) -> None:
        """Cancels the timer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wait(self) -> None:
        if self._handle is None and self.seconds is not None and self._process.alive:
            self._due = self._since + self.seconds
            self._handle = self._process.core.loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self._handle = None
        twice(self._look)

    def _look(self) -> None:
        process = self._process
        if process.state is not ProcessState.SLEEP or process.scheduled or process.waiting or self.seconds is None:
            return  # `rested` follows, if the process does not end
        if self._is_over():
            # a process that forwards its main lane handles what is its own in the system lane
            process.put_runtime(Invoke(self._call), 1 if process.forwards else 0)
        else:
            self._wait()

    def _is_over(self) -> bool:
        now = self._process.core.loop.time()
        return self.seconds is not None and now - self._since >= self.seconds - _ROUNDING

    def _call(self) -> Any:
        """In the process's own turn. The time may have been changed since the timer fired."""
        if self._is_over():
            return self._process.behavior.handle_timeout()
        self.uncounted += 1
        return None
