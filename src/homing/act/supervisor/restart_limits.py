"""How often a child may be restarted, and how soon. Time and randomness come in as arguments."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import log

from ...gen import BadOption
from ...gen.options import set_number, set_seconds


class RestartWindow:
    """Allows `intensity` restarts within the last `period` seconds: a sliding window."""

    def __init__(self, intensity: int, period: float) -> None:
        self._intensity = intensity
        self._period = period
        self._times: deque[float] = deque()

    def allowed(self, now: float) -> bool:
        """Counts a restart at `now`. Returns False if it is one too many."""
        self._times.append(now)
        while now - self._times[0] > self._period:
            self._times.popleft()
        return len(self._times) <= self._intensity


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a child waits for its restart: longer each time that it ends soon after the last start.

    first: seconds before the first restart.
    most: the longest wait in seconds. A child that has lived that long begins with `first` again.
    factor: by which each wait is longer than the previous one.
    jitter: the random part of the wait, 0 to 1. With 0.5 the wait is between half and all of it, so that children that
        ended together do not all restart together.
    random: returns numbers from 0 to 1, like `random.random`. For tests.
    """

    first: float = 0.1
    most: float = 30.0
    factor: float = 2.0
    jitter: float = 0.5
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        set_seconds(self, "first", option="backoff.first")
        set_seconds(self, "most", option="backoff.most")
        if self.first > self.most:
            raise BadOption("backoff.first", self.first, f"give no more than backoff.most, which is {self.most:g}")
        set_number(self, "factor", 1, 1000, option="backoff.factor")
        set_number(self, "jitter", 0, 1, option="backoff.jitter")
        if not callable(self.random):
            raise BadOption("backoff.random", self.random, "give a function such as random.random")

    def delay(self, restarts: int) -> float:
        """Returns the seconds to wait after `restarts` restarts in a row."""
        if self.factor == 1 or restarts < (log(self.most) - log(self.first)) / log(self.factor):
            wait = min(self.most, self.first * self.factor**restarts)
        else:
            wait = self.most  # the power might be too large for a float
        return wait * (1 - self.jitter * self.random())


class Pace:
    """Counts the restarts in a row of one child, or of one group, and computes the wait before the next."""

    __slots__ = ("_backoff", "_restarts")

    def __init__(self, backoff: Backoff | None) -> None:
        self._backoff = backoff
        self._restarts = 0

    def next(self, lived: float) -> float:
        """Returns the seconds to wait before restarting a child that lived for `lived` seconds (0: failed start)."""
        if self._backoff is None:
            return 0.0
        if lived >= self._backoff.most:
            self._restarts = 0
        self._restarts += 1
        return self._backoff.delay(self._restarts - 1)
