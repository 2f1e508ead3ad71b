"""How many handshakes begin in a second, of all peers together."""

from __future__ import annotations


class Rate:
    """A token bucket, with the time as an argument: see `policy.limiter`."""

    __slots__ = ("_burst", "_full", "_rate")

    def __init__(self) -> None:
        self._rate: float | None = None
        self._burst, self._full = 1.0, float("-inf")

    def apply(self, rate: float | None) -> None:
        """Admits `rate` a second from now on, and as many at once after a pause. None: all."""
        self._rate = rate
        self._burst = max(1.0, rate or 0.0)

    def admit(self, now: float) -> bool:
        """Returns False if there were too many."""
        if self._rate is None:
            return True
        time = now * self._rate
        start = max(self._full, time)
        if start + 1 > time + self._burst:
            return False
        self._full = start + 1
        return True
