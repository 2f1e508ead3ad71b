"""Histograms of times, with fixed buckets."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS = (
    *(0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper bounds of the buckets, in seconds: a quick handler takes 1 us, a stuck queue is minutes old."""


class Histogram:
    """Counts of times by bucket.

    counts: one for each of `BOUNDS`, and one for longer times; not cumulative.
    total, sum: number of times, and their sum in seconds.
    """

    __slots__ = ("counts", "sum", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0
        self.sum = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Counts `seconds`, `times` times."""
        self.counts[bisect_left(BOUNDS, seconds)] += times
        self.total += times
        self.sum += seconds * times
