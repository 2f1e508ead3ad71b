"""How far a run is, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from .suite import Benchmark, Settings, left_out


def measurements(benchmarks: Sequence[Benchmark], settings: Settings) -> int:
    """Returns how often a contestant will be measured in a whole run."""
    return sum(
        benchmark.rounds(settings) * sum(not left_out(benchmark, name) for name in benchmark.contestants)
        for benchmark in benchmarks
    )


class Progress:
    """Counts measurements. On a terminal it shows each one in a line that the next one replaces; elsewhere it prints a
    line for each benchmark that has ended.

    total: measurements of the whole run.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._begun = time.monotonic()
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        """Called before each measurement."""
        if self._on_terminal:
            print(f"\r\033[K{self._far()}: {text}", end="", file=sys.stderr, flush=True)
        self._done += 1

    def ended(self, benchmark: str) -> None:
        """Called after the last measurement of a benchmark, before its table is printed."""
        text = "\r\033[K" if self._on_terminal else f"{self._far()}: {benchmark} has ended\n"
        print(text, end="", file=sys.stderr, flush=True)

    def _far(self) -> str:
        return f"{_minutes(time.monotonic() - self._begun)} min, {self._done} of {self._total}"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
