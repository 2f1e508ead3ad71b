"""Memory from one answer of a node to the next: rates of its sockets for the sparklines, and of drops by cause."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from ..values import rate, text

KEPT = 240
"""Rates that are kept: a sparkline has a character for each."""

BARS = "▁▂▃▄▅▆▇█"

RATES = ("packets_in_rate", "packets_out_rate", "dropped")


class History:
    """Rates of all sockets of a node together, and drops by cause.

    rates: by name, the oldest first. drops: count of each cause. drop_rates: drops per second since the last answer.
    """

    def __init__(self) -> None:
        self.rates: dict[str, deque[float]] = {name: deque(maxlen=KEPT) for name in RATES}
        self.drops: Counter[str] = Counter()
        self.drop_rates: dict[str, float] = {}
        self._time = 0.0
        self._node: object = None

    def add(self, node: dict[str, Any], sockets: list[dict[str, Any]], now: float) -> None:
        """Takes the records of an answer."""
        counted: Counter[str] = Counter()
        for row in sockets:
            for drop in row["drops"]:
                counted[f"{drop['direction']}.{drop['cause']}"] += drop["count"]
        seconds = now - self._time
        same = self._node == node["os_pid"] and seconds > 0  # a restarted node counts from 0
        self.drop_rates = {
            cause: max(0, count - self.drops[cause]) / seconds if same else 0.0 for cause, count in counted.items()
        }
        self.drops, self._time, self._node = counted, now, node["os_pid"]
        for name in RATES[:2]:
            self.rates[name].append(sum(row[name] or 0.0 for row in sockets))
        self.rates["dropped"].append(
            sum((row["dropped_in_rate"] or 0) + (row["dropped_out_rate"] or 0) for row in sockets)
        )

    def causes(self) -> str:
        """Returns the drops by cause: `in.kernel 86 (3/s)`, those that grow first."""
        order = sorted(self.drops, key=lambda cause: (-self.drop_rates.get(cause, 0.0), -self.drops[cause]))
        return "  ".join(
            text(cause) + f" {self.drops[cause]}" + (f" ({rate(grows)}/s)" if (grows := self.drop_rates[cause]) else "")
            for cause in order
        )


def sparkline(values: deque[float], width: int) -> str:
    """Returns the last values as bars, the highest in full height."""
    shown = list(values)[-width:] if width > 0 else []
    most = max(shown, default=0.0)
    bars = "".join(BARS[0 if most <= 0 else round(value / most * (len(BARS) - 1))] for value in shown)
    return " " * (width - len(bars)) + bars
