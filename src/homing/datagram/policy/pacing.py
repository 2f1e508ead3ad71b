"""Pacing: a token bucket in front of a socket, in user space.

SO_MAX_PACING_RATE and SO_TXTIME would leave the pacing to the kernel, but have no effect unless the interface has a
queueing discipline that supports them (fq, etf).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

from ..address import DUAL_STACK
from ..failures import Failures
from ..message import MessageUDP
from .limits import Pacing, clock_of

_HEADERS = {int(socket.AF_INET): 28, int(socket.AF_INET6): 48, DUAL_STACK: 48}
_TICK = 0.001  # the resolution of a loop's timers
_BURST_SECONDS = 0.01  # ten ticks of such a timer


class Sender(Protocol):
    """Sends datagrams: a backend, or a pacer in front of it."""

    def send(self, message: MessageUDP) -> int:
        """Sends one datagram and returns its length. Raises `BlockingIOError` if it has to wait."""

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        """Sends datagrams in order and returns how many are done; the others have to wait."""


class Writable(Protocol):
    """Calls when sending can continue: the watch of a socket, or a pacer in front of it."""

    def write(self, callback: Callable[[], None] | None) -> None:
        """Calls `callback` whenever sending can continue; None stops it."""


class Pacer:
    """Sends through `sender`, no faster than `pacing` allows. Implements `Sender` and `Writable`.

    sender: sends; writable: the watch of the socket.

    The bucket is one number: the time from which the next datagram may be sent.
    """

    def __init__(self, sender: Sender, writable: Writable, pacing: Pacing, family: int) -> None:
        burst = _BURST_SECONDS * pacing.bytes_per_second if pacing.burst is None else pacing.burst
        self.sender = sender
        self.writable = writable
        self._timer: asyncio.TimerHandle | None = None
        self._seconds = 1 / pacing.bytes_per_second
        self._slack = burst * self._seconds
        self._headers = _HEADERS.get(family, 0)
        self._clock = clock_of(pacing)
        self._free = self._clock() - self._slack

    def delay(self) -> float:
        """Returns the seconds until the next datagram may be sent; 0 or less: now."""
        return self._free - self._clock()

    def send(self, message: MessageUDP) -> int:
        """Sends one datagram and returns its length. Raises `BlockingIOError` if it has to wait for the pace or the
        socket."""
        now = self._clock()
        if self._free > now:
            raise BlockingIOError
        size = self.sender.send(message)
        self._spend(now, size + self._headers)
        return size

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        """Sends the datagrams that may be sent now in one call, so that runs stay together. Returns how many are
        done."""
        now = self._clock()
        costs = self._affordable(messages, now)
        done = self.sender.send_many(messages[: len(costs)], failures) if costs else 0
        failed = {index for index, _ in failures}
        self._spend(now, sum(cost for index, cost in enumerate(costs[:done]) if index not in failed))
        return done

    def write(self, callback: Callable[[], None] | None) -> None:
        """Calls `callback` when the socket is writable and the next datagram may be sent; None stops it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delay = self.delay()
        if callback is None or delay <= 0:
            self.writable.write(callback)
        else:
            self.writable.write(None)
            self._timer = asyncio.get_running_loop().call_later(max(delay, _TICK), callback)

    def _affordable(self, messages: list[MessageUDP], now: float) -> list[int]:
        """Returns the costs, in bytes of packets, of the datagrams that may be sent now."""
        costs: list[int] = []
        budget = (now - max(self._free, now - self._slack)) / self._seconds
        for message in messages:
            if budget < 0:
                break
            costs.append(_size_of(message.data) + self._headers)
            budget -= costs[-1]
        return costs

    def _spend(self, now: float, size: int) -> None:
        self._free = max(self._free, now - self._slack) + size * self._seconds


def _size_of(data: Any) -> int:
    if type(data) is bytes:
        return len(data)
    try:
        return memoryview(data).nbytes
    except (TypeError, ValueError):
        return 0  # invalid data: the backend raises the error
