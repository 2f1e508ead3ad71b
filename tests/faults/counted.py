"""The statsd example as tests run it: the line "crash" crashes it, and what it publishes is added up.

`homing run tests.faults.counted:Service --env port=8125` runs it as a program, which also ends by the signals.
"""

from __future__ import annotations

from typing import Any

from homing import act, gen

from ..examples.fuzz import load

example = load("statsd")
INTERVAL = 0.01
"""Seconds between two publications."""


class Crashing(example.Statsd):  # type: ignore[misc,name-defined]
    def record(self, line: str) -> None:
        if line == "crash":
            raise RuntimeError("on request")
        super().record(line)


class Service(example.Service):  # type: ignore[misc,name-defined]
    statsd = Crashing

    def init(self, port: int | None = None, interval: float = INTERVAL) -> act.SupervisorSpec:
        spec: act.SupervisorSpec = super().init(port, interval)
        return spec


class Sum(act.Actor):
    """Adds the published counters up."""

    def init(self, sums: dict[str, float]) -> None:
        self.sums = sums
        self.link(gen.Event("metrics", self.node))

    def handle_event(self, event: gen.MessageEvent) -> Any:
        for name, value in event.message["counters"].items():
            self.sums[name] = self.sums.get(name, 0) + value
