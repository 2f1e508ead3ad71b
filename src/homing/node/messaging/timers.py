"""Timers: messages sent once or periodically, by the loop's monotonic clock, which wall-clock jumps do not affect."""

from __future__ import annotations

import asyncio
import weakref
from math import floor
from typing import TYPE_CHECKING, Any, Protocol

from ...gen import CancelTimer, MetaTerminated, ProcessState, ProcessTerminated, Target
from ...gen.options import check_seconds
from ..mailbox.envelope import Tick
from ..processes.thread_bridge import run_on_loop

if TYPE_CHECKING:
    from ..core import Core
    from ..scheduling.activity import Activity


_ROUNDING = 1e-6
"""Part of a period. A tick that is due so soon counts as due now: sums of floating-point seconds are not exact, and a
loop may call slightly too early."""


class Cancellable(Protocol):
    """A timer or task that is cancelled when an activity ends."""

    def cancel(self) -> object:
        """Cancels it."""


class Timer:
    """One `send_after` or `send_every`. Ends with the activity that set it.

    At most one of its ticks is queued. The timer refers to the tick weakly: whether a tick is handled or dropped with a
    mailbox, the timer continues.
    """

    __slots__ = ("_core", "_handle", "_message", "_owner", "_period", "_start", "_tick", "_ticks", "_to")

    def __init__(self, core: Core, owner: Activity, to: Target, message: Any, seconds: float, periodic: bool) -> None:
        self._core = core
        self._owner = owner
        self._to = to
        self._message = message
        self._period = seconds if periodic else 0.0
        self._start = core.loop.time()
        self._ticks = 1
        self._tick: weakref.ref[Tick] | None = None
        self._handle: asyncio.TimerHandle | None = core.loop.call_at(self._start + seconds, self._fire)
        owner.own(self)

    def take_back(self) -> bool:
        """Stops the timer, from any thread, and removes its queued tick. Returns True if it had not fired, or its
        message had not been handled."""
        return run_on_loop(self._core, self._take_back)

    def _take_back(self) -> bool:
        waiting = self._waiting()
        taken = waiting is not None and waiting.take_back()
        return self.cancel() or taken

    def cancel(self) -> bool:
        """Stops the timer. A message that it has sent is still handled. Returns False if it had stopped already."""
        if self._handle is None:
            return False
        self._handle.cancel()
        self._forget()
        return True

    def _waiting(self) -> Tick | None:
        """Returns its tick that has not been handled yet, in any mailbox, or None."""
        tick = None if self._tick is None else self._tick()
        return tick if tick is not None and tick.waits else None

    def _forget(self) -> None:
        self._handle = None
        if self._owner.timers is not None:
            self._owner.timers.discard(self)

    def _fire(self) -> None:
        if self._owner.state is ProcessState.TERMINATED:  # its timers are still being cancelled, step by step
            return
        if self._period:
            try:
                self._wait_for_next()
            except MemoryError:  # without the next timer it would never tick again
                self._wait_for_next()
        else:
            self._forget()
        if self._waiting() is not None:
            self._core.timer_skips += 1
            return
        tick = Tick(self._owner.sender, self._message)
        self._tick = weakref.ref(tick)
        try:
            self._core.delivery.tick(self._to, tick)
            self._owner.messages_out += 1
        except Exception as error:
            self._core.timer_failures += 1
            if isinstance(error, (ProcessTerminated, MetaTerminated)):
                self.cancel()  # the address never comes back

    def _wait_for_next(self) -> None:
        """Schedules the tick at start + n * period. Ticks that were missed are dropped, without a shift in phase."""
        loop = self._core.loop
        ticks = max(self._ticks, floor((loop.time() - self._start) / self._period + _ROUNDING)) + 1
        self._handle = loop.call_at(self._start + ticks * self._period, self._fire)
        self._ticks = ticks


class Timers:
    """Starts the timers of one node."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def start(self, owner: Activity, to: Target, message: Any, seconds: float, periodic: bool) -> CancelTimer:
        """Starts a timer of `owner` and returns the function that cancels it. Raises `BadOption` for a bad time or
        address."""
        seconds = check_seconds("seconds", seconds, zero=not periodic)
        missing = self._core.registry.missing(to)
        if isinstance(missing, ValueError):
            raise missing
        return Timer(self._core, owner, to, message, seconds, periodic).take_back
