"""CoDel, controlled delay (RFC 8289): drops datagrams as they leave a queue in which all have waited too long for a
time."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from ...gen import BadOption
from ...gen.options import set_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CoDel:
    """Bounds how long datagrams wait, and lets bursts pass: the option `codel` of a UDP server (RFC 8289).

    target: seconds that a datagram may wait since the kernel has received it.
    interval: seconds. If for so long every datagram whose turn has come had waited longer than `target`, one is
        dropped, and more and more often another, until one has waited no longer than that. Take about the time in which
        senders react, such as their round trip.

    The defaults, 5 and 100 milliseconds, are those of RFC 8289, for queues of routers.

    Raises `BadOption`.
    """

    target: float = 0.005
    interval: float = 0.1

    def __post_init__(self) -> None:
        set_seconds(self, "target")
        set_seconds(self, "interval")
        if self.target > self.interval:
            raise BadOption("target", self.target, "give at most the interval")


_RECENT = 16
"""Intervals within which a new period of dropping continues at the rate of the last one, as in RFC 8289."""


class Control:
    """The state of one queue. Time comes in as an argument."""

    __slots__ = ("_above", "_count", "_dropping", "_last", "_next", "_options")

    def __init__(self, options: CoDel) -> None:
        self._options = options
        self._above = 0.0  # when a drop becomes due, if all wait longer until then; 0: the last has not
        self._dropping = False
        self._next = 0.0
        self._count = self._last = 0

    def drops(self, waited: float, now: float, last: bool) -> bool:
        """Returns True if the datagram whose turn has come, after so many seconds, is to be dropped. last: no other
        waits behind it, so it is kept."""
        due = self._is_due(waited, now, last)
        if self._dropping:
            if not due:
                self._dropping = False
            elif now >= self._next:
                self._count += 1
                self._next += self._step()
                return True
            return False
        if due:
            self._begin(now)
        return due

    def _is_due(self, waited: float, now: float, last: bool) -> bool:
        if waited < self._options.target or last:
            self._above = 0.0
            return False
        if self._above == 0.0:
            self._above = now + self._options.interval
            return False
        return now >= self._above

    def _begin(self, now: float) -> None:
        self._dropping = True
        more = self._count - self._last
        recent = now - self._next < _RECENT * self._options.interval
        self._count = more if more > 1 and recent else 1
        self._next = now + self._step()
        self._last = self._count

    def _step(self) -> float:
        return self._options.interval / sqrt(self._count)
