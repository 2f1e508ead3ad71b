"""The routes of a router at run time: state and counters."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from ...gen import PID, Alias
from ...node.processes.process import Process
from .options import RouteSpec
from .requests import RouteInfo, State

_RETRY_FIRST, _RETRY_MOST = 0.1, 5.0
"""Seconds until the process of a route is restarted, if it could not be started or ended soon after its start: the
first wait, doubled up to the longest. A process that has lived for the longest wait or more is restarted at once."""


class Undelivered:
    """A message to several routes that some of them have received; `names` are the others. It is queued at the head of
    the router's main lane, so that a successor of the router continues from there."""

    __slots__ = ("message", "names", "sender")

    def __init__(self, names: tuple[str, ...], sender: PID | Alias, message: Any) -> None:
        self.names = names
        self.sender = sender
        self.message = message

    def letter(self) -> Any:
        """Returns the message for a dead-letter process."""
        return self.message


class Tally:
    """Counts the messages forwarded, and those that failed by the class of the error."""

    __slots__ = ("failed", "forwarded")

    def __init__(self) -> None:
        self.forwarded = 0
        self.failed: Counter[str] = Counter()


class Route(Tally):
    """A route at run time. `process`: the process of an owned route, while it runs; `previous`: the one before it, and
    `reason`: why that has ended."""

    __slots__ = ("delay", "enabled", "previous", "process", "reason", "restarts", "since", "spec", "timer")

    def __init__(self, spec: RouteSpec) -> None:
        super().__init__()
        self.spec = spec
        self.process: Process | None = None
        self.previous: PID | None = None
        self.reason: Exception | None = None
        self.enabled = True
        self.restarts = 0
        self.since = 0.0  # time of the last start or failed start, by the loop's clock
        self.delay = 0.0  # seconds until the next restart
        self.timer: asyncio.TimerHandle | None = None  # does the restart

    def info(self) -> RouteInfo:
        spec, process = self.spec, self.process
        lacks = spec.behavior is not None and (process is None or not process.alive)
        state: State = "disabled" if not self.enabled else "restarting" if lacks else "enabled"
        return RouteInfo(spec.name, state, None if process is None or lacks else process.id, spec.target)

    def next_delay(self, now: float) -> float:
        """Returns the seconds until the process is restarted, after it has ended or could not be started."""
        if now - self.since >= _RETRY_MOST:
            self.delay = 0.0
        delay = self.delay
        self.delay = min(max(2 * delay, _RETRY_FIRST), _RETRY_MOST)
        return delay
